"""What holds for every reader."""

from __future__ import annotations

import pytest

from edgenn import plugins
from edgenn.data import readers
from edgenn.errors import DataError, RecipeError

LAYOUTS = plugins.names(readers)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_empty_folder_is_one_sentence(read, tmp_path, layout):
    with pytest.raises(DataError, match=str(tmp_path)):
        read(layout)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("rule", ["person[", "person"])
def test_group_must_be_an_expression_with_a_bracket(read, photo, write, layout, rule):
    photo("images/a.jpg")
    write("a.xml", "<annotation/>")
    write("a.json", '{"images": [], "annotations": [], "categories": []}')
    write("a.csv", "x,label\n1,a\n")
    write("a.npz", "")
    with pytest.raises(RecipeError, match=r"data\.split\.group"):
        read(layout, split={"group": rule})


@pytest.mark.parametrize("layout", ["csv", "npz", "mat", "clips"])
@pytest.mark.parametrize("rule", ["a(", "a"])
def test_label_pattern_must_be_an_expression_with_a_bracket(read, write, layout, rule):
    for suffix in ("csv", "npz", "mat", "avi"):
        write(f"a.{suffix}", "")
    with pytest.raises(RecipeError, match=r"data\.label_pattern"):
        read(layout, label_pattern=rule)
