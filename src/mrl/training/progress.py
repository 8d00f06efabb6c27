"""What a training run says of itself: sums per level, and a bar on stderr."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from mrl.nesting import Nesting
from mrl.nn import NestedLoss


class Tally:
    """Mean loss and accuracy of each level over the batches since it was made."""

    def __init__(self, nesting: Nesting) -> None:
        self.nesting = nesting
        self.losses = torch.zeros(len(nesting), dtype=torch.float64)
        self.hits = torch.zeros(len(nesting), dtype=torch.float64)
        self.rows = 0
        self.start = time.monotonic()

    def add(self, loss: NestedLoss, rows: int) -> None:
        self.losses += loss.levels.double().cpu() * rows
        if loss.hits is not None:
            self.hits += loss.hits.double().cpu()
        self.rows += rows

    def record(self) -> dict[str, Any]:
        """For the log: loss and accuracy by dim, seconds and images a second."""
        seconds = time.monotonic() - self.start
        return {
            "loss": by_dim(self.nesting, self.losses / self.rows),
            "accuracy": by_dim(self.nesting, self.hits / self.rows),
            "seconds": round(seconds, 3),
            "images_per_second": round(self.rows / max(seconds, 1e-9), 1),
        }


def by_dim(nesting: Nesting, values: Tensor) -> dict[str, float]:
    """One number a level, under its dim."""
    return {str(dim): round(value, 6) for dim, value in zip(nesting.dims, values.tolist(), strict=True)}


class Display:
    """A bar over all steps, with a line an epoch, on stderr; use as a context manager."""

    def __init__(self, epochs: int, steps: int, *, quiet: bool) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[now]}"),
        )
        self._bar = Progress(*columns, console=Console(stderr=True), disable=quiet, transient=True)
        self._quiet = quiet
        self._epochs = epochs
        self._task = self._bar.add_task("training", total=steps, now="")

    def step(self, epoch: int, tally: Tally) -> None:
        now = levels_text(
            by_dim(tally.nesting, tally.losses / tally.rows), by_dim(tally.nesting, tally.hits / tally.rows)
        )
        self._bar.update(self._task, advance=1, description=f"epoch {epoch}/{self._epochs}", now=now)

    def epoch(self, epoch: int, record: dict[str, Any]) -> None:
        if self._quiet:
            return
        text = levels_text(record["loss"], record["accuracy"])
        if "validation" in record:
            text += " · validation " + " ".join(f"{dim}: {value:.1%}" for dim, value in record["validation"].items())
        self._bar.console.print(f"epoch {epoch}/{self._epochs} ({record['seconds']:.1f} s) {text}", highlight=False)

    def __enter__(self) -> Display:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()


def levels_text(losses: dict[str, float], accuracies: dict[str, float]) -> str:
    """`8: 0.61 82.0% 16: 0.48 86.1%`: loss and accuracy at each dim."""
    return " ".join(f"{dim}: {loss:.2f} {accuracies[dim]:.1%}" for dim, loss in losses.items())
