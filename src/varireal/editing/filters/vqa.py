"""Filter ``vqa``: a vision-language model is asked yes/no questions about an edited picture.

It is asked whether the picture shows what was asked for (``attribute``), whether it is still of its class (``class``),
and whether what it shows could be real (``possibility``). Which answer is hoped for is nowhere in the questions. The
last names no value, so that the answer has to come from the picture, and it is the same for feasible and infeasible
edits.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import numpy as np

from varireal.base.manifest import ATTRIBUTES, Attribute
from varireal.config import ComputeConfig, FilterConfig
from varireal.editing.attempts import FilterAnswer
from varireal.editing.filters.rules import counting, passes, rule_identity
from varireal.editing.filters.yes_no import KEY, YesNoModel
from varireal.editing.jobs import EditJob
from varireal.errors import UserError
from varireal.networks.checkpoints import checkpoint_identity
from varireal.prompts import PromptTable
from varireal.prompts.templates import article, named_object

INSTRUCTION = "Answer with yes or no."
_POSSIBLE: dict[Attribute, str] = {
    "background": "be in a place like the one in this image",
    "color": "have a color like the one in this image",
    "texture": "have a surface like the one in this image",
}


class VqaFilter:
    """Accepts an edit for which the questions, or enough of them, get the hoped-for answers with enough probability."""

    def __init__(self, config: FilterConfig, compute: ComputeConfig, table: PromptTable) -> None:
        self._config = config
        self._compute = compute
        self._domain_word = table.domain_word
        self._model = YesNoModel(str(config.model), config.revision, compute, config.batch_size)
        _check_words(table, self._model.image_token)

    @property
    def identity(self) -> dict[str, object]:
        """Return the model, the questions and the thresholds: all that decides an answer besides picture and job."""
        from varireal.compute.devices import device_type

        return {
            "name": "vqa",
            "model": self._config.model,
            "weights": checkpoint_identity(str(self._config.model), self._config.revision),
            "questions": {
                attribute: ask(attribute, "{phrase}", "{class}", self._domain_word) for attribute in ATTRIBUTES
            },
            "thresholds": self.thresholds,
            "dtype": self._compute.dtype,
            "device": device_type(self._compute),
            **rule_identity(self._config),
            **({} if len(self._counting) == len(self.thresholds) else {"ranked_by": self._counting}),
        }

    @property
    def thresholds(self) -> dict[str, float]:
        """Return the least score that passes, by question."""
        config = self._config
        return {
            "attribute": config.attribute_threshold,
            "class": config.class_threshold,
            "possibility": config.possibility_threshold,
        }

    @property
    def _counting(self) -> list[str]:
        return counting(self.thresholds)

    def load(self) -> None:
        """Load the model now, and ask it about a blank picture."""
        self._model.load()

    def check(self, images: Sequence[np.ndarray], jobs: Sequence[EditJob]) -> list[FilterAnswer]:
        """Judge the pictures.

        The scores are the probabilities of the hoped-for answers: yes for attribute and class, and for possibility yes
        where the edit is meant to be feasible and no where it is not.
        """
        asked = [ask(job.attribute, job.spec.phrase, job.photo.class_name, self._domain_word) for job in jobs]
        said = self._model.answers(images, [list(texts.values()) for texts in asked])
        return [self._answer(dict(zip(texts, yes)), job) for texts, yes, job in zip(asked, said, jobs)]

    def worth_another(self, answer: FilterAnswer) -> bool:
        """Return whether more failed than the question of what is possible, whose answer lies with the value."""
        failed = {name for name, least in self.thresholds.items() if answer.scores[name] < least}
        return failed != {"possibility"} or self._config.repaint_impossible

    def _answer(self, yes: dict[str, float], job: EditJob) -> FilterAnswer:
        possible = yes["possibility"]
        scores = {**yes, "possibility": possible if job.feasibility == "feasible" else 1 - possible}
        failed = sum(scores[name] < least for name, least in self.thresholds.items())
        return FilterAnswer(
            accepted=passes(scores, self.thresholds, self._config),
            scores=scores,
            # of attempts that fail, the one that fails fewer questions
            quality=fmean(scores[name] for name in self._counting) - failed,
        )


def ask(attribute: Attribute, phrase: str, class_name: str, domain_word: str) -> dict[str, str]:
    """Return the questions by name, for a value's phrase ("under water", "navy blue", "brick textured")."""
    subject = domain_word.strip() or "main object"
    thing = named_object(class_name, domain_word)
    texts = {
        "attribute": f"Is the {subject} in this image {phrase}?",
        "class": f"Is this a photo of {article(thing)}?",
        "possibility": f"Could a real {thing} {_POSSIBLE[attribute]}?",
    }
    return {name: f"{text} {INSTRUCTION}" for name, text in texts.items()}


def _check_words(table: PromptTable, image_token: str) -> None:
    """Refuse words that a prompt would read as the place of a picture."""
    phrases = [spec.phrase for attribute in table.attributes for spec in table.all_specs(attribute)]
    for text in (table.domain_word, *table.classes, *phrases):
        if image_token in text:
            raise UserError(
                f"{text!r} holds {image_token}, which {KEY} reads as the place of a picture; rename the class or "
                "change the prompt bank"
            )
