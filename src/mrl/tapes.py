"""Tapes: vectors laid out in the order in which `microkernel` reads them. Needs Numba.

A tape holds as many vectors as a tile has on that side: for each dim of a segment one line with that dim of every
vector, after the segment some lines more, then the next segment.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from mrl.microkernel import LANES, VECTOR

LINE = 64  # bytes of a cache line, which no load of a vector should straddle

Floats = npt.NDArray[np.float32]
Ends = npt.NDArray[np.int64]
Run = Callable[[Callable[[slice], None], int], None]  # run(do, n): do slices that make up 0 … n


class Tapes:
    """Room for the tapes of one side, filled again and again. step: vectors that it holds."""

    def __init__(self, size: int, ends: Ends, extra: int, most: int, count: int) -> None:
        """size: vectors on a tape. ends: (cuts,) the dims. extra: lines per segment. most: bytes. count: vectors."""
        length = size * (int(ends[-1]) + extra * len(ends))
        tapes = max(1, min(most // (4 * length), -(-count // size)))
        room = np.empty(tapes * length + LINE // 4, np.float32)
        skip = -room.ctypes.data % LINE // 4
        self.room = room[skip : skip + tapes * length].reshape(tapes, length)
        self.size, self.ends, self.step = size, ends, tapes * size

    def lay(self, vectors: npt.NDArray[Any], first: int, extras: Floats, spare: Floats, run: Run) -> Floats:
        """Tapes of the vectors from `first` on, with extras (extra, cuts, n); past the last one, spare (extra,)."""
        stop = min(first + self.step, len(vectors))
        tapes = self.room[: -(-(stop - first) // self.size)]

        def some(part: slice) -> None:
            these = slice(first + part.start * self.size, min(first + part.stop * self.size, stop))
            _lay(plain(vectors, these, self.ends), self.ends, extras[:, :, these], spare, tapes[part])

        run(some, len(tapes))
        return tapes


def plain(vectors: npt.NDArray[Any], part: slice, ends: Ends) -> Floats:
    """Some of the vectors as far as the last cut, float32 in rows; a copy only where they are not."""
    return np.ascontiguousarray(vectors[part, : ends[-1]], dtype=np.float32)


@numba.njit(nogil=True, cache=True)
def _lay(vectors: Any, ends: Any, extras: Any, spare: Any, tapes: Any) -> None:
    size = tapes.shape[1] // (ends[-1] + len(spare) * len(ends))
    for t in range(len(tapes)):
        tape, own = tapes[t].reshape(-1, size), vectors[t * size : (t + 1) * size]
        to, begin = 0, 0
        for level, end in enumerate(ends):
            _turn(own, begin, tape[to : to + end - begin])
            to, begin = to + end - begin, end
            for e in range(len(spare)):
                tape[to, len(own) :] = spare[e]
                tape[to, : len(own)] = extras[e, level, t * size : t * size + len(own)]
                to += 1


@numba.njit(nogil=True, cache=True)
def _turn(own: Any, begin: int, lines: Any) -> None:
    """lines (dims, size) = dims of own (m, d) from `begin` on, turned over; zeros past m."""
    across = len(own) // LANES * LANES if lines.shape[1] % LANES == 0 else 0
    down = len(lines) // LANES * LANES
    for j in range(0, down, LANES):
        for i in range(0, across, LANES):
            turn_square(own, i * own.shape[1] + begin + j, lines, j * lines.shape[1] + i)
    for i in range(len(own)):
        for j in range(down if i < across else 0, len(lines)):
            lines[j, i] = own[i, begin + j]
    for j in range(len(lines)):
        lines[j, len(own) :] = 0


def _turn_square(_: Any, source: Any, s: Any, target: Any, t: Any) -> Any:
    """Turn over LANES × LANES values: source and target are float32 matrices in rows, s and t the first element."""
    signature = types.void(source, types.int64, target, types.int64)

    def generate(context: Any, build: Any, sig: Any, args: Any) -> Any:
        matrices = [context.make_array(sig.args[i])(context, build, args[i]) for i in (0, 2)]
        (read, write), word = (_rows(build, m, args[i]) for m, i in zip(matrices, (1, 3), strict=True)), ir.IntType(32)
        lines = [build.load(place, align=4) for place in read]
        halves = [ir.Constant(ir.VectorType(word, LANES), _shuffle(half)) for half in (0, 1)]
        for _ in range(LANES.bit_length() - 1):  # so many perfect shuffles of rows and lanes turn it over
            pairs = zip(lines[: LANES // 2], lines[LANES // 2 :], strict=True)
            lines = [build.shuffle_vector(a, b, half) for a, b in pairs for half in halves]
        for line, place in zip(lines, write, strict=True):
            build.store(line, place, align=4)
        return context.get_dummy_value()

    return signature, generate


def _rows(build: Any, matrix: Any, first: Any) -> list[Any]:
    """Addresses of LANES rows from element `first` on."""
    stride, word = build.extract_value(matrix.shape, 1), ir.IntType(64)
    offsets = [build.add(first, build.mul(stride, ir.Constant(word, i))) for i in range(LANES)]
    return [build.bitcast(build.gep(matrix.data, [at]), VECTOR.as_pointer()) for at in offsets]


def _shuffle(half: int) -> list[int]:
    """Lanes of a and b in turn, of their first or second half."""
    return [half * LANES // 2 + i // 2 + i % 2 * LANES for i in range(LANES)]


turn_square: Any = intrinsic(_turn_square)
