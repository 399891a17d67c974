"""A start for a narrow csp from a wide one that is trained.

    python tools/data/narrow.py RUN RECIPE OUT

Every layer of the net of RECIPE gets the first channels of its namesake in RUN;
blocks that it has fewer of are left out, first layers in parts are joined. Which
channels are kept matters little once training goes on (Mittal et al. 2018, https://arxiv.org/abs/1801.10447).
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from edgenn.nets import csp
from edgenn.recipe.load import load_recipe
from edgenn.train.build import build_net, net_spec
from edgenn.train.run import load_run


def parts(net: nn.Module) -> dict[str, int]:
    """How many equal parts the input of a convolution is joined of, where it is."""
    found = {}
    for name, module in net.named_modules():
        if isinstance(module, csp.SpatialPyramid):
            found[f"{name}.join.0.weight"] = 4
        elif isinstance(module, csp.Partial):
            found[f"{name}.join.0.weight"] = 2
            if name.startswith("pyramid."):
                found |= {f"{name}.{way}.0.weight": 2 for way in ("through", "past")}
    return found


def first(wide: Tensor, shape: torch.Size, joined: int) -> Tensor:
    """The first channels, of each part where the input is joined of several."""
    if not shape:
        return wide
    wide = wide[: shape[0]]
    if wide.ndim == 1:
        return wide
    old, new = wide.shape[1] // joined, shape[1] // joined
    kept = [i * old + k for i in range(joined) for k in range(new)]
    return wide[:, kept]


def joined_stem(given: dict[str, Tensor], parts: int) -> dict[str, Tensor]:
    """Weights of `csp.Split` as those of whole layers, one channel of each part in turn."""
    start = "backbone.stem.parts."
    whole = {n: t for n, t in given.items() if not n.startswith(start)}
    after = {n: whole.pop(n) for n in list(whole) if n.startswith("backbone.stages.0.0.")}
    for name, value in after.items():
        whole[name.replace("stages.0.0.", "stages.0.0.1.")] = value
    weight = whole["backbone.stages.0.0.1.0.weight"]
    each = weight.shape[1] // parts
    turn = torch.arange(weight.shape[1]).reshape(parts, each).T.flatten()
    whole["backbone.stages.0.0.1.0.weight"] = weight[:, turn]
    for name in (n for n in given if n.startswith(f"{start}0.")):
        values = [given[name.replace(f"{start}0.", f"{start}{i}.")] for i in range(parts)]
        layer, rest = name.removeprefix(f"{start}0.").split(".", 1)
        target = ("backbone.stem.", "backbone.stages.0.0.0.")[int(layer)] + rest
        whole[target] = values[0] if values[0].ndim == 0 else torch.cat(values)[turn]
    return whole


def main(run: Path, recipe: Path, out: Path) -> None:
    """Write the file."""
    teacher = load_run(run)
    net = build_net(load_recipe(recipe).net, net_spec(teacher.input, teacher.labels))
    given, joined = teacher.net.state_dict(), parts(net)
    stem = teacher.net.backbone.stem
    if isinstance(stem, csp.Split):
        given = joined_stem(given, len(stem.parts))
    weights = {n: first(given[n], t.shape, joined.get(n, 1)) for n, t in net.state_dict().items()}
    net.load_state_dict(weights)
    temporary = out.with_suffix(".tmp")
    torch.save({n: t.contiguous() for n, t in weights.items()}, temporary)
    temporary.rename(out)
    print(out)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        raise SystemExit("usage: python tools/data/narrow.py RUN RECIPE OUT")
    main(*map(Path, sys.argv[1:]))
