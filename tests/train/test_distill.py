from __future__ import annotations

import pytest
import torch

from edgenn.bundle.manifest import ImageInput
from edgenn.errors import RecipeError
from edgenn.nets import NetSpec
from edgenn.ops.preprocess import Letterbox, Normalize
from edgenn.recipe.schema import Distill, Recipe
from edgenn.train import checkpoint
from edgenn.train.build import build_net
from edgenn.train.checkpoint import Header
from edgenn.train.distill import Teacher
from edgenn.train.losses import Detection, Loss

CPU = torch.device("cpu")
NOTHING = Loss(torch.zeros(()), {})


def header(size="n", labels=("a", "b"), std=255.0, side=64):
    recipe = Recipe.model_validate(
        {
            "name": "taught",
            "task": "detect",
            "data": {"format": "yolo", "path": "x"},
            "net": {"family": "csp", "size": size},
        }
    )
    steps = (Letterbox((side, side)), Normalize((0.0, 0, 0), (std, std, std)))
    return Header(
        edgenn="0", recipe=recipe, input=ImageInput(size=(side, side), steps=steps), labels=labels
    )


@pytest.fixture
def teacher(tmp_path):
    """A run of size s, and what makes a teacher of it for a student."""
    torch.manual_seed(0)
    net = build_net(header("s").recipe.net, NetSpec(2, (64, 64))).eval()
    checkpoint.save(
        tmp_path / checkpoint.BEST,
        header("s"),
        checkpoint.prefixed(checkpoint.MODEL, net.state_dict()),
    )

    def make(student):
        settings = Distill(run=str(tmp_path), weight=2.0)
        return Teacher(settings, student, Detection((8, 16, 32)), CPU)

    return net, make


def test_student_of_another_size_comes_to_say_the_same(teacher):
    taught = teacher[1](header("n"))
    torch.manual_seed(1)
    student = build_net(header("n").recipe.net, NetSpec(2, (64, 64))).train()
    optimizer = torch.optim.Adam(student.parameters(), 2e-3)
    x = torch.rand(4, 3, 64, 64)
    lost = []
    for _ in range(30):
        loss = taught.add(NOTHING, student(x), x)
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        lost.append(float(loss.parts["teacher"]))
    assert lost[-1] < 0.5 * lost[0]
    assert float(loss.total.detach()) == pytest.approx(2 * lost[-1])


def test_teacher_itself_has_nothing_to_learn(teacher):
    net, make = teacher
    x = torch.rand(2, 3, 96, 64)  # another size than it was trained at
    with torch.no_grad():
        loss = make(header("s")).add(NOTHING, net(x), x)
    assert float(loss.total) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize(
    ("student", "says"),
    [
        (header(labels=("a", "c")), "the teacher knows a, b, the data has a, c"),
        (header(std=1.0), "give the recipe the input.mean and input.std of the teacher"),
    ],
)
def test_refuses_a_student_of_other_things(teacher, student, says):
    with pytest.raises(RecipeError, match=says):
        teacher[1](student)
