"""Which layout the files of well known families are taken for, by what they give out."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from edgenn import plugins
from edgenn.ops import decode
from edgenn.ops.decode import Foreign

Shapes = Mapping[str, tuple[int, ...]]
ULTRALYTICS = {"task": "detect"}
END2END = {"task": "detect", "end2end": "True"}
RTDETR = {"task": "detect", "description": "Ultralytics rtdetr-l model"}
POSE = {"task": "pose", "kpt_shape": "[17, 3]"}
SEGMENT = {"task": "segment"}
TF1 = "TFLite_Detection_PostProcess"


def _pico(size: int, numbers: int = 32, strides: tuple[int, ...] = (8, 16, 32, 64)) -> Shapes:
    counts = [(-(-size // stride)) ** 2 for stride in strides]
    found: dict[str, tuple[int, ...]] = {f"s{i}": (1, n, 80) for i, n in enumerate(counts)}
    return found | {f"b{i}": (1, n, numbers) for i, n in enumerate(counts)}


# Family, layout, side or height and width, number of labels that the file knows, outputs, metadata.
FAMILIES: list[tuple[str, str, int | tuple[int, int], int, Shapes, Mapping[str, str]]] = [
    ("yolov5n", "yolov5", 640, 80, {"output0": (1, 25200, 85)}, {}),
    ("yolov5n without names", "yolov5", 640, 0, {"output0": (1, 25200, 85)}, {}),
    ("yolov5n 320", "yolov5", 320, 80, {"output0": (1, 6300, 85)}, {}),
    ("yolov5n tflite", "yolov5", 320, 80, {"StatefulPartitionedCall:0": (1, 6300, 85)}, {}),
    ("yolov5n of one class", "yolov5", 640, 1, {"output0": (1, 25200, 6)}, {}),
    ("yolov5n 128 of one class", "yolov5", 128, 1, {"output0": (1, 1008, 6)}, {}),
    ("yolov5n6", "yolov5", 1280, 80, {"output0": (1, 102000, 85)}, {}),
    (
        "yolov5n-seg",
        "yolov5",
        640,
        80,
        {"output0": (1, 25200, 117), "output1": (1, 32, 160, 160)},
        {},
    ),
    (
        "yolov7-tiny",
        "yolov5",
        640,
        0,
        {"output": (1, 25200, 85), **{str(s): (1, 3, s, s, 85) for s in (80, 40, 20)}},
        {},
    ),
    ("yolov6n", "yolov5", 640, 0, {"outputs": (1, 8400, 85)}, {}),
    ("yolov6n of three classes", "yolov5", 640, 3, {"outputs": (1, 8400, 8)}, {}),
    ("yolov7-tiny end2end", "end2end", 640, 0, {"output": (0, 7)}, {}),
    ("yolov8n", "yolov8", 640, 80, {"output0": (1, 84, 8400)}, ULTRALYTICS),
    ("yolov8n without metadata", "yolov8", 640, 0, {"output0": (1, 84, 8400)}, {}),
    ("yolov8n tflite", "yolov8", 640, 80, {"Identity": (1, 84, 8400)}, ULTRALYTICS),
    ("yolov8n transposed", "yolov8", 640, 80, {"output0": (1, 8400, 84)}, {}),
    ("yolov8n of two classes", "yolov8", 640, 2, {"output0": (1, 6, 8400)}, ULTRALYTICS),
    ("yolov8n-p2", "yolov8", 640, 80, {"output0": (1, 84, 34000)}, ULTRALYTICS),
    ("yolo11n-pose", "yolov8", 640, 1, {"output0": (1, 56, 8400)}, POSE),
    (
        "yolo11n-seg",
        "yolov8",
        640,
        80,
        {"output0": (1, 116, 8400), "output1": (1, 32, 160, 160)},
        SEGMENT,
    ),
    ("yolo11n-cls", "classes", 224, 1000, {"output0": (1, 1000)}, {"task": "classify"}),
    ("yolov8n with NMS", "end2end", 640, 80, {"output0": (1, 300, 6)}, ULTRALYTICS),
    (
        "yolov8n for TensorRT",
        "end2end",
        640,
        0,
        {"num_dets": (1, 1), "bboxes": (1, 100, 4), "scores": (1, 100), "labels": (1, 100)},
        {},
    ),
    ("yolov10n", "end2end", 640, 80, {"output0": (1, 300, 6)}, ULTRALYTICS),
    ("yolov10n without metadata", "end2end", 640, 0, {"output0": (1, 300, 6)}, {}),
    ("yolo26n of two classes", "end2end", 640, 2, {"output0": (1, 300, 6)}, END2END),
    ("yolo26n", "end2end", 640, 80, {"output0": (1, 300, 6)}, ULTRALYTICS),
    ("yolo26n-pose", "end2end", 640, 1, {"output0": (1, 300, 57)}, POSE),
    (
        "yolo26n-seg",
        "end2end",
        640,
        80,
        {"output0": (1, 300, 38), "output1": (1, 32, 160, 160)},
        SEGMENT,
    ),
    ("yolox-nano", "yolox", 416, 0, {"output": (1, 3549, 85)}, {}),
    ("yolox-s", "yolox", 640, 80, {"output": (1, 8400, 85)}, {}),
    ("yolox-s of one class", "yolox", 640, 1, {"output": (1, 8400, 6)}, {}),
    ("nanodet-m 320", "nanodet", 320, 0, {"output": (1, 2100, 112)}, {}),
    ("nanodet-plus-m 320", "nanodet", 320, 0, {"output": (1, 2125, 112)}, {}),
    ("nanodet-plus-m 416", "nanodet", 416, 80, {"output": (1, 3598, 112)}, {}),
    ("nanodet-plus-m of one class", "nanodet", 416, 1, {"output": (1, 3598, 33)}, {}),
    ("nanodet-m v0", "picodet", 320, 0, _pico(320, 32, (8, 16, 32)), {}),
    ("picodet-s 320", "picodet", 320, 0, _pico(320), {}),
    ("picodet-m 416", "picodet", 416, 80, _pico(416), {}),
    (
        "picodet-s with post-processing",
        "picodet",
        320,
        0,
        {"tmp_16": (1, 2125, 4), "concat_4.tmp_0": (1, 80, 2125)},
        {},
    ),
    (
        "picodet-s with NMS",
        "end2end",
        320,
        0,
        {"multiclass_nms3_0.tmp_0": (0, 6), "multiclass_nms3_0.tmp_2": (1,)},
        {},
    ),
    ("ppyoloe", "picodet", 640, 0, {"tmp_20": (1, 8400, 4), "concat": (1, 80, 8400)}, {}),
    ("rtmdet of mmdeploy", "end2end", 640, 0, {"dets": (1, 100, 5), "labels": (1, 100)}, {}),
    ("fastestdet", "fastestdet", 352, 0, {"758": (1, 85, 22, 22)}, {}),
    ("fastestdet of three classes", "fastestdet", 352, 3, {"758": (1, 8, 22, 22)}, {}),
    (
        "ssd mobilenet, tflite",
        "ssd_post",
        300,
        0,
        {TF1: (1, 10, 4), f"{TF1}:1": (1, 10), f"{TF1}:2": (1, 10), f"{TF1}:3": (1,)},
        {},
    ),
    (
        "efficientdet-lite0",
        "ssd_post",
        320,
        90,
        {"Call:0": (1, 25), "Call:1": (1, 25, 4), "Call:2": (1,), "Call:3": (1, 25)},
        {},
    ),
    ("ssd mobilenet, torch", "ssd", 300, 0, {"scores": (1, 3000, 21), "boxes": (1, 3000, 4)}, {}),
    ("ssd300 vgg", "ssd", 300, 0, {"a": (1, 8732, 4), "b": (1, 8732, 21)}, {}),
    ("efficientdet-d0", "ssd", 512, 90, {"boxes": (1, 49104, 4), "scores": (1, 49104, 90)}, {}),
    (
        "efficientdet-lite0 for MediaPipe",
        "ssd",
        320,
        90,
        {"Call:0": (1, 19206, 4), "Call:1": (1, 19206, 90)},
        {},
    ),
    (
        "ssd mobilenet of 23 classes",
        "ssd",
        300,
        23,
        {"raw/box_encodings": (1, 1917, 4), "raw/class_predictions": (1, 1917, 24)},
        {},
    ),
    ("ssd fpn 640", "ssd", 640, 90, {"boxes": (1, 51150, 4), "scores": (1, 51150, 91)}, {}),
    ("blazeface short", "blaze", 128, 0, {"r": (1, 896, 16), "c": (1, 896, 1)}, {}),
    (
        "blazeface grid by grid",
        "blaze",
        128,
        0,
        {
            "Identity:0": (1, 512, 1),
            "Identity_1:0": (1, 384, 1),
            "Identity_2:0": (1, 512, 16),
            "Identity_3:0": (1, 384, 16),
        },
        {},
    ),
    (
        "palm detection",
        "blaze",
        192,
        0,
        {"Identity": (1, 2016, 18), "Identity_1": (1, 2016, 1)},
        {},
    ),
    (
        "ultraface rfb-320",
        "ultraface",
        (240, 320),
        0,
        {"scores": (1, 4420, 2), "boxes": (1, 4420, 4)},
        {},
    ),
    (
        "yunet 2023mar",
        "yunet",
        640,
        0,
        {
            f"{name}_{stride}": (1, (640 // stride) ** 2, width)
            for name, width in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10))
            for stride in (8, 16, 32)
        },
        {},
    ),
    (
        "scrfd with points",
        "scrfd",
        640,
        0,
        {
            f"{number + i}": (2 * (640 // stride) ** 2, width)
            for number, width in ((443, 1), (446, 4), (449, 10))
            for i, stride in enumerate((8, 16, 32))
        },
        {},
    ),
    ("detr-resnet-50", "detr", 800, 0, {"logits": (1, 100, 92), "pred_boxes": (1, 100, 4)}, {}),
    ("rt-detr", "detr", 640, 0, {"logits": (1, 300, 80), "pred_boxes": (1, 300, 4)}, {}),
    (
        "rt-detr with post-processing",
        "end2end",
        640,
        0,
        {"labels": (1, 300), "boxes": (1, 300, 4), "scores": (1, 300)},
        {},
    ),
    (
        "faster r-cnn of torchvision",
        "end2end",
        640,
        90,
        {"boxes": (7, 4), "labels": (7,), "scores": (7,)},
        {},
    ),
    (
        "mask r-cnn of torchvision with nothing found",
        "end2end",
        640,
        2,
        {"boxes": (0, 4), "labels": (0,), "scores": (0,), "masks": (0, 1, 640, 640)},
        {},
    ),
    (
        "ssd of the onnx model zoo",
        "end2end",
        1200,
        80,
        {"bboxes": (1, 200, 4), "labels": (1, 200), "scores": (1, 200)},
        {},
    ),
    (
        "ssd mobilenet of tensorflow",
        "ssd_post",
        640,
        90,
        {
            "detection_anchor_indices": (1, 100),
            "detection_boxes": (1, 100, 4),
            "detection_classes": (1, 100),
            "detection_multiclass_scores": (1, 100, 91),
            "detection_scores": (1, 100),
            "num_detections": (1,),
            "raw_detection_boxes": (1, 1917, 4),
            "raw_detection_scores": (1, 1917, 91),
        },
        {},
    ),
    (
        "yolo-nas in a batch",
        "end2end",
        640,
        80,
        {
            "graph2_num_predictions": (1, 1),
            "graph2_pred_boxes": (1, 1000, 4),
            "graph2_pred_scores": (1, 1000),
            "graph2_pred_classes": (1, 1000),
        },
        {},
    ),
    ("yolo-nas", "end2end", 640, 80, {"graph2_flat_predictions": (9, 7)}, {}),
    ("yolov4", "ssd", 416, 80, {"boxes": (1, 10647, 1, 4), "confs": (1, 10647, 80)}, {}),
    ("yolov4-tiny", "ssd", 416, 20, {"boxes": (1, 2535, 1, 4), "confs": (1, 2535, 20)}, {}),
    ("yolov8n of three, without names", "yolov8", 640, 0, {"output0": (1, 7, 8400)}, {}),
    ("rt-detr of ultralytics", "yolov8", 640, 80, {"output0": (1, 300, 84)}, ULTRALYTICS),
    ("rt-detr of two classes", "yolov8", 640, 2, {"output0": (1, 300, 6)}, RTDETR),
    ("movenet lightning", "movenet", 192, 0, {"output_0": (1, 1, 17, 3)}, {}),
    ("movenet multipose", "movenet", 256, 0, {"output_0": (1, 6, 56)}, {}),
    (
        "hand landmark",
        "landmarks",
        224,
        0,
        {"Identity": (1, 63), "Identity_1": (1, 1), "Identity_2": (1, 1), "Identity_3": (1, 63)},
        {},
    ),
    (
        "face mesh",
        "landmarks",
        192,
        0,
        {"conv2d_21": (1, 1, 1, 1404), "conv2d_31": (1, 1, 1, 1)},
        {},
    ),
    (
        "iris landmark",
        "landmarks",
        64,
        0,
        {"output_eyes_contours_and_brows": (1, 213), "output_iris": (1, 15)},
        {},
    ),
    ("mobilenet v2", "classes", 224, 0, {"output": (1, 1000)}, {}),
    ("mobilenet v1 tflite", "classes", 224, 0, {"Predictions": (1, 1001)}, {}),
    ("classifier of seven", "classes", 224, 7, {"output": (1, 7)}, {}),
    ("classifier with a map's axes", "classes", 224, 1000, {"output": (1, 1000, 1, 1)}, {}),
]


@pytest.mark.parametrize(
    ("layout", "size", "labels", "shapes", "metadata"),
    [case[1:] for case in FAMILIES],
    ids=[case[0] for case in FAMILIES],
)
def test_one_layout_alone_is_sure_and_it_is_the_right_one(layout, size, labels, shapes, metadata):
    sides = (size, size) if isinstance(size, int) else size
    file = Foreign({}, shapes, sides, labels, metadata)
    sure = {}
    for name in plugins.names(decode):
        module = plugins.load(decode, name)
        match = module.recognise(file) if hasattr(module, "recognise") else None
        if match is not None and match.sure:
            sure[name] = match
    assert set(sure) == {layout}
    assert not labels or sure[layout].classes == labels


def test_every_layout_of_foreign_files_has_a_family_here():
    known = {n for n in plugins.names(decode) if hasattr(plugins.load(decode, n), "recognise")}
    # Of shapes alone ltrb and fomo are never sure.
    assert known - {"ltrb", "fomo"} == {case[1] for case in FAMILIES}
