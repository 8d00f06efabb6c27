"""What a training run says of itself: sums per level, and a bar on stderr."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from mrl.nesting import Nesting
from mrl.training.team import Team


class Tally:
    """Sums of loss and hits of each level over the batches since it was made, and how many texts were cut; each process
    of a team has its own."""

    def __init__(self, nesting: Nesting, device: torch.device) -> None:
        self.nesting = nesting
        self.losses = torch.zeros(len(nesting), dtype=torch.float64, device=device)
        self.hits = torch.zeros(len(nesting), dtype=torch.float64, device=device)
        self.rows = self.cut = 0
        self.judged = False
        self.seconds = 0.0
        self._start = time.monotonic()

    def add(self, levels: Tensor, hits: Tensor | None, rows: int) -> None:
        """levels: (levels,) mean losses of `rows` rows. Nothing waits for the device."""
        self.losses += levels.double() * rows
        if hits is not None:
            self.judged = True
            self.hits += hits.double()
        self.rows += rows

    def record(self, team: Team) -> dict[str, Any]:
        """For the log: loss and, where there is one, accuracy by dim over all of a team, seconds and rows a second."""
        seconds = self.elapsed()
        sums = torch.cat([self.losses, self.hits, torch.tensor([float(self.rows)], device=self.losses.device)])
        totals, levels = team.total(sums).cpu(), len(self.nesting)
        losses, hits, rows = totals[:levels], totals[levels:-1], totals[-1]
        accuracy = {"accuracy": by_dim(self.nesting, hits / rows)} if self.judged else {}
        cut = _counted(self.cut, team)
        return {
            "loss": by_dim(self.nesting, losses / rows),
            **accuracy,
            **({"cut_texts": cut} if cut else {}),
            "seconds": round(seconds, 3),
            "rows_per_second": round(float(rows) / max(seconds, 1e-9), 1),
        }

    def elapsed(self) -> float:
        return self.seconds + time.monotonic() - self._start

    def to_json(self, team: Team) -> dict[str, Any]:
        """The sums of all of a team, so that any number of processes goes on from them."""
        return {
            "losses": team.total(self.losses).tolist(),
            "hits": team.total(self.hits).tolist(),
            "rows": _counted(self.rows, team),
            "cut": _counted(self.cut, team),
            "seconds": self.elapsed(),
            "judged": self.judged,
        }

    def take_up(self, document: Mapping[str, Any], team: Team) -> None:
        """Go on from sums that were kept; in a team, the main process does."""
        self.seconds = float(document["seconds"])
        self.judged = bool(document.get("judged", True))
        if team.main:
            self.losses += torch.tensor(document["losses"], dtype=torch.float64, device=self.losses.device)
            self.hits += torch.tensor(document["hits"], dtype=torch.float64, device=self.hits.device)
            self.rows += int(document["rows"])
            self.cut += int(document.get("cut", 0))


def _counted(number: int, team: Team) -> int:
    """The sum of each process's number."""
    return round(float(team.total(torch.tensor(float(number), dtype=torch.float64))))


def by_dim(nesting: Nesting, values: Tensor) -> dict[str, float]:
    """One number a level, under its dim."""
    return {str(dim): round(value, 6) for dim, value in zip(nesting.dims, values.tolist(), strict=True)}


class Display:
    """A bar over all steps, with a line an epoch, on stderr; use as a context manager. judged: the name of what
    validation measures."""

    def __init__(self, epochs: int, steps: int, judged: str, *, quiet: bool) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[now]}"),
        )
        console = Console(stderr=True)
        self._bar = Progress(*columns, console=console, disable=quiet or not console.is_terminal, transient=True)
        self._quiet, self._judged = quiet, judged
        self._said = 0.0
        self._epochs = epochs
        self._task = self._bar.add_task("training", total=steps, now="")

    def step(self, epoch: int, tally: Tally, steps: int = 1) -> None:
        """Move on by some steps; the numbers beside the bar are asked of the device at most twice a second."""
        if self._quiet:
            return
        self._bar.update(self._task, advance=steps, description=f"epoch {epoch}/{self._epochs}")
        if tally.rows and time.monotonic() - self._said > 0.5:
            self._said = time.monotonic()
            losses, hits = ((sums / tally.rows).cpu() for sums in (tally.losses, tally.hits))
            seen = by_dim(tally.nesting, hits) if tally.judged else {}
            self._bar.update(self._task, now=levels_text(by_dim(tally.nesting, losses), seen))

    def say(self, text: str) -> None:
        """A line above the bar."""
        if not self._quiet:
            self._bar.console.print(text, highlight=False, soft_wrap=True)  # one line an epoch in a log too

    def epoch(self, epoch: int, record: dict[str, Any]) -> None:
        text = levels_text(record["loss"], record.get("accuracy", {}))
        if "cut_texts" in record:
            text += f" · {record['cut_texts']} texts were longer than max_length and were cut"
        if "validation" in record:
            seen = (f"{dim}: {value:.1%}" for dim, value in record["validation"].items())
            text += f" · validation {self._judged} " + " ".join(seen)
        self.say(f"epoch {epoch}/{self._epochs} ({record['seconds']:.1f} s) {text}")

    def __enter__(self) -> Display:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()


def levels_text(losses: dict[str, float], accuracies: dict[str, float]) -> str:
    """`8: 0.61 82.0% 16: 0.48 86.1%`: loss and, where there is one, accuracy at each dim."""
    shown = {dim: f" {accuracy:.1%}" for dim, accuracy in accuracies.items()}
    return " ".join(f"{dim}: {loss:.2f}{shown.get(dim, '')}" for dim, loss in losses.items())
