# make repro    the whole study: set up, then run every stage that is out of date
# make test     set up with the tools of development, then all tests
# make test-fast   the tests that take no browser, no injected faults and no whole studies
# make check    ruff and the type checker, as CI runs them before the tests
# make setup    only the virtual environment in .venv, with what the default study needs; CPU=1 takes torch's wheels for
#               processors (https://download.pytorch.org/whl/cpu), which leave out 4 GB of libraries for GPUs
# make params   params.yaml anew from conf/, where settings are changed; SET='dataset=oxford_pets models=sdxl' chooses
# make ui       MLflow's pages, at http://127.0.0.1:5000, opened at the comparison of studies; PORT=5001 elsewhere
.PHONY: repro test test-fast check setup params ui
.DEFAULT_GOAL := repro

PYTHON ?= $(firstword $(shell for name in python3.11 python3.12 python3.13 python3; do command -v $$name; done))
WORKERS ?= auto
SET ?=
CPU ?=
# wheels for processors have the same version with +cpu behind, which pip prefers
WHEELS = $(if $(CPU),--extra-index-url https://download.pytorch.org/whl/cpu)
PORT ?= 5000
# worksteal gives each worker a stretch of the tests, so that what a module shares is made once
PYTEST = OMP_NUM_THREADS=1 pytest -n $(WORKERS) --maxprocesses 4 --dist worksteal

# dvc runs `python` from PATH: it has to be the environment's
export PATH := $(CURDIR)/.venv/bin:$(PATH)

repro: .venv/.ready
	dvc repro
	python -m varireal verify || true  # says whether these are the committed results; others are no error of make's

test: .venv/.ready-dev
	$(PYTEST)

test-fast: .venv/.ready-dev
	$(PYTEST) -m 'not slow and not browser and not faults'

# pyright looks into parent folders for settings unless it is told where they are
check: .venv/.ready-dev
	ruff check .
	ruff format --check .
	pyright --project pyproject.toml

setup: .venv/.ready

params: .venv/.ready
	python -c 'from dvc.utils.hydra import compose_and_dump as write; \
		write("params.yaml", "$(CURDIR)/conf", None, "config.yaml", "$(CURDIR)/.dvc/plugins", "$(SET)".split())'

ui: .venv/.ready
	python -m varireal ui --port $(PORT)

.venv/.ready: WHAT = .
.venv/.ready-dev: WHAT = .[dev]
.venv/.ready .venv/.ready-dev: pyproject.toml constraints.txt
	@$(or $(PYTHON),false) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo 'Python 3.11 or newer is needed; name it: make PYTHON=/path/to/python3.11' >&2; exit 1; }
	[ -x .venv/bin/python ] || $(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet $(WHEELS) --constraint constraints.txt --editable '$(WHAT)'
	touch .venv/.ready $@  # the tools of development come on top of what the study needs
