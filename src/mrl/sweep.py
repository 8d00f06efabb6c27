"""The compiled pass over all queries and rows: the best k at every cut, nothing computed twice. Needs Numba.

Rows are laid out on tapes a few MiB at a time, by all threads; then each thread takes its share of the queries past
these rows. Products, factors and the best k are one loop (`microkernel`), with no BLAS and so none of its threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from mrl.microkernel import QUERIES, ROWS, sort, sweep
from mrl.tapes import Ends, Floats, Run, Tapes, plain
from mrl.threads import count as threads

ROW_BYTES, QUERY_BYTES = 8 << 20, 32 << 20  # tapes alive at a time; one tape at least
SHARES = 8  # per thread, so that one which is held up leaves some of its own to the others
WORK = 1 << 26  # products below which threads cost more than they save
READ = 16  # products in the time that one value from memory takes

Lists = tuple[Floats, npt.NDArray[np.int64]]


def squares(vectors: npt.NDArray[Any], ends: Ends) -> npt.NDArray[np.float64]:
    """Sum of squares of every segment in float64, (n, d) of at most float32 -> (n, cuts)."""
    out = np.empty((len(vectors), len(ends)))
    step = max(1, ROW_BYTES // (4 * int(ends[-1])))  # so many are brought to float32 at a time

    def some(part: slice) -> None:
        for start in range(part.start, part.stop, step):
            these = slice(start, min(start + step, part.stop))
            _squares(plain(vectors, these, ends), ends, out[these])

    with _shared(READ * vectors.size) as run:
        run(some, len(vectors))
    return out


def nearest(queries: npt.NDArray[Any], rows: npt.NDArray[Any], ends: Ends, scale: Floats, found: Lists) -> None:
    """Fill the lists with the best rows of each query at each cut, sorted; of equal ones the earlier first.

    queries: (q, d). rows: (n, d). ends: (cuts,) the dims. scale: (2, cuts, n), score = raw · scale[0] + scale[1].
    found: scores and positions (cuts, q, k), the scores −∞ throughout.
    """
    open_to_all = np.full((1, len(ends), len(queries)), -np.inf, np.float32)
    nobody = np.array([np.inf], np.float32)  # the last tape's spare queries take no row,
    nowhere = np.array([0, -np.inf], np.float32)  # and its spare rows are above nothing
    left, right = Tapes(QUERIES, ends, 1, QUERY_BYTES, len(queries)), Tapes(ROWS, ends, 2, ROW_BYTES, len(rows))
    with _shared((len(queries) + READ) * len(rows) * int(ends[-1])) as run:
        for q in range(0, len(queries), left.step):
            own = left.lay(queries, q, open_to_all, nobody, run)
            for r in range(0, len(rows), right.step):
                _meet(own, right.lay(rows, r, scale, nowhere, run), ends, (q, r), found, run)
        run(lambda part: sort(found[0][:, part], found[1][:, part]), len(queries))


def _meet(left: Floats, right: Floats, ends: Ends, first: tuple[int, int], found: Lists, run: Run) -> None:
    q, r = first
    run(lambda part: sweep(left[part], right, ends, (q + part.start * QUERIES, r), *found), len(left))


@contextmanager
def _shared(work: int) -> Iterator[Run]:
    """`run(do, n)`: call do on slices that make up 0 … n, in threads of this call's own where the work is worth them.

    No thread outlives the call, so that callers do not meet and a fork finds none.
    """
    count = threads() if work >= WORK else 1
    if count == 1:
        yield lambda do, n: do(slice(0, n))
        return
    with ThreadPoolExecutor(count, thread_name_prefix="mrl-sweep") as pool:

        def run(do: Callable[[slice], None], n: int) -> None:
            step = max(1, -(-n // (SHARES * count)))
            list(pool.map(do, [slice(start, min(start + step, n)) for start in range(0, n, step)]))

        yield run


@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})
def _squares(vectors: Any, ends: Any, out: Any) -> None:
    for i in range(len(vectors)):
        begin = 0
        for level, end in enumerate(ends):
            part, total = vectors[i, begin:end], 0.0
            for j in range(len(part)):  # from 0: only an index that cannot be negative compiles to vector code
                total += np.float64(part[j]) * np.float64(part[j])
            out[i, level] = total
            begin = end
