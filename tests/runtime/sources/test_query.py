from __future__ import annotations

import pytest

from edgenn.runtime.sources._answers import why_not
from edgenn.runtime.sources._query import without_secrets


@pytest.mark.parametrize("password", ["p", "p@q", "p:q", "p/q", "p?q", "p#q", "p q", "ä"])
def test_no_part_of_a_password_is_shown(password):
    url = f"rtsp://me:{password}@10.0.0.7:554/1"
    assert without_secrets(url) == "rtsp://10.0.0.7:554/1"
    assert without_secrets(f"{url} broke off") == "rtsp://10.0.0.7:554/1 broke off"


@pytest.mark.parametrize(
    "url",
    [
        "http://[::1]:80/x@y",
        "http://host:80/a@b",
        "http://host/a:b@c",
        "rtsp://host:554/1 and me@home",
        "rtsp://host:554",
    ],
)
def test_what_is_no_password_stays(url):
    assert without_secrets(url) == url


def test_why_a_url_is_none_has_no_part_of_the_password():
    why = why_not("rtsp://me:secret/1@127.0.0.1:1/x")
    assert "secret" not in why
    assert "%2F" in why
