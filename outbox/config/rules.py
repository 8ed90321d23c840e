"""Checks that settings models share; the names in their sentences come from the fields."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pydantic import AfterValidator, BaseModel
from pydantic_core import PydanticCustomError

from outbox.config.quantities import seconds_text

SENTENCE = "sentence"


def broken_rule(sentence: str, *, field: str | None = None) -> PydanticCustomError:
    """Return the error for a value that breaks a rule.

    Args:
        sentence: the whole message, without any value of a secret.
        field: the field to blame, if the rule is a model's.
    """
    context: dict[str, object] = {"sentence": sentence}
    if field is not None:
        context["field"] = field
    return PydanticCustomError(SENTENCE, "{sentence}", context)


@dataclass(frozen=True, slots=True)
class Matching:
    """A check for text whose pattern is no explanation for people; the whole text must match."""

    pattern: str
    sentence: str

    def __call__(self, text: str) -> str:
        """Return the text.

        Raises:
            PydanticCustomError: with the sentence.
        """
        if re.fullmatch(self.pattern, text) is None:
            raise broken_rule(self.sentence)
        return text


def matching(pattern: str, sentence: str) -> AfterValidator:
    """Return the check as what a field is annotated with."""
    return AfterValidator(Matching(pattern, sentence))


def check_duration_order(model: BaseModel, *, larger: str, smaller: str, factor: int = 1) -> None:
    """Refuse a duration shorter than another; with a factor it must be longer than that many times the other.

    Raises:
        PydanticCustomError: blames ``larger``.
    """
    small_seconds, large_seconds = float(getattr(model, smaller)), float(getattr(model, larger))
    if large_seconds > factor * small_seconds or (factor == 1 and large_seconds == small_seconds):
        return
    relation = f"at least {smaller}" if factor == 1 else f"greater than {factor} x {smaller}"
    origin = "" if larger in model.model_fields_set else f"is {seconds_text(large_seconds)} unless set, but "
    example_seconds = small_seconds if factor == 1 else round((factor + 1) * small_seconds, 3)
    limit, example = seconds_text(small_seconds), seconds_text(example_seconds)
    raise broken_rule(f"{origin}must be {relation} ({limit}), for example {example}", field=larger)
