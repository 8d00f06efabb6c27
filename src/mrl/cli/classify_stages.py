"""What is being done, on stderr: as it goes on a terminal; elsewhere one line for what takes long."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Timer

from mrl.cli.vectors import said

LONG = 5.0  # seconds, after which a stage is told where there is no terminal

Told = Callable[[str], object]


class Stages:
    """Says what goes on for long, one line a stage."""

    def __init__(self) -> None:
        self._waiting: Timer | None = None

    def told(self, stage: str) -> None:
        """This is done now."""
        self.done()
        self._waiting = Timer(LONG, said, (f"{stage} …",))
        self._waiting.daemon = True
        self._waiting.start()

    def done(self) -> None:
        """Nothing more is said of the stage before."""
        if self._waiting is not None:
            self._waiting.cancel()


@contextmanager
def stages(first: str) -> Iterator[Told]:
    """Something to call with what is done next; `first` is done first."""
    from rich.console import Console

    console, lines = Console(stderr=True), Stages()
    if console.is_terminal:
        with console.status(first) as status:
            yield status.update
        return
    lines.told(first)
    try:
        yield lines.told
    finally:
        lines.done()


@contextmanager
def later(stage: str, *, shown: bool = True) -> Iterator[None]:
    """One stage, told where it takes long and no terminal has a bar for it."""
    from rich.console import Console

    lines = Stages()
    if shown and not Console(stderr=True).is_terminal:
        lines.told(stage)
    try:
        yield
    finally:
        lines.done()
