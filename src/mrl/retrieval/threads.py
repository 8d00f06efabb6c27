"""Work split over threads, each of which runs compiled code without the interpreter's lock."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from mrl.threads import count as most

_inside = threading.local()  # set in our own threads and `alone`, which start no others


def count() -> int:
    """How many threads may share work here: within one of our own, one."""
    return 1 if getattr(_inside, "one", False) else most()


def each(work: Callable[[int, int], object], n: int, at_least: int = 1) -> None:
    """Call work(start, stop) over 0 … n in parts of about equal size, none below `at_least`, on all threads."""
    parts = max(1, min(count(), n // max(at_least, 1)))
    if parts == 1:
        work(0, n)
        return
    bounds = np.linspace(0, n, parts + 1).astype(int).tolist()
    run(work, pairwise(bounds))


@contextmanager
def alone() -> Iterator[None]:
    """Inside, this thread starts no others: so one query is timed by itself."""
    before = getattr(_inside, "one", False)
    _inside.one = True
    try:
        yield
    finally:
        _inside.one = before


def run(work: Callable[[int, int], object], parts: Iterable[tuple[int, int]]) -> None:
    """Call work(start, stop) for each part; an error in any of them is raised here."""
    if count() == 1:
        for start, stop in parts:
            work(start, stop)
        return
    for done in [_pool(count()).submit(work, start, stop) for start, stop in parts]:
        done.result()


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a forked child has none of these threads
    return ThreadPoolExecutor(threads, "mrl-search", initializer=lambda: setattr(_inside, "one", True))


def one_blas_thread() -> AbstractContextManager[Any]:
    """While each of our threads multiplies for itself, BLAS adds none of its own."""
    return nullcontext() if count() == 1 else _alone


class _Alone:
    """BLAS has one thread while anybody is inside; the last to leave gives back what the first one found."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """In a forked child: whoever was inside is not here."""
        self._turn, self._inside = threading.Lock(), 0
        self._limit: Any = None

    def __enter__(self) -> None:
        with self._turn:
            if not self._inside:
                self._limit = _blas().limit(limits=1, user_api="blas")
            self._inside += 1

    def __exit__(self, *raised: object) -> None:
        with self._turn:
            self._inside -= 1
            if not self._inside:
                self._limit.restore_original_limits()


_alone = _Alone()
os.register_at_fork(after_in_child=_alone.forget)


@cache
def _blas() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
