"""A training run on MNIST in a fresh process: `python -m fastconv.bench.peers.whole_run CONTESTANT RECIPE SEED [N]`.

RECIPE names one of recipes.py; N: with so many training images only, which compiles what the run needs.

Prints a line of JSON. Without a target in the recipe: {"seconds": of the epochs}, images loaded and code compiled
before. With one: {"accuracy": the first that reaches it} as soon as it is there, else {"short": the best one}; the
caller times from the start of the process.
"""

from __future__ import annotations

import json
import sys
import time
from importlib import import_module
from typing import Any

from ..networks import parameters
from ..recipes import Recipe, find

RUNNERS = {"fastconv": "engine_run", "torch": "pytorch_run"}
WARM_IMAGES = 1000


class Reached(Exception):
    """The run has come to its target."""


def main() -> None:
    contestant, name, seed, *images = sys.argv[1:]
    train = import_module(f".{RUNNERS[contestant]}", __package__).train
    recipe = find(name)
    run = _to_target if recipe.target else _epochs
    print(json.dumps(run(train, recipe, int(seed), int(images[0]) if images else None)), flush=True)


def _epochs(train: Any, recipe: Recipe, seed: int, images: int | None) -> dict[str, float]:
    data, values = _load("train", images), parameters(recipe.network, seed)
    few = tuple(a[:WARM_IMAGES] for a in data)
    train(recipe, values, seed, few, None, lambda _: None)
    start = time.perf_counter()
    train(recipe, values, seed, data, None, lambda _: None)
    return {"seconds": time.perf_counter() - start}


def _to_target(train: Any, recipe: Recipe, seed: int, images: int | None) -> dict[str, float]:
    seen = [0.0]

    def after_epoch(accuracy: float) -> None:
        seen.append(accuracy)
        if accuracy >= recipe.target:
            raise Reached

    try:
        train(recipe, parameters(recipe.network, seed), seed, _load("train", images), _load("test"), after_epoch)
    except Reached:
        return {"accuracy": seen[-1]}
    return {"short": max(seen)}


def _load(split: str, images: int | None = None) -> Any:
    """Every contestant reads the files with the same function: it needs nothing but NumPy."""
    from fastconv.data import load

    x, labels = load("mnist", split=split)
    return x[:images], labels[:images]


if __name__ == "__main__":
    main()
