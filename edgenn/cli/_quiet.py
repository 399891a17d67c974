"""Keeps libraries below from writing to the terminal what edgenn says in one sentence, and from
taking cores that the model needs.

With ``-v`` they may say it all.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from typing import Any, TypeGuard

import cv2

_log = logging.getLogger(__name__)


def hush_opencv() -> None:
    """OpenCV and FFmpeg report no failures by themselves, for the rest of the process."""
    if _log.isEnabledFor(logging.DEBUG):
        return
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    opencv: Any = cv2  # the stubs of each version know their own place only
    # Here up to OpenCV 4, there from 5.
    set_level = getattr(opencv, "setLogLevel", None) or opencv.utils.logging.setLogLevel
    set_level(0)


def calm_opencv() -> None:
    """OpenCV does its small work in the thread that asks for it, for the rest of the process.

    Its pool makes nothing here faster, and its workers spin: 0.6 ms of a core a frame.
    """
    cv2.setNumThreads(1)


@contextlib.contextmanager
def hushed_stderr() -> Iterator[None]:
    """Standard error goes nowhere meanwhile, also for C++ code.

    LiteRT announces its delegates there whenever it loads a model, and has no switch for it.
    What edgenn logs is still seen.
    """
    if _log.isEnabledFor(logging.DEBUG):
        yield
        return
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    loggers = [h for h in logging.getLogger().handlers if _writes_to_stderr(h)]
    voice = os.fdopen(os.dup(kept), "w", encoding="utf-8", errors="replace", buffering=1)
    before = [handler.setStream(voice) for handler in loggers]
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        for handler, stream in zip(loggers, before, strict=True):
            handler.setStream(stream)
        sys.stderr.flush()
        os.dup2(kept, 2)
        voice.close()
        os.close(kept)
        os.close(nowhere)


def _writes_to_stderr(handler: logging.Handler) -> TypeGuard[logging.StreamHandler[Any]]:
    return type(handler) is logging.StreamHandler and handler.stream is sys.stderr
