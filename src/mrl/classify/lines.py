"""Lines of logits, in vectors: the largest of one, and exponentials. Needs Numba.

A line is filled up to a multiple of FILL, for what a loop over vectors leaves over is slow. Whoever changes this file
must also touch `compiled`: Numba's cache notices changes in the file of a function, not in what that calls.
"""

from __future__ import annotations

from functools import partial, reduce
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from mrl.microkernel import LANES, VECTOR

FILL = 64  # logits: whole vectors on any processor

EXACT = {"contract"}  # what the exponential may do: reordered, it would lose what it rounds away on purpose
LEAST, PER_LOG2 = np.float32(-87), np.float32(1.4426950408889634)  # e^−87 is the smallest that float32 holds in full
LOG2, REST = np.float32(0.693359375), np.float32(-2.12194440e-4)  # log 2 = LOG2 + REST, and k · LOG2 is exact
ONE, HALF, SIXTH, C4, C5, C6 = (np.float32(1 / n) for n in (1, 2, 6, 24, 120, 720))


def _power(_: Any, exponent: Any) -> Any:
    """2 to an int32 from −126 to 127, from its bits."""

    def generate(context: Any, build: Any, signature: Any, given: Any) -> Any:
        word = ir.IntType(32)
        bits = build.shl(build.add(given[0], ir.Constant(word, 127)), ir.Constant(word, 23))
        return build.bitcast(bits, ir.FloatType())

    return types.float32(types.int32), generate


def _largest(_: Any, line: Any) -> Any:
    """The largest of a filled line, in vectors: compilers look for it one by one, in case that there are NaN."""

    def generate(context: Any, build: Any, signature: Any, given: Any) -> Any:
        array, word, before = context.make_array(line)(context, build, given[0]), ir.IntType(64), build.block
        size = build.extract_value(array.shape, 0)
        loop, after = build.append_basic_block("lines"), build.append_basic_block("largest")
        first = _vectors(build, array.data, ir.Constant(word, 0))
        build.branch(loop)
        build.position_at_end(loop)
        start, most = build.phi(word), [build.phi(VECTOR) for _ in first]
        more = [_larger(build, *pair) for pair in zip(most, _vectors(build, array.data, start), strict=True)]
        following = build.add(start, ir.Constant(word, FILL))
        for phi, begin, end in zip([start, *most], [ir.Constant(word, 0), *first], [following, *more], strict=True):
            phi.add_incoming(begin, before)
            phi.add_incoming(end, loop)
        build.cbranch(build.icmp_signed("<", following, size), loop, after)
        build.position_at_end(after)
        return _one(build, reduce(partial(_larger, build), more))

    return types.float32(line), generate


def _vectors(build: Any, data: Any, start: Any) -> list[Any]:
    """FILL values from element `start` on."""
    places = [build.add(start, ir.Constant(ir.IntType(64), i)) for i in range(0, FILL, LANES)]
    return [build.load(build.bitcast(build.gep(data, [at]), VECTOR.as_pointer()), align=4) for at in places]


def _larger(build: Any, left: Any, right: Any) -> Any:
    return build.select(build.fcmp_ordered(">", left, right), left, right)


def _one(build: Any, vector: Any) -> Any:
    """The largest of a vector: its halves are compared again and again."""
    word, lanes = ir.IntType(32), LANES
    while lanes > 1:
        lanes //= 2
        other = ir.Constant(ir.VectorType(word, LANES), [(i + lanes) % LANES for i in range(LANES)])
        vector = _larger(build, vector, build.shuffle_vector(vector, vector, other))
    return build.extract_element(vector, ir.Constant(word, 0))


power: Any = intrinsic(_power)
largest: Any = intrinsic(_largest)


@numba.njit(nogil=True, cache=True, fastmath=EXACT)
def exponential(x: Any) -> Any:
    """e^x for float32 x ≤ 0, within 3e-7 of it relatively: 2^k · e^r, |r| ≤ log 2 / 2, to the sixth power of r."""
    x = x if x > LEAST else LEAST
    k = np.int32(x * PER_LOG2 - HALF)
    r = x - np.float32(k) * LOG2 - np.float32(k) * REST
    return ((((((C6 * r + C5) * r + C4) * r + SIXTH) * r + HALF) * r + ONE) * r + ONE) * power(k)
