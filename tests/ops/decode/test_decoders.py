from __future__ import annotations

import inspect

import pytest

from edgenn import plugins
from edgenn.errors import ModelError
from edgenn.ops import decode

NAMES = plugins.names(decode)


@pytest.mark.parametrize("name", NAMES)
def test_every_decoder_is_built_in_the_same_way(name):
    build = plugins.load(decode, name).build
    assert list(inspect.signature(build).parameters) == ["params", "labels", "size"]


@pytest.mark.parametrize("name", NAMES)
def test_every_decoder_refuses_what_it_does_not_know(name):
    build = plugins.load(decode, name).build
    with pytest.raises(ModelError, match="no parameter 'nonsense'"):
        build({"nonsense": 1}, ("a", "b"), (64, 64))
