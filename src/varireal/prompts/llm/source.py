"""The prompt sources `openai` and `transformers`: lists made by a language model, and what is stored beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from varireal.base.manifest import Attribute, Feasibility
from varireal.compute.progress import progress
from varireal.config import ComputeConfig, PromptConfig
from varireal.errors import UserError, require_extra
from varireal.prompts.bank import Groups, read_bank
from varireal.prompts.llm.asking import Asked, Asker
from varireal.prompts.llm.backend import Backend
from varireal.prompts.llm.endpoint import Endpoint
from varireal.prompts.llm.interview import Interview, interview
from varireal.prompts.llm.local import LocalModel
from varireal.prompts.llm.questions import Subject
from varireal.prompts.schema import ClassLists, PromptTable, describe_problems
from varireal.store import FolderStore

MILLION = 1_000_000


class LlmSource:
    """Lists proposed and judged by a language model, each attribute for the classes of `llm.scope`."""

    def __init__(self, config: PromptConfig, backend: Backend, seed: int) -> None:
        """Read the groups, if they are needed; nothing is asked yet.

        Raises:
            UserError: the bank with the groups is missing or wrong, or the extra ``llm`` is not installed.
        """
        require_extra("llm", "tenacity", f"prompt.source = {config.source}")
        self._config, self._backend, self._seed = config.llm, backend, seed
        self._bank = config.bank
        self._groups = read_bank(Path(config.bank)).groups if "group" in config.llm.scope.values() else Groups()
        self._interviews: list[Interview] = []

    def table(
        self, classes: Sequence[str], domain_word: str, needed: Mapping[Attribute, Sequence[Feasibility]]
    ) -> PromptTable:
        """Return the lists that the grid needs; finished answers lie in ``.work/prompt``, so nothing is asked twice.

        Raises:
            UserError: a class is in no group, a question got no usable answer, or too few values are left.
        """
        plan = [
            (attribute, subject, feasibilities)
            for attribute, feasibilities in needed.items()
            for subject in self._subjects(attribute, classes, domain_word)
        ]
        asker = Asker(self._backend, self._config, FolderStore("prompt"))
        with (
            progress("prompt", len(plan)) as advance,
            ThreadPoolExecutor(self._backend.concurrency) as pool,
        ):
            futures = [
                pool.submit(interview, asker, self._config, subject, attribute, feasibilities, self._seed)
                for attribute, subject, feasibilities in plan
            ]
            try:
                for future in futures:
                    self._interviews.append(future.result())
                    advance(1)
            finally:  # after a failure, questions that were not asked yet stay unasked
                pool.shutdown(cancel_futures=True)
        return self._assemble(classes, domain_word)

    def _subjects(self, attribute: Attribute, classes: Sequence[str], domain_word: str) -> list[Subject]:
        """Return who shares a list, together covering every class once."""
        scope = self._config.scope[attribute]
        if scope == "all":
            return [Subject("all classes", tuple(classes), domain_word)]
        if scope == "class":
            return [Subject(name, (name,), domain_word) for name in classes]
        members: dict[str, list[str]] = {}
        for name in classes:
            group = self._groups.group_of(name)
            if group is None:
                raise UserError(
                    f"llm.scope.{attribute} is group, but the class {name!r} is in no group of the bank {self._bank}; "
                    "add it there, or set llm.scope to class or all"
                )
            members.setdefault(group, []).append(name)
        return [Subject(group, tuple(names), domain_word) for group, names in members.items()]

    def _assemble(self, classes: Sequence[str], domain_word: str) -> PromptTable:
        lists: dict[Attribute, dict[Feasibility, ClassLists]] = {}
        for done in self._interviews:
            for feasibility, specs in done.lists.items():
                by_class = lists.setdefault(done.attribute, {}).setdefault(feasibility, {})
                by_class.update(dict.fromkeys(done.subject.classes, specs))
        try:
            return PromptTable(domain_word=domain_word, classes=list(classes), attributes=lists)
        except ValidationError as error:
            raise UserError(f"the lists of the language model: {describe_problems(error)}") from error

    def documents(self) -> dict[str, Any]:
        """Return what is stored beside the table: every answer, what was dropped and why, tokens and cost."""
        asked = [one for done in self._interviews for one in done.asked]
        answers = {
            f"answers/{number:04}-{one.record['purpose']}.json": one.record for number, one in enumerate(asked, start=1)
        }
        dropped = [drop for done in self._interviews for drop in done.dropped]
        return {**answers, "dropped.json": dropped, "usage.json": self._usage(asked, dropped)}

    def summary(self) -> str:
        """Say in one line how many answers, values and tokens there were, what they cost, and what was asked now."""
        asked = [one for done in self._interviews for one in done.asked]
        usage = self._usage(asked, [drop for done in self._interviews for drop in done.dropped])
        cost = "" if usage["cost"] is None else f", cost {usage['cost']:.4f}"
        dropped, now = sum(usage["dropped"].values()), sum(not one.kept for one in asked)
        return (
            f"{usage['values']} values from {usage['answers']} answers ({now} asked now), {dropped} proposals dropped; "
            f"{usage['input_tokens']:,} tokens in, {usage['output_tokens']:,} out{cost}"
        )

    def _usage(self, asked: Sequence[Asked], dropped: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Return token counts and cost of all answers behind the lists, whether asked now or in an earlier run."""
        records = [one.record for one in asked]
        tokens = {f"{side}_tokens": sum(record[f"{side}_tokens"] for record in records) for side in ("input", "output")}
        prices = self._config.input_price, self._config.output_price
        cost = None
        if prices[0] is not None and prices[1] is not None:
            cost = (tokens["input_tokens"] * prices[0] + tokens["output_tokens"] * prices[1]) / MILLION
        whys = [drop["why"] for drop in dropped]
        return {
            "models": sorted({record["model"] for record in records}),
            "answers": len(records),
            "refused_answers": sum(len(record["rejected"]) for record in records),
            "values": sum(len(specs) for done in self._interviews for specs in done.lists.values()),
            "dropped": {why: whys.count(why) for why in sorted(set(whys))},
            "by_purpose": {
                purpose: sum(record["purpose"] == purpose for record in records) for purpose in ("propose", "judge")
            },
            **tokens,
            "cost": cost,
        }


class OpenAiSource(LlmSource):
    """The prompt source `openai`: any endpoint that speaks its protocol."""

    def __init__(self, config: PromptConfig, compute: ComputeConfig, seed: int) -> None:
        super().__init__(config, Endpoint(config.llm), seed)


class TransformersSource(LlmSource):
    """The prompt source `transformers`: an instruct model on this machine."""

    def __init__(self, config: PromptConfig, compute: ComputeConfig, seed: int) -> None:
        super().__init__(config, LocalModel(config.llm, compute), seed)
