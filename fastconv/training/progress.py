"""What a training run shows: a live display in a terminal, one line an epoch elsewhere."""

from __future__ import annotations

from time import perf_counter
from typing import Any

from .history import Epoch
from .tally import Tally

REFRESH_SECONDS = 0.1


class Progress:
    """Told by the Trainer what happens; this one shows nothing. A subclass overrides what it wants to know."""

    def start(self, epochs: int, batches: int, done: int) -> None:
        """Training begins: `epochs` in all with `batches` each; `done` batches were trained before."""

    def batch(self, tally: Tally) -> None:
        """One batch more; reading the tally may wait for the device."""

    def epoch(self, epoch: Epoch, epochs: int) -> None:
        """One epoch more, validated."""

    def stop(self) -> None:
        """Training ended, by itself or by an error."""


class Lines(Progress):
    """One line for each epoch, on standard output."""

    def epoch(self, epoch: Epoch, epochs: int) -> None:
        print(describe(epoch, epochs), flush=True)


class Live(Progress):
    """A bar with loss, accuracy, images per second and the time left; finished epochs stay as lines above it."""

    def start(self, epochs: int, batches: int, done: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        self._epochs, self._batches, self._done = epochs, batches, done
        self._bar = Bar(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[now]}"),
            TextColumn("left"), TimeRemainingColumn(), transient=True,
        )  # fmt: skip
        self._task = self._bar.add_task(
            self._title(), total=epochs * batches, completed=done, now="preparing the kernels"
        )
        self._shown = 0.0
        self._bar.start()

    def batch(self, tally: Tally) -> None:
        self._done += 1
        if perf_counter() - self._shown < REFRESH_SECONDS:
            return
        self._shown = perf_counter()
        now = f"loss {tally.loss:.4f}  accuracy {tally.accuracy:.4f}  {tally.images_per_second:,.0f} images/s"
        self._bar.update(self._task, completed=self._done, now=now, description=self._title())

    def epoch(self, epoch: Epoch, epochs: int) -> None:
        self._bar.console.print(describe(epoch, epochs), highlight=False, soft_wrap=True)

    def stop(self) -> None:
        self._bar.stop()

    def _title(self) -> str:
        return f"epoch {min(self._done // self._batches + 1, self._epochs)}/{self._epochs}"


def describe(epoch: Epoch, epochs: int) -> str:
    """One line about an epoch."""
    time = f"{epoch.seconds:.1f} s" if epoch.seconds >= 1 else f"{1000 * epoch.seconds:.0f} ms"
    validated = "" if epoch.validation_accuracy is None else f"  validation {epoch.validation_accuracy:.4f}"
    return (
        f"epoch {epoch.number:>{len(str(epochs))}}/{epochs}  loss {epoch.train_loss:.4f}  "
        f"accuracy {epoch.train_accuracy:.4f}{validated}  lr {epoch.lr:.3g}  "
        f"{epoch.images_per_second:,.0f} images/s  {time}"
    )


def choose(progress: Any) -> Progress:
    """The display for Trainer's argument: one's own, or for True whatever suits standard output."""
    if isinstance(progress, Progress):
        return progress
    if not progress:
        return Progress()
    from rich.console import Console

    console = Console()
    return Live() if console.is_terminal or console.is_jupyter else Lines()
