"""Making the next of something while the one before is in use."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def ahead(made: Iterator[T]) -> Generator[T]:
    """The same, each made by a thread while the one before is in use."""
    with ThreadPoolExecutor(1, "ahead") as pool:
        job = pool.submit(next, made, None)
        while (ready := job.result()) is not None:
            job = pool.submit(next, made, None)
            yield ready
