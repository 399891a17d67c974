from __future__ import annotations

import pytest
from pydantic import ValidationError

from edgenn.recipe.schema import Input, Recipe, subsection


def _least() -> dict:
    return {
        "name": "watch",
        "task": "sequence",
        "data": {"format": "npz", "path": "x.npz"},
        "net": {"family": "rnn"},
    }


def test_a_side_means_a_square():
    assert Input(imgsz=96).size == (96, 96)
    assert Input(imgsz=(64, 96)).size == (64, 96)


def test_a_recipe_needs_only_what_cannot_be_guessed():
    assert {k for k, f in Recipe.model_fields.items() if f.is_required()} == set(_least())
    Recipe.model_validate(_least())


def test_a_recipe_cannot_be_changed_after_it_was_checked():
    with pytest.raises(ValidationError, match="frozen"):
        Recipe.model_validate(_least()).name = "other"


def test_every_key_says_what_it_means_or_is_plain():
    """Numbers with units or limits need a word; these keys are their own explanation."""
    plain = {"task", "seed", "epochs", "weight_decay", "samples", "count"}
    sections = [Recipe]
    for section in sections:
        for name, field in section.model_fields.items():
            inner = subsection(field)
            if inner is not None:
                sections.append(inner)
            else:
                assert field.description or name in plain, f"{section.__name__}.{name}"
