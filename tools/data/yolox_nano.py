"""COCO weights of YOLOX-Nano for the network csp s: ``.cache/yolox_nano.pth``.

Beside it ``yolox_nano_stem4.pth`` and ``yolox_nano_stem3.pth``: the same with a
smaller first convolution, fitted to give nearly what the large one gives.

    python tools/data/yolox_nano.py FOLDER/yolox_nano.onnx PICTURES

PICTURES is a folder of any photos; a hundred of them give the normalisations
the statistics that training goes on from.

Apache-2.0, https://github.com/Megvii-BaseDetection/YOLOX, release 0.1.1. That
net is csp s with SiLU and a first convolution of side 6; only its last
convolutions have no counterpart there. Its ONNX file has the convolutions in
the order in which they run, each joined with its normalisation. The joined bias
goes to the normalisation that is here.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import onnx
import torch
from _wheel import CACHE
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from edgenn.data.images import SUFFIXES, read
from edgenn.nets import NetSpec, csp

SIZE = (320, 320)
STEM = "backbone.stem"


def convolutions(path: Path) -> list[tuple[Tensor, Tensor]]:
    """Weights and biases in the order of the graph, without the last ones of the head."""
    graph = onnx.load(path).graph
    values = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    convs = [
        node for node in graph.node if node.op_type == "Conv" and "_preds" not in node.input[1]
    ]
    return [(torch.tensor(values[c.input[1]]), torch.tensor(values[c.input[2]])) for c in convs]


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
    with torch.no_grad():
        net(torch.zeros(1, 3, *SIZE))
    for hook in hooks:
        hook.remove()
    return order


def fill(block: csp.Conv, weight: Tensor, bias: Tensor) -> None:
    """Copy one convolution; its normalisation only adds the bias."""
    conv, norm = block[0], block[1]
    if conv.weight.shape != weight.shape:
        raise SystemExit(f"{tuple(weight.shape)} in the file, {tuple(conv.weight.shape)} here")
    with torch.no_grad():
        conv.weight.copy_(weight)
        norm.bias.copy_(bias)
        norm.weight.fill_((1 + norm.eps) ** 0.5)


def rebuild(blocks: list[csp.Conv], net: nn.Module, pictures: Tensor) -> None:
    """Give every normalisation the statistics of its input, and keep what it computes."""
    seen: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def note(norm: nn.Module, inputs: tuple[Tensor]) -> None:
        var, mean = torch.var_mean(inputs[0], (0, 2, 3))
        seen[norm] = (mean, var)

    hooks = [block[1].register_forward_pre_hook(note) for block in blocks]
    with torch.no_grad():
        net.eval()(pictures)
        for hook in hooks:
            hook.remove()
        for norm, (mean, var) in seen.items():
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(var)
            norm.weight.copy_((var + norm.eps).sqrt())
            norm.bias.add_(mean)


def fitted(net: csp.Detector, pictures: Tensor, kernel: int) -> dict[str, Tensor]:
    """A smaller first convolution: least squares over many places of the pictures."""
    wide = net.backbone.stem[0]
    with torch.no_grad():
        wanted = wide(pictures).permute(0, 2, 3, 1).flatten(0, 2)
    seen = functional.unfold(pictures, kernel, padding=(kernel - 1) // 2, stride=2)
    seen = seen.permute(0, 2, 1).flatten(0, 1)
    some = torch.randperm(len(seen), generator=torch.Generator().manual_seed(0))[:200_000]
    # A constant beside the pixels takes up the difference of the means.
    rows = functional.pad(seen[some], (0, 1), value=1.0).double()
    solved = torch.linalg.lstsq(rows, wanted[some].double()).solution.float()
    missed = (rows.float() @ solved - wanted[some]).var(0) / wanted[some].var(0)
    print(f"first convolution of side {kernel}: {missed.mean():.3f} of the variance is lost")
    weight = solved[:-1].T.reshape(-1, 3, kernel, kernel)
    mean = net.backbone.stem[1].running_mean
    return {f"{STEM}.0.weight": weight.contiguous(), f"{STEM}.1.running_mean": mean - solved[-1]}


def batch(folder: Path, count: int = 100) -> Tensor:
    """Photos of a folder, (N, 3, H, W) RGB, 0..1."""
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES)[:count]
    if not files:
        raise SystemExit(f"there are no pictures in {folder}")
    small = [cv2.resize(read(file), SIZE, interpolation=cv2.INTER_AREA) for file in files]
    return torch.stack([torch.tensor(s[..., ::-1].copy()).permute(2, 0, 1) / 255 for s in small])


def main(model: Path, pictures: Path) -> None:
    """Write the file."""
    net = csp.build(csp.Config(16, kernel=6, activation="silu"), NetSpec(1, SIZE))
    blocks, given = in_order(net), convolutions(model)
    if len(blocks) != len(given):
        raise SystemExit(
            f"{model} has {len(given)} convolutions, not {len(blocks)}; is it YOLOX-Nano?"
        )
    given[0] = (stem(given[0][0]), given[0][1])
    for block, (weight, bias) in zip(blocks, given, strict=True):
        fill(block, weight, bias)
    photos = batch(pictures)
    rebuild(blocks, net, photos)
    CACHE.mkdir(exist_ok=True)
    weights = {k: v for k, v in net.state_dict().items() if ".outputs." not in k}
    save(weights, "yolox_nano")
    for kernel in (4, 3):
        save({**weights, **fitted(net, photos, kernel)}, f"yolox_nano_stem{kernel}")


def save(weights: dict[str, Tensor], name: str) -> None:
    """Write one file of weights."""
    out = CACHE / f"{name}.pth"
    temporary = out.with_suffix(".tmp")
    torch.save(weights, temporary)
    temporary.rename(out)
    print(out)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit("usage: python tools/data/yolox_nano.py FOLDER/yolox_nano.onnx PICTURES")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
