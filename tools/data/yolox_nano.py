"""COCO weights of YOLOX-Nano for the network csp yolox: ``.cache/yolox_nano.pth``.

    python tools/data/yolox_nano.py FOLDER/yolox_nano.onnx RECIPE

Classes are those of the recipe's data, which must be among COCO's. A hundred of
its training pictures give the normalisations statistics; their labels play no part.

Apache-2.0, https://github.com/Megvii-BaseDetection/YOLOX, release 0.1.1. Its
ONNX file has the convolutions in the order in which they run, each joined with
its normalisation. The joined bias goes to the normalisation that is here. Its score
is the product of two probabilities, here their logits are added: much the same order.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import cv2
import onnx
import torch
from _wheel import CACHE
from onnx import numpy_helper
from torch import Tensor, nn

from edgenn.data import Dataset
from edgenn.data.images import read
from edgenn.data.load import load_dataset
from edgenn.nets import NetSpec, csp
from edgenn.recipe.load import load_recipe
from edgenn.runtime.labels import COCO

SIZE = (320, 320)
Pair = tuple[Tensor, Tensor]


def parameters(path: Path) -> tuple[list[Pair], dict[str, Pair]]:
    """Weights and biases in the order of the graph; those of the last ones of the head by name."""
    graph = onnx.load(path).graph
    values = {i.name: torch.tensor(numpy_helper.to_array(i)) for i in graph.initializer}
    order, ends = [], {}
    for node in graph.node:
        if node.op_type == "Conv":
            pair = values[node.input[1]], values[node.input[2]]
            if "_preds" in node.input[1]:
                ends[node.input[1].removeprefix("head.").removesuffix(".weight")] = pair
            else:
                order.append(pair)
    return order, ends


def stem(weight: Tensor) -> Tensor:
    """The first convolution, of pixels 0..255 BGR in groups of 2x2, as one of 6x6 on 0..1 RGB."""
    outputs = len(weight)
    wide = torch.zeros(outputs, 3, 6, 6)
    for group, (dy, dx) in enumerate(((0, 0), (1, 0), (0, 1), (1, 1))):
        wide[:, :, dy::2, dx::2] = weight[:, 3 * group : 3 * group + 3]
    return wide.flip(1) * 255


def in_order(net: nn.Module) -> list[csp.Conv]:
    """The blocks of ``net``, in the order in which they run."""
    order: list[csp.Conv] = []
    hooks = [
        module.register_forward_pre_hook(lambda m, _: order.append(m))
        for module in net.modules()
        if isinstance(module, csp.Conv)
    ]
    net(torch.zeros(1, 3, *SIZE))
    for hook in hooks:
        hook.remove()
    return order


def fill(block: csp.Conv, weight: Tensor, bias: Tensor) -> None:
    """Copy one convolution; its normalisation only adds the bias."""
    conv, norm = block[0], block[1]
    if conv.weight.shape != weight.shape:
        raise SystemExit(f"{tuple(weight.shape)} in the file, {tuple(conv.weight.shape)} here")
    conv.weight.copy_(weight)
    norm.bias.copy_(bias)
    norm.weight.fill_((1 + norm.eps) ** 0.5)


def rebuild(blocks: list[csp.Conv], net: nn.Module, pictures: Tensor) -> None:
    """Give every normalisation the statistics of its input, and keep what it computes."""
    seen: dict[nn.Module, Pair] = {}

    def note(norm: nn.Module, inputs: tuple[Tensor]) -> None:
        var, mean = torch.var_mean(inputs[0], (0, 2, 3))
        seen[norm] = (mean, var)

    hooks = [block[1].register_forward_pre_hook(note) for block in blocks]
    net.eval()(pictures)
    for hook in hooks:
        hook.remove()
    for norm, (mean, var) in seen.items():
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(var)
        norm.weight.copy_((var + norm.eps).sqrt())
        norm.bias.add_(mean)


def divide(net: csp.Detector, photos: Tensor) -> csp.Detector:
    """The same network with its first layers in parts, channels of similar range together."""
    tops: list[Tensor] = []
    whole = net.backbone.stem
    hook = whole[1].register_forward_hook(lambda _, __, out: tops.append(out.amax((0, 2, 3))))
    net(photos)
    hook.remove()
    order = tops[0].argsort(descending=True)
    classes = net.heads[0].outputs.scores.out_channels
    config = csp.SIZES["yolox"]
    divided = csp.build(config, NetSpec(classes, SIZE)).eval()
    first, second = net.backbone.stages[0][0]
    for part, channels in zip(divided.backbone.stem.parts, order.chunk(config.parts), strict=True):
        for mine, given in zip(part, (whole, first), strict=True):
            values = {n: t if t.ndim == 0 else t[channels] for n, t in given.state_dict().items()}
            mine.load_state_dict(values)
    after = second.state_dict()
    after["0.weight"] = after["0.weight"][:, order]
    divided.backbone.stages[0][0].load_state_dict(after)
    rest = net.state_dict()
    own = divided.state_dict().keys()
    moved = ("backbone.stem.", "backbone.stages.0.0.")
    kept = {n: t for n, t in rest.items() if n in own and not n.startswith(moved)}
    divided.load_state_dict(kept, strict=False)
    return divided


def finish(net: csp.Detector, ends: dict[str, Pair], classes: list[int]) -> None:
    """Copy the last convolutions."""
    for i, head in enumerate(net.heads):
        for name, own in (
            ("cls", head.outputs.scores),
            ("obj", head.outputs.objectness),
            ("reg", head.outputs.distances),
        ):
            kept = classes if name == "cls" else slice(None)
            for mine, given in zip((own.weight, own.bias), ends[f"{name}_preds.{i}"], strict=True):
                mine.copy_(given[kept])


def batch(data: Dataset, count: int = 100) -> Tensor:
    """Training pictures, (N, 3, H, W) RGB, 0..1."""
    images = (read(sample.path) for sample in data.train[:count])
    small = [cv2.resize(image, SIZE, interpolation=cv2.INTER_AREA) for image in images]
    return torch.stack([torch.tensor(s[..., ::-1].copy()).permute(2, 0, 1) / 255 for s in small])


@torch.no_grad()
def mapped(model: Path, photos: Tensor, classes: list[int]) -> csp.Detector:
    """The network with the weights of a file.

    Args:
        model: The ONNX file.
        photos: (N, 3, H, W) RGB, 0..1.
        classes: Class ids of COCO, 0..79, in their new order.
    """
    whole = replace(csp.SIZES["yolox"], parts=1)
    net = csp.build(whole, NetSpec(len(classes), SIZE)).eval()
    blocks, (given, ends) = in_order(net), parameters(model)
    if len(blocks) != len(given):
        raise SystemExit(
            f"{model} has {len(given)} convolutions, not {len(blocks)}; is it YOLOX-Nano?"
        )
    given[0] = (stem(given[0][0]), given[0][1])
    for block, (weight, bias) in zip(blocks, given, strict=True):
        fill(block, weight, bias)
    rebuild(blocks, net, photos)
    finish(net, ends, classes)
    return divide(net, photos)


def main(model: Path, recipe: Path) -> None:
    """Write the file."""
    data = load_dataset(load_recipe(recipe))
    if unknown := set(data.labels) - set(COCO):
        raise SystemExit(f"COCO has no class {', '.join(sorted(unknown))}")
    classes = [COCO.index(label) for label in data.labels]
    net = mapped(model, batch(data), classes)
    out = CACHE / "yolox_nano.pth"
    CACHE.mkdir(exist_ok=True)
    temporary = out.with_suffix(".tmp")
    torch.save(net.state_dict(), temporary)
    temporary.rename(out)
    print(out)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit("usage: python tools/data/yolox_nano.py FOLDER/yolox_nano.onnx RECIPE")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
