"""What a language model is asked, what it answers, and how it can fail."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, Protocol

Purpose = Literal["propose", "judge"]


class AskAgainError(Exception):
    """Tells of a failure that may pass; its message is one line.

    Attributes:
        retry_after: seconds that the server asks to wait, or None.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class MalformedAnswerError(AskAgainError):
    """Tells of an answer that cannot be used; another one may be better."""


@dataclasses.dataclass(frozen=True)
class LlmQuestion:
    """Puts one question, with the form that its answer must have."""

    purpose: Purpose
    about: str  # for messages and records: "background, feasible, all classes, round 1"
    system: str
    user: str
    schema: dict[str, Any]  # JSON schema: an object whose only member is a list
    seed: int

    @property
    def member(self) -> str:
        """Return the name of the list that the answer holds."""
        return next(iter(self.schema["properties"]))

    @property
    def messages(self) -> list[dict[str, str]]:
        """Return the conversation so far, in the form that endpoints and chat templates take."""
        return [{"role": "system", "content": self.system}, {"role": "user", "content": self.user}]


@dataclasses.dataclass(frozen=True)
class Reply:
    """Holds an answer as it came."""

    text: str
    complete: bool  # False: cut off at the token limit
    input_tokens: int
    output_tokens: int
    raw: Any  # the whole answer, a JSON value
    instead: str = ""  # what came where the answer has no text of its own, for messages


class Backend(Protocol):
    """Answers questions: a language model."""

    concurrency: int  # how many questions it may be asked at the same time

    def describe(self, question: LlmQuestion) -> dict[str, Any]:
        """Return what an answer depends on besides the question: where, which model, which parameters; no key."""
        ...

    def ask(self, question: LlmQuestion, seed: int) -> Reply:
        """Ask once.

        Raises:
            AskAgainError: the failure may pass.
            UserError: asking again would not help.
        """
        ...
