"""Classifiers of several labels at once and of one, from small exported nets."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from colour_nets import BLUE, FRAME, IMAGENET, LABELS, RED, SCORE, Net, draw, export

from edgenn.errors import UsageError
from edgenn.runtime.foreign import Wishes, load_any

WISHES = Wishes(normalize="imagenet", labels=LABELS)
LOW = 1 / (1 + np.exp(15))


class Which(Net):
    """How sure each colour is somewhere; ``last`` makes scores of the logits, or leaves them."""

    def __init__(self, last) -> None:
        super().__init__(IMAGENET)
        self.last = last

    def forward(self, image):
        return self.last(self.alike(image, 16).amax(1).clamp(min=-15))


@pytest.mark.parametrize(
    ("last", "wishes"),
    [
        (torch.sigmoid, WISHES),
        (
            lambda logits: logits,
            Wishes(normalize="imagenet", labels=LABELS, activation="sigmoid"),
        ),
    ],
    ids=["scores", "logits"],
)
def test_several_labels_may_hold_at_once(tmp_path, last, wishes):
    path = export(Which(last), tmp_path / "a.onnx")
    model = load_any(path, wishes=wishes)
    for things, wanted in (
        ([RED, BLUE], [SCORE, SCORE]),
        ([RED], [SCORE, LOW]),
        ([BLUE], [LOW, SCORE]),
        ([], [LOW, LOW]),
    ):
        np.testing.assert_allclose(model.predict(draw("crop", things)).scores, wanted, atol=3e-3)


@pytest.mark.parametrize(
    "last", [lambda logits: logits, lambda logits: logits.softmax(1)[:, :, None, None]]
)
def test_one_label_of_several(tmp_path, last):
    model = load_any(export(Which(last), tmp_path / "a.onnx"), wishes=WISHES)
    for thing, name in ((RED, "red"), (BLUE, "blue")):
        found = model.predict(draw("crop", [thing]))
        assert found.label == name
        np.testing.assert_allclose(found.scores.sum(), 1, atol=1e-5)
        assert found.scores.max() > 0.999


def test_what_lies_beside_the_middle_of_the_picture_is_cut_off(tmp_path):
    model = load_any(export(Which(torch.sigmoid), tmp_path / "a.onnx"), wishes=WISHES)
    dark, picture = draw("crop", []), np.full((*FRAME, 3), (90, 40, 200), np.uint8)
    assert model.predict(picture).scores[0] > 0.9
    picture[22:106, 12:180] = dark[22:106, 12:180]
    assert model.predict(picture).scores.max() < 0.01


def test_shares_of_one_are_scores_however_few_there_are(tmp_path):
    wishes = Wishes(normalize="imagenet")
    path = export(Which(lambda logits: logits.softmax(1)), tmp_path / "a.onnx")
    model = load_any(path, wishes=wishes)
    assert model.manifest.decode.name == "classes"
    assert model.predict(draw("crop", [BLUE])).label == "class 1"
    path = export(Which(torch.sigmoid), tmp_path / "b.onnx")
    with pytest.raises(UsageError, match="--as classes"):
        load_any(path, wishes=wishes)


@pytest.mark.parametrize("last", [torch.sigmoid, lambda logits: logits * 2])
def test_one_score_tells_two_classes_apart(tmp_path, last):
    """Keras' nets for two classes: near 1 is the second."""
    path = export(Which(lambda logits: last(logits[:, 1:])), tmp_path / "a.onnx")
    with pytest.raises(UsageError, match=r"--as classes .*one score"):
        load_any(path, wishes=Wishes(normalize="imagenet"))
    model = load_any(path, wishes=WISHES)
    for thing, name in ((RED, "red"), (BLUE, "blue")):
        found = model.predict(draw("crop", [thing]))
        assert found.label == name
        np.testing.assert_allclose(found.scores.sum(), 1, atol=1e-6)
        assert found.scores.max() > 0.9
