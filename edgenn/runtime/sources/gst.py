"""Any GStreamer pipeline that ends in pictures, run by gst-launch-1.0.

``gst:v4l2src device=/dev/video0 ! image/jpeg,width=1280 ! jpegdec``, without a sink; an
``appsink`` at the end, as OpenCV wants it, is left out. Heeds ``size``, by scaling; the
rate is for the pipeline to say. Of live pipelines only the newest frame waits.
"""

from __future__ import annotations

import re

from edgenn.errors import SourceError
from edgenn.runtime.sources import Kind, Options, _query
from edgenn.runtime.sources._gst import Gst

KIND: Kind = "image"
EXAMPLE = "--source 'gst:videotestsrc is-live=true ! video/x-raw,width=640,height=480'"

_APPSINK = re.compile(r"!\s*appsink\b[^!]*$")


def open_source(name: str, options: Options) -> Gst:
    """Start the pipeline and wait for its size.

    Raises:
        SourceError: It cannot be built, fails, or gives nothing within 10 s.
    """
    pipeline = _APPSINK.sub("", name).strip()
    if not pipeline:
        raise SourceError(f"a pipeline is missing, as in {EXAMPLE}")
    return Gst(f"gst:{_query.without_secrets(pipeline)}", pipeline, options.size)
