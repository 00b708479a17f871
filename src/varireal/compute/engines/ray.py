"""Engine ``ray``: an actor for each GPU, or for each core of a CPU, on this machine or in a cluster.

An actor holds one loaded worker, and gets a batch when it has none, so nothing piles up. If it is lost, another takes
its place as soon as the cluster has room, and its batch goes to whichever actor is free.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib.util
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from varireal.compute.engines.base import CrewPool, Item, Lost, Pool, Result, Worker, one_line
from varireal.compute.engines.local import attempt, set_up
from varireal.compute.interruption import check_interruption, deferring, keeping_handlers
from varireal.compute.own_code import own_sources
from varireal.compute.processes import available_cores, signals_held
from varireal.errors import UserError

if TYPE_CHECKING:
    from varireal.config import ComputeConfig

logger = logging.getLogger(__name__)

OBJECT_STORE_BYTES = 2**28  # of an instance on this machine; what does not fit goes to disk
ANSWERS_WITHIN = 10.0  # seconds
LOOK_AROUND = 2.0  # seconds of waiting for an actor to start, after which signals are looked at
PATIENCE = 60.0  # seconds of waiting that are worth a warning
MOST_FAILED_STARTS = 3  # of actors, one after the other

Connect = Callable[[], contextlib.AbstractContextManager[Mapping[str, float]]]


class RayEngine:
    """On a CPU as many actors of one thread as there are cores; on GPUs one for each in the cluster."""

    def __init__(self, compute: ComputeConfig, modules: Sequence[str]) -> None:
        """Take the modules of the workers' networks; none: their work needs no network, and so no GPU."""
        if importlib.util.find_spec("ray") is None:
            raise UserError(
                "compute.engine is ray, but ray is not installed; install it (pip install 'varireal[ray]'), "
                "or set compute.engine to local"
            )
        self._compute, self._networks = compute, bool(modules)

    @functools.cached_property
    def _device(self) -> str:
        if not self._networks:
            return "cpu"
        if self._compute.ray_address is None:
            from varireal.compute.devices import resolve_device

            return resolve_device(self._compute).type
        if self._compute.device != "auto":
            return self._compute.device.partition(":")[0]
        with self._connected() as resources:
            if not resources.get("GPU") and self._compute.require_accelerator:
                raise UserError(
                    f"compute.require_accelerator is true, but the Ray cluster at {self._compute.ray_address} has no "
                    "GPU; start Ray on a machine with one, or set compute.device to cpu"
                )
            return "cuda" if resources.get("GPU") else "cpu"

    def device(self) -> str:
        return self._device

    @contextlib.contextmanager
    def open(
        self,
        worker: Worker[Item, Result],
        most: int,
        *,
        on_units: Callable[[int, int], None] | None = None,
        finish_running: bool = True,
    ) -> Iterator[Pool[Item, Result]]:
        """Return a pool; what workers report while they run stays with them."""
        on_cpu = self._device == "cpu"
        threads = self._compute.num_threads or (1 if on_cpu else None)
        prepare = functools.partial(set_up, threads, self._networks)
        needs = {"num_cpus": threads or 1, "num_gpus": int(self._device == "cuda")}
        most = max(1, most) if self._device != "mps" else 1
        most = min(most, self._compute.workers or most)
        with deferring() if finish_running else contextlib.nullcontext():
            crew = Actors((worker, prepare, Path.cwd()), most, needs, self._connected)
            try:
                yield CrewPool(crew)
            finally:
                crew.close()

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Mapping[str, float]]:
        """Connect to the cluster, or start one on this machine for the time being; yield what it has.

        A connection that this process has already is used, and kept.
        """
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray

        if ray.is_initialized():
            yield ray.cluster_resources()
            return
        address = self._compute.ray_address
        with deferring():
            try:
                with keeping_handlers():
                    _join(address) if address else _start_here()
            except (OSError, RuntimeError, ValueError) as error:
                raise UserError(
                    f"there is no Ray cluster at compute.ray_address = {address!r} ({one_line(error)}); start it "
                    "(ray start --head) and run on a machine of it, or set compute.ray_address to null"
                ) from error
            try:
                yield ray.cluster_resources()
            finally:
                ray.shutdown()


def _start_here() -> None:
    """Start Ray on this machine; it never sees SIGTERM or Ctrl-C, and ends with the connection."""
    import ray

    here = {"num_cpus": available_cores(), "object_store_memory": OBJECT_STORE_BYTES, "include_dashboard": False}
    with signals_held():
        ray.init("local", log_to_driver=False, logging_level=logging.ERROR, **here)


def _join(address: str) -> None:
    """Connect to a cluster; where nothing listens Ray itself would try for minutes, deaf to signals.

    Its workers take their code from the folder that this process works in, too.
    """
    import ray

    host, _, port = address.rpartition(":")
    if host:
        socket.create_connection((host, int(port)), ANSWERS_WITHIN).close()
    own = own_sources()
    environment: dict[str, Any] = {"runtime_env": {"env_vars": {"PYTHONPATH": own}}} if own else {}
    ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **environment)


