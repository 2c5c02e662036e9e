"""`fastconv train`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .arguments import Backend, Data, DataRoot, Model, Option, constructor_options

if TYPE_CHECKING:
    from ..nn.module import Module
    from ..training.history import History

TEST_SHARE = 5  # --limit cuts the test images to a fifth of the training images


def train(
    model: Model,
    data: Data = "digits",
    data_root: DataRoot = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training images.", min=1)] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images in a step.", min=1)] = None,
    lr: Annotated[
        float | None,
        typer.Option(help="The first learning rate; what suits the network or the optimizer unless given."),
    ] = None,
    optimizer: Annotated[
        str | None, typer.Option(help="sgd, momentum, nesterov, adagrad, rmsprop, adadelta, adam or adamw.")
    ] = None,
    momentum: Annotated[float | None, typer.Option(help="Of sgd, momentum or nesterov.")] = None,
    schedule: Annotated[
        str | None, typer.Option(help="none, multistep, step, exponential, cosine, onecycle or plateau.")
    ] = None,
    weight_decay: Annotated[float | None, typer.Option(help="How strongly weights are drawn towards 0.")] = None,
    loss: Annotated[str | None, typer.Option(help="cross_entropy, or map (of LeNet-5 in 1998).")] = None,
    augment: Annotated[
        str | None, typer.Option(help="none, or any of flip, shift, crop, contrast, brightness, with commas between.")
    ] = None,
    option: Option = None,
    seed: Annotated[int, typer.Option(help="Of the first weights, the order of images and dropout.", min=0)] = 0,
    limit: Annotated[
        int | None, typer.Option(help="Use so many training images, and a fifth as many test images.", min=1)
    ] = None,
    eager: Annotated[bool, typer.Option("--eager", help="Run each step call by call, not as a compiled plan.")] = False,
    backend: Backend = "cpu",
    out: Annotated[Path | None, typer.Option(help="The folder for results; runs/MODEL-DATA unless given.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint in that folder.")] = False,
) -> None:
    """Train a network and write it, its history, its accuracy curve and its filters.

    What is not asked for is chosen to suit the network and the data. Ctrl-C saves and says how to go on.
    """
    from .. import data as sets
    from .. import random
    from ..backends import select
    from ..errors import ArgumentError
    from ..models import build
    from ..training import Trainer, evaluate
    from .recipes import make_loss, make_optimizer, make_schedule, make_transform, recipe

    select.use(backend)
    chosen = recipe(model, data)
    x, t = _cut(sets.load(data, root=data_root, split="train", scale=chosen.scale), limit)
    x_test, t_test = _cut(sets.load(data, root=data_root, split="test", scale=chosen.scale), limit, TEST_SHARE)
    epochs, batch_size = epochs or chosen.epochs, batch_size or chosen.batch_size
    random.manual_seed(seed)
    from_data = {"input_dim": list(x.shape[1:]), "output_size": len(sets.classes(data))}
    network = build(model, from_data | chosen.options | constructor_options(option))
    shape = tuple(network.config["input_dim"])
    if shape != x.shape[1:]:
        raise ArgumentError(f"{data} has images of {x.shape[1:]} C,H,W, the network takes {shape}")
    optimizer = optimizer or chosen.optimizer
    if lr is None and optimizer.lower() == chosen.optimizer:
        lr = chosen.lr
    if weight_decay is None:
        weight_decay = chosen.weight_decay
    made = make_optimizer(optimizer, network.parameters(), lr, weight_decay, momentum)
    folder = out or Path("runs") / f"{model}-{data}"
    trainer = Trainer(
        network, made, seed=seed, checkpoint=folder / "checkpoints", compile=not eager,
        loss=make_loss(loss or chosen.loss),
        schedule=make_schedule(schedule or chosen.schedule, made, epochs, sets.count_batches(len(x), batch_size)),
        transform=make_transform(augment or chosen.augment, x.shape[2]),
    )  # fmt: skip
    typer.echo(f"{model} on {data}: {len(x):,} training and {len(x_test):,} test images, {backend} backend")
    first_filters = _filters(network)
    history = trainer.fit((x, t), (x_test, t_test), epochs=epochs, batch_size=batch_size, resume=resume)
    result = evaluate(network, x_test, t_test)
    _write(folder, network, history, first_filters)
    typer.echo(f"test accuracy: {100 * result.accuracy:.2f} %")


def _cut(data: tuple[Any, Any], limit: int | None, share: int = 1) -> tuple[Any, Any]:
    """The first limit / share images and labels."""
    count = None if limit is None else max(limit // share, 1)
    return data[0][:count], data[1][:count]


def _filters(network: Module) -> Any:
    """A copy of the first convolution's filters."""
    from ..nn import Conv2d

    first = next((m for _, m in network.named_modules() if isinstance(m, Conv2d)), None)
    return None if first is None else first.weight.numpy().copy()


def _write(folder: Path, network: Module, history: History, first_filters: Any) -> None:
    """The network, its history and, where matplotlib is installed, the pictures."""
    from ..checkpoint import save
    from ..errors import UnsupportedError
    from ..models import LinearClassifier
    from ..plots import accuracy_curve, filter_show, templates

    save(network, folder / "model.safetensors")
    history.save(folder / "history.json")
    written = "model.safetensors, history.json"
    try:
        accuracy_curve(history, folder / "accuracy.png")
        written += ", accuracy.png"
        if first_filters is not None:
            filter_show(_filters(network), before=first_filters, path=folder / "filters.png")
            written += ", filters.png"
        elif isinstance(network, LinearClassifier):
            templates(network, folder / "templates.png")
            written += ", templates.png"
    except UnsupportedError as error:
        typer.echo(f"no {'pictures' if 'accuracy.png' not in written else 'filters'}: {error}")
    typer.echo(f"wrote {written} in {folder}")
