"""What one step of a stream costs, against looking at the whole window again.

    python tools/bench/stream.py --family mcrnn --size s

For windows of growing length: one streaming step, the window again, both in each
engine on one thread, and the window in PyTorch; median milliseconds, taking turns.
A streaming step knows nothing of the window's length. Weights are random; they do
not change the time.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from time import perf_counter

import numpy as np
import torch

from edgenn import nets, plugins
from edgenn.bundle.manifest import WindowInput
from edgenn.compress._quiet import quiet
from edgenn.export import formats
from edgenn.export.forms import form
from edgenn.nets import NetSpec
from edgenn.recipe.schema import Recipe
from edgenn.runtime import engines

CHANNELS, CLASSES, RATE = 6, 27, 50.0


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--family", default="mcrnn")
    parser.add_argument("--size", default="s")
    parser.add_argument("--windows", type=int, nargs="+", default=[128, 256, 512])
    parser.add_argument("--rounds", type=int, default=200)
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{args.family} {args.size}, {CHANNELS} channels at {RATE:g} Hz, ms per step")
    print("| window | engine | step | window again | ratio |")
    print("| --- | --- | --- | --- | --- |")
    for window in args.windows:
        runs = runners(args.family, args.size, window)
        taken = times(runs, args.rounds)
        for engine in (*plugins.names(formats), "torch"):
            step, again = taken[f"{engine} stream"], taken[f"{engine} window"]
            print(f"| {window} | {engine} | {step:.3f} | {again:.3f} | {again / step:.1f} |")


def runners(family: str, size: str, window: int) -> dict[str, Callable[[], object]]:
    """One call of each form in each engine."""
    module = plugins.load(nets, family)
    net = module.build(module.SIZES[size], NetSpec(CLASSES, window=window, channels=CHANNELS))
    net.eval().requires_grad_(False)
    names = tuple(f"c{i}" for i in range(CHANNELS))
    spec = WindowInput(length=window, stride=window, rate=RATE, channels=names)
    x = np.random.default_rng(0).standard_normal((1, window, CHANNELS)).astype(np.float32)
    runs: dict[str, Callable[[], object]] = {}
    for kind in ("stream", "window"):
        shape = form(net, spec, recipe(family, kind))
        examples = shape.examples(x)
        wanted = formats.Names(
            ("window", *(s.input for s in shape.state)),
            ("logits", *(s.output for s in shape.state)),
        )
        for name in plugins.names(formats):
            plugin: formats.Format = plugins.load(formats, name)
            data = plugin.convert(shape.net, examples, wanted, 18)
            tensors = plugin.tensors(data, wanted)
            with quiet():
                engine = plugins.load(engines, plugin.ENGINE).open_model(data, 1)
            feeds = {tensors[n]: e for n, e in zip(wanted.inputs, examples, strict=True)}
            runs[f"{name} {kind}"] = lambda e=engine, f=feeds: e.run(f)
        inputs = [torch.from_numpy(e) for e in examples]
        runs[f"torch {kind}"] = lambda n=shape.net, i=inputs: n(*i)
    return runs


def recipe(family: str, kind: str) -> Recipe:
    """The least that says which form is wanted."""
    return Recipe.model_validate(
        {
            "name": "x",
            "task": "sequence",
            "data": {"format": "npz", "path": "x"},
            "net": {"family": family},
            "export": {"form": kind},
        }
    )


def times(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median milliseconds of each, all taking turns."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    with torch.inference_mode():
        for _ in range(rounds):
            for name, run in runs.items():
                start = perf_counter()
                run()
                taken[name].append(perf_counter() - start)
    return {name: float(np.median(t[5:])) * 1e3 for name, t in taken.items()}


if __name__ == "__main__":
    main()
