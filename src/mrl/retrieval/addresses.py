"""Memory by its address, for compiled code that reads any number of mapped files. Needs Numba."""

from __future__ import annotations

from typing import Any

import numba
from llvmlite import ir
from numba.extending import intrinsic

carray: Any = numba.carray  # type: ignore[attr-defined]


def _pointing(kind: Any) -> Any:
    """A compiled function that takes an address for a pointer to such values."""
    pointer: Any = numba.types.CPointer(kind)  # type: ignore[no-untyped-call]

    def at(typing: Any, address: Any) -> Any:
        return pointer(numba.uint64), lambda context, builder, _, given: builder.inttoptr(
            given[0], context.get_value_type(pointer)
        )

    return intrinsic(at)


floats, halves = _pointing(numba.float32), _pointing(numba.uint16)
signed, octets = _pointing(numba.int8), _pointing(numba.uint8)
ints, longs = _pointing(numba.int32), _pointing(numba.int64)


def _ask(typing: Any, address: Any) -> Any:
    """Ask for the 64 bytes at an address; nothing happens if there are none."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        ask = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        builder.call(ask, [builder.inttoptr(given[0], byte), *(ir.Constant(word, value) for value in (0, 3, 1))])
        return context.get_dummy_value()

    return numba.void(numba.uint64), generate


fetch: Any = intrinsic(_ask)
