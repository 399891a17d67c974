"""Which package of Debian, Raspberry Pi OS or JetPack has an element of GStreamer."""

from __future__ import annotations

import re

TOOLS = "sudo apt install gstreamer1.0-tools gstreamer1.0-plugins-base"
_ELEMENTS = {
    "gstreamer1.0-libcamera": "libcamerasrc",
    "gstreamer1.0-plugins-base": (
        "videoconvert videoscale videorate videotestsrc decodebin decodebin3 uridecodebin "
        "playbin tcpclientsrc tcpserversrc theoradec"
    ),
    "gstreamer1.0-plugins-good": (
        "rtspsrc udpsrc v4l2src v4l2h264dec v4l2jpegdec jpegdec pngdec rtph264depay rtph265depay "
        "rtpjpegdepay rtpjitterbuffer multipartdemux avidemux matroskademux qtdemux flvdemux "
        "souphttpsrc ximagesrc videobox videocrop videoflip vp8dec vp9dec multifilesrc y4menc"
    ),
    "gstreamer1.0-plugins-bad": (
        "h264parse h265parse openh264dec srtsrc rtmp2src tsdemux hlsdemux whepsrc libde265dec "
        "v4l2slh264dec v4l2slh265dec av1dec dashdemux decklinkvideosrc"
    ),
    "gstreamer1.0-plugins-ugly": "x264enc asfdemux mpeg2dec",
    "gstreamer1.0-libav": "avdec_h264 avdec_h265 avdec_hevc avdec_mjpeg avdec_mpeg4",
    "gstreamer1.0-pipewire": "pipewiresrc",
    "nvidia-l4t-gstreamer": (
        "nvarguscamerasrc nvvidconv nvv4l2camerasrc nvv4l2decoder nvjpegdec nvcompositor"
    ),
}
_PACKAGES = {e: package for package, words in _ELEMENTS.items() for e in words.split()}


def mend(text: str) -> str:
    """The end of a sentence: what to install for what GStreamer says is missing."""
    found = re.search(r"no element \"([\w-]+)\"|Missing element: ([\w-]+)", text)
    if found is None:
        if "Missing decoder" in text or "missing a plug-in" in text:
            return "; sudo apt install gstreamer1.0-libav gstreamer1.0-plugins-good"
        return ""
    element = found[1] or found[2]
    package = _PACKAGES.get(element)
    if package is None:
        return f"; if its name is right, `apt-file search {element}` names the package with it"
    if package == "nvidia-l4t-gstreamer":
        return f"; it is part of NVIDIA's JetPack: sudo apt install {package}"
    if package == "gstreamer1.0-libcamera":
        return f": {TOOLS} {package}"
    return f": sudo apt install {package}"
