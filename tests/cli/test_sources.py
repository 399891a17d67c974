from __future__ import annotations

import shlex

import pytest
from click.testing import CliRunner

from edgenn import plugins
from edgenn.cli.run import command as run
from edgenn.cli.sources import command
from edgenn.runtime import sources
from edgenn.runtime.sources import choose, open_source

NAMES = plugins.names(sources)


def test_lists_the_cameras_and_every_kind_of_source(monkeypatch):
    from edgenn.runtime.sources import camera

    monkeypatch.setattr(camera, "cameras", lambda: [("/dev/video2", "Doorbell")])
    shown = CliRunner().invoke(command, catch_exceptions=False).output
    assert "--camera /dev/video2" in shown
    assert "Doorbell" in shown
    for name in NAMES:
        assert plugins.load(sources, name).EXAMPLE in shown


def test_says_so_where_there_is_no_camera(monkeypatch):
    from edgenn.runtime.sources import camera

    monkeypatch.setattr(camera, "cameras", list)
    assert "has no camera" in CliRunner().invoke(command, catch_exceptions=False).output


@pytest.mark.parametrize("name", NAMES)
def test_examples_are_what_run_takes_and_mean_this_source(name):
    options = {option for param in run.params for option in param.opts}
    for example in plugins.load(sources, name).EXAMPLE.split(", "):
        option, text = shlex.split(example)
        assert option in options
        kinds = {"--camera": "camera", "--sensor": "csv"}
        # A folder is one only where it exists.
        if name not in ("images", "recording"):
            assert kinds.get(option) == name or choose(text, NAMES)[0] == name


def test_the_example_of_the_test_pattern_works():
    text = shlex.split(plugins.load(sources, "test").EXAMPLE)[1]
    with open_source(text) as source:
        assert next(iter(source)).image.shape == (240, 320, 3)