class Host:
    """What an actor is: a worker in a process of the cluster."""

    def __init__(self, worker: Worker[Any, Any], prepare: functools.partial[None], folder: Path) -> None:
        """Take the stage's folder too: paths are relative to it."""
        self._worker, self._prepare, self._folder = worker, prepare, folder

    def start(self) -> UserError | None:
        """Prepare the process."""
        try:
            os.chdir(self._folder)
        except OSError as error:
            return UserError(
                f"a machine of the Ray cluster has no folder {self._folder} ({error.strerror}); put the repository "
                "on a file system that all of its machines share"
            )
        self._prepare()
        return None

    def work(self, items: Sequence[Any]) -> list[Any] | Lost | UserError:
        """Do a batch."""
        return attempt(self._worker, items)


@dataclasses.dataclass(frozen=True)
class _ActorCall:
    """A call that an actor has not answered yet: to start, or to do the batch of a ticket."""

    actor: Any
    ticket: int | None


class Actors:
    """A crew of actors; the cluster is connected at the first batch, until the crew is closed."""

    def __init__(
        self,
        host: tuple[Worker[Any, Any], functools.partial[None], Path],
        most: int,
        needs: dict[str, int],
        connect: Connect,
    ) -> None:
        """Take the arguments of :class:`Host`, how many actors there may be, and what each takes of the cluster."""
        self._host, self._most, self._needs, self._connect = host, most, needs, connect
        self._cluster = contextlib.ExitStack()
        self._started = False
        self._calls: dict[Any, _ActorCall] = {}  # by the reference to the answer
        self._free: list[Any] = []
        self._failed_starts = 0

    def idle(self) -> bool:
        if not self._started:
            return True
        if not self._free and not any(call.ticket is not None for call in self._calls.values()):
            self._wait_for_one()
        self._take_in(0)
        return bool(self._free)

    def send(self, ticket: int, items: Sequence[Any]) -> None:
        if not self._started:
            resources = self._cluster.enter_context(self._connect())
            room = min(resources.get(name, 0) // need for name, need in self._shares() if need)
            self._started = True
            for _ in range(min(self._most, max(1, int(room)))):
                self._start()
            self._wait_for_one()
        actor = self._free.pop(0)
        self._calls[actor.work.remote(items)] = _ActorCall(actor, ticket)

    def receive(self, on_units: Callable[[int, int], None]) -> tuple[int, list[Any] | Lost] | None:
        import ray
        from ray.exceptions import RayError

        (answer,), _ = ray.wait(list(self._calls), num_returns=1)
        if self._calls[answer].ticket is None:
            self._welcome(answer)
            return None
        call = self._calls.pop(answer)
        assert call.ticket is not None
        try:
            outcome = ray.get(answer)
        except RayError as error:
            ray.kill(call.actor)  # it may still be there, beyond reach
            self._start()
            return call.ticket, Lost(f"its worker was lost ({type(error).__name__}), perhaps for memory")
        if isinstance(outcome, UserError):
            raise outcome
        if isinstance(outcome, Lost) and outcome.broken:
            ray.kill(call.actor)  # its process can use the accelerator no longer
            self._start()
        else:
            self._free.append(call.actor)
        return call.ticket, outcome

    def close(self) -> None:
        if self._started:
            import ray

            for actor in [*self._free, *(call.actor for call in self._calls.values())]:
                ray.kill(actor)
        self._cluster.close()

    def _shares(self) -> list[tuple[str, int]]:
        return [("CPU", self._needs["num_cpus"]), ("GPU", self._needs["num_gpus"])]

    def _start(self) -> None:
        import ray

        actor = ray.remote(Host).options(**self._needs).remote(*self._host)
        started: Any = actor.start  # a method of the actor, which Ray's types take for the class's own
        self._calls[started.remote()] = _ActorCall(actor, None)

    def _wait_for_one(self) -> None:
        """Wait until an actor is free: perhaps another run must give its place back to the cluster."""
        warn_at = time.monotonic() + PATIENCE
        while not self._free:
            check_interruption()
            self._take_in(LOOK_AROUND)
            if time.monotonic() > warn_at:
                logger.warning("still waiting for the Ray cluster to start a worker that needs %s", self._needs)
                warn_at += PATIENCE

    def _take_in(self, seconds: float) -> None:
        """Take in an actor that has started, if one does within so many seconds."""
        import ray

        if starting := [answer for answer, call in self._calls.items() if call.ticket is None]:
            for answer in ray.wait(starting, num_returns=1, timeout=seconds)[0]:
                self._welcome(answer)

    def _welcome(self, answer: Any) -> None:
        """Take in an actor that has started, or start another in the place of one that could not."""
        import ray
        from ray.exceptions import RayError

        actor = self._calls.pop(answer).actor
        try:
            problem: UserError | None = ray.get(answer)
        except RayError as error:
            self._failed_starts += 1
            if self._failed_starts == MOST_FAILED_STARTS:
                raise UserError(
                    f"workers do not start in the Ray cluster ({one_line(error)}); install the same version of "
                    "varireal on all of its machines"
                ) from error
            self._start()
            return
        if problem is not None:
            raise problem
        self._failed_starts = 0
        self._free.append(actor)
