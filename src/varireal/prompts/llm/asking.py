"""Asking until an answer can be used, with back-off, and keeping every answer so that nothing is asked twice."""

from __future__ import annotations

import dataclasses
import datetime
import logging
from collections.abc import Callable
from typing import Any, TypeVar

from varireal.base.files import json_bytes, read_json
from varireal.base.seeding import derive_seed
from varireal.config import LlmConfig
from varireal.errors import UserError
from varireal.prompts.llm.backend import AskAgainError, Backend, LlmQuestion, MalformedAnswerError, Reply
from varireal.store import FolderStore, content_key

logger = logging.getLogger(__name__)

T = TypeVar("T")
_RECORD = "answer.json"


@dataclasses.dataclass(frozen=True)
class Asked:
    """Holds an answered question as it is stored: with parameters, date, raw answer and those refused before it."""

    record: dict[str, Any]
    kept: bool  # True: it was in the store, so that nothing was asked now


class Asker:
    """Puts questions to a model; finished answers lie in the store by content key."""

    def __init__(self, backend: Backend, config: LlmConfig, store: FolderStore) -> None:
        self._backend, self._config, self._store = backend, config, store

    def ask(self, question: LlmQuestion, parse: Callable[[str], T]) -> tuple[T, Asked]:
        """Return the parsed answer and its record, from the store if the same question was answered before.

        Args:
            parse: turns the answer's text into values, or raises MalformedAnswerError, after which it is asked again.

        Raises:
            UserError: no usable answer after ``llm.max_attempts``, or the endpoint refuses; answers so far are kept.
        """
        inputs = {**self._backend.describe(question), "messages": question.messages, "schema": question.schema,
                  "seed": question.seed}  # fmt: skip
        kept = self._store.get(content_key(inputs))
        if kept:
            record = read_json(kept.path / _RECORD)
            try:
                return parse(record["text"]), Asked(record, kept=True)
            except MalformedAnswerError as error:
                raise UserError(f"the kept answer {kept.path} cannot be used ({error}); delete this folder") from error
        rejected: list[dict[str, Any]] = []
        try:
            value, reply = self._until_usable(question, parse, rejected)
        except AskAgainError as error:
            raise UserError(self._given_up(question, inputs, rejected, error)) from error
        record = {
            "purpose": question.purpose,
            "about": question.about,
            **inputs,
            "text": reply.text,
            "input_tokens": reply.input_tokens + sum(answer["input_tokens"] for answer in rejected),
            "output_tokens": reply.output_tokens + sum(answer["output_tokens"] for answer in rejected),
            **_stored(reply),
            "rejected": rejected,
        }
        self._store.put({content_key(inputs): {_RECORD: json_bytes(record)}})
        return value, Asked(record, kept=False)

    def _until_usable(
        self, question: LlmQuestion, parse: Callable[[str], T], rejected: list[dict[str, Any]]
    ) -> tuple[T, Reply]:
        from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

        config = self._config
        backing_off = wait_exponential_jitter(initial=config.min_wait, max=config.max_wait, jitter=config.min_wait)

        def wait(state: Any) -> float:
            error = state.outcome.exception()
            if isinstance(error, MalformedAnswerError):
                return 0.0
            return max(backing_off(state), error.retry_after or 0.0)

        def tell(state: Any) -> None:
            error, seconds = state.outcome.exception(), state.next_action.sleep
            logger.warning("%s: %s; attempt %d of %d in %.1f s", question.about, error, state.attempt_number + 1,
                           config.max_attempts, seconds)  # fmt: skip

        retrying = Retrying(
            stop=stop_after_attempt(config.max_attempts),
            wait=wait,
            retry=retry_if_exception_type(AskAgainError),
            before_sleep=tell,
            reraise=True,
        )
        for attempt in retrying:
            with attempt:
                number = attempt.retry_state.attempt_number
                return self._once(question, parse, number, rejected)
        raise AssertionError("tenacity ends with a value or an exception")

    def _once(
        self, question: LlmQuestion, parse: Callable[[str], T], attempt: int, rejected: list[dict[str, Any]]
    ) -> tuple[T, Reply]:
        try:
            reply = self._backend.ask(question, derive_seed("answer", question.seed, attempt) % 2**31)
        except AskAgainError as error:
            if (error.retry_after or 0.0) > self._config.max_wait:
                raise UserError(
                    f"prompt.llm: {error}; that is more than llm.max_wait = {self._config.max_wait:g} s: run the same "
                    "command later, finished answers are kept"
                ) from error
            raise
        try:
            return parse(reply.text), reply
        except MalformedAnswerError as error:
            cut = f"; {reply.instead}" if reply.instead else ""
            cut += "" if reply.complete else " (cut off at llm.max_tokens)"
            rejected.append({"problem": f"{error}{cut}", "input_tokens": reply.input_tokens,
                             "output_tokens": reply.output_tokens, **_stored(reply)})  # fmt: skip
            raise MalformedAnswerError(f"{error}{cut}") from error

    def _given_up(
        self, question: LlmQuestion, inputs: dict[str, Any], rejected: list[dict[str, Any]], error: AskAgainError
    ) -> str:
        """Return the message of a question that got no usable answer; refused answers are stored for a look."""
        message = f"prompt.llm: {question.about}: no usable answer in {self._config.max_attempts} attempts; {error}"
        if not rejected:
            return f"{message}; run the same command again to go on, finished answers are kept"
        refused = {"purpose": question.purpose, "about": question.about, **inputs, "rejected": rejected}
        [kept] = self._store.put({content_key(refused): {_RECORD: json_bytes(refused)}})
        path = kept.path / _RECORD
        return f"{message}; the refused answers are in {path}; try another llm.model, or run again to go on"


def _stored(reply: Reply) -> dict[str, Any]:
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return {"date": now, "complete": reply.complete, "answer": reply.raw}
