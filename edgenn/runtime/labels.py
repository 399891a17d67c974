"""Label lists that models are often trained with and seldom carry."""

from __future__ import annotations

from pathlib import Path

# COCO, Lin et al. 2014 (https://arxiv.org/abs/1405.0312), its 80 classes in order.
# fmt: off
COCO = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat",
    "traffic light", "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat",
    "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "backpack",
    "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard", "sports ball",
    "kite", "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket",
    "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple",
    "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair",
    "couch", "potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote",
    "keyboard", "cell phone", "microwave", "oven", "toaster", "sink", "refrigerator", "book",
    "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
)
# fmt: on

# Of its 91 ids these have no class; files of TensorFlow's detectors count them all.
_GAPS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)


def _with_gaps() -> tuple[str, ...]:
    names = iter(COCO)
    return tuple(f"unused {i}" if i in _GAPS else next(names) for i in range(1, 91))


# COCO's ids from 1 to 90, person first.
COCO_90 = _with_gaps()


def imagenet() -> tuple[str, ...]:
    """ImageNet's 1000 classes, Russakovsky et al. 2015 (https://arxiv.org/abs/1409.0575), in the
    order of their WordNet ids, each by its first WordNet name.
    """
    text = Path(__file__).with_name("imagenet.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())
