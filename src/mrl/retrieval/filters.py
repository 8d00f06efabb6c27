"""Filters: which rows may be found, written as `price < 20 and brand in ["a", "b"] and not sold`.

Python's grammar reads the text into a tree of frozen nodes; nothing of it is ever run. A column is compared with
numbers, strings, true or false:

    == != < <= > >=      also in chains, 1 < x <= 5
    in [..]  not in [..]  is null  is not null
    and  or  not  ( )    a column of booleans is a condition by itself

A column whose name is no Python name stands in two brackets: [["list price"]] < 20. `id` is the rows' ids. A
comparison with a null is false whatever it says, `!=` and `not in` too; `not` turns that over.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.errors import InputError, MissingError

Mask = npt.NDArray[np.bool_]
Value = bool | int | float | str
OPERATORS = {"==": "equal", "!=": "not_equal", "<": "less", "<=": "less_equal", ">": "greater", ">=": "greater_equal"}
TURNED = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
DEEPEST = 100  # conditions within conditions
_SIGNS = {ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}


@dataclass(frozen=True)
class Compare:
    """column operator value, or column `in` values; `3 < x` is `x > 3`, and a column alone is `column == true`."""

    column: str
    operator: str
    value: Value | tuple[Value, ...]


@dataclass(frozen=True)
class IsNull:
    column: str


@dataclass(frozen=True)
class Not:
    part: Node


@dataclass(frozen=True)
class Joined:
    """All of the parts (`and`), or any of them (`or`)."""

    word: str
    parts: tuple[Node, ...]


Node = Compare | IsNull | Not | Joined


@dataclass(frozen=True)
class Filter:
    """A filter as it was written, and what was understood.

    >>> parse("price < 20 and id != 3").columns
    ('price', 'id')
    """

    text: str
    tree: Node

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it reads, each once, in order; `id` among them asks for the rows' ids."""
        return tuple(dict.fromkeys(_columns(self.tree)))

    def mask(self, payload: Any) -> Mask:
        """Which rows of a pyarrow Table pass, (rows,) bool; see `mask`."""
        return mask(self, payload)


def mask(where: str | Filter | Any, payload: Any) -> Mask:
    """Which rows of a pyarrow Table pass a filter, its text, or a pyarrow Expression, (rows,) bool.

    An Expression follows pyarrow's rules; a row for which it is null does not pass. InputError for columns that the
    table does not have and for comparisons between different kinds; MissingError without pyarrow.
    """
    arrow, where = _pyarrow()[0], parse(where) if isinstance(where, str) else where
    shown = str(getattr(where, "text", where))[:99]
    try:
        return _Rows(payload, shown).passing(where.tree) if isinstance(where, Filter) else _arrow(where, payload)
    except (arrow.ArrowException, UnicodeEncodeError) as error:
        raise InputError(f"the filter {shown!r} does not fit the columns: {error}; change either") from None


def _columns(node: Node) -> Iterator[str]:
    match node:
        case Joined(_, parts):
            yield from (column for part in parts for column in _columns(part))
        case Not(part):
            yield from _columns(part)
        case Compare() | IsNull():
            yield node.column


def parse(text: str) -> Filter:
    """Read a filter. InputError shows the text and the place at which it cannot be read.

    >>> parse("1 < x <= 5").tree == parse("1 < x and x <= 5").tree
    True
    """
    flat = text.replace("\n", " ").replace("\r", " ").strip()  # one line, so that a place is one number
    if not flat:
        raise InputError("the filter is empty; write a condition such as price < 20, or leave the filter out")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # what Python only warns of, such as 1or x, is refused
            tree = ast.parse(flat, mode="eval").body
    except SyntaxError as error:
        raise _unreadable(flat, (error.offset or len(flat) + 1) - 1, error.msg) from None
    except (RecursionError, MemoryError, ValueError) as error:  # nested too deeply; a null byte, a lone surrogate
        raise _unreadable(flat, 0, str(error) or "it is nested too deeply") from None
    return Filter(text, _Reader(flat).condition(tree))


def _unreadable(text: str, place: int, why: str) -> InputError:
    return InputError(
        f"cannot read the filter {text[:300]!r} at character {place + 1}, {text[place : place + 20]!r}: {why}; write "
        'conditions such as price < 20 and brand in ["a", "b"], and odd names of columns as [["list price"]]'
    )


@dataclass(frozen=True)
class _Reader:
    """Turns Python's tree into ours and refuses all that no filter has."""

    text: str

    def refused(self, node: ast.expr, why: str) -> InputError:
        place = len(self.text.encode()[: node.col_offset].decode())  # Python counts bytes
        return _unreadable(self.text, place, why)

    def condition(self, node: ast.expr, depth: int = 0) -> Node:
        if depth > DEEPEST:
            raise self.refused(node, f"conditions are nested more than {DEEPEST} times")
        match node:
            case ast.BoolOp(op=word, values=parts):
                joined = tuple(self.condition(part, depth + 1) for part in parts)
                return Joined("and" if isinstance(word, ast.And) else "or", joined)
            case ast.UnaryOp(op=ast.Not(), operand=part):
                return Not(self.condition(part, depth + 1))
            case ast.Compare(left=left, ops=signs, comparators=others):
                links = tuple(map(self.link, (left, *others[:-1]), signs, others))
                return links[0] if len(links) == 1 else Joined("and", links)
        return Compare(self.column(node), "==", True)

    def link(self, left: ast.expr, sign: ast.cmpop, right: ast.expr) -> Node:
        if isinstance(sign, ast.In | ast.NotIn):
            if not isinstance(right, ast.List | ast.Tuple):
                raise self.refused(right, "after `in` comes a list such as [1, 2]")
            among = Compare(self.column(left), "in", tuple(map(self.value, right.elts)))
            return among if isinstance(sign, ast.In) else Joined("and", (Not(IsNull(among.column)), Not(among)))
        if isinstance(sign, ast.Is | ast.IsNot):
            if not _is_null(right):
                raise self.refused(right, "`is` asks only for null")
            return IsNull(self.column(left)) if isinstance(sign, ast.Is) else Not(IsNull(self.column(left)))
        if _named(left) is None:
            return Compare(value=self.value(left), operator=TURNED[_SIGNS[type(sign)]], column=self.column(right))
        return Compare(self.column(left), _SIGNS[type(sign)], self.value(right))

    def column(self, node: ast.expr) -> str:
        if (name := _named(node)) is None:
            raise self.refused(node, "a column belongs here")
        return name

    def value(self, node: ast.expr) -> Value:
        match node:
            case ast.Name(id="true" | "false" as word):
                return word == "true"
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
                return self.bounded(node, -number)
            case ast.Constant(value=bool() | int() | float() | str() as value):
                return self.bounded(node, value)
        wanted = "a column is compared with a number, a string in quotes, true or false"
        raise self.refused(node, "null equals nothing: ask by `is null`" if _is_null(node) else wanted)

    def bounded(self, node: ast.expr, value: Value) -> Value:
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise self.refused(node, "a whole number has at most 64 bits")
        return value


def _named(node: ast.expr) -> str | None:
    """The column that a node names, if it names one."""
    match node:
        case ast.Name(id=name) if name not in ("true", "false", "null"):
            return name
        case ast.List(elts=[ast.List(elts=[ast.Constant(value=str(name))])]):
            return name
    return None


def _is_null(node: ast.expr) -> bool:
    return node.value is None if isinstance(node, ast.Constant) else isinstance(node, ast.Name) and node.id == "null"


@dataclass(frozen=True, eq=False)
class _Rows:
    """The rows of a table, asked which of them pass."""

    payload: Any
    text: str

    def passing(self, node: Node) -> Mask:
        match node:
            case Joined(word, parts):
                return reduce(np.logical_and if word == "and" else np.logical_or, map(self.passing, parts))
            case Not(part):
                return ~self.passing(part)
            case IsNull(column):
                return np.asarray(self.stored(column).is_null(), bool)
        return self.compared(node)

    def stored(self, column: str) -> Any:
        names = self.payload.column_names
        if (count := names.count(column)) == 1:
            return self.payload.column(column)
        known = f"the columns are {', '.join(names) or 'none'}"
        there = f"which is there {count} times" if count else "which is not there"
        raise InputError(f"the filter {self.text!r} asks for column {column!r}, {there}; {known}")

    def typed(self, column: str, values: tuple[Value, ...]) -> Any:
        """The column in the one type of its kind, once that was found to be the kind of the values."""
        stored = self.stored(column)
        kind, wanted = _kind(stored.type)
        for value in values:
            if kind not in (_kind_of(value), "nothing"):
                both = f"column {column!r} ({stored.type}) with the {_kind_of(value)} {value!r}"
                raise InputError(f"the filter {self.text!r} compares {both}; quote strings alone, or use an Expression")
        return stored.cast(wanted)

    def compared(self, node: Compare) -> Mask:
        (arrow, compute), values = _pyarrow(), node.value if isinstance(node.value, tuple) else (node.value,)
        stored = self.typed(node.column, values)
        if stored.type == arrow.null():
            return np.zeros(len(stored), bool)
        fitting = [each for value in values for each in _fitting(value, str(stored.type))]
        if node.operator == "in":
            return np.asarray(compute.is_in(stored, value_set=arrow.array(fitting, stored.type)), bool)
        if not fitting:  # a fraction: the integers that become others as floats are far from it
            stored, fitting = stored.cast(arrow.float64(), safe=False), [*values]
        result = getattr(compute, OPERATORS[node.operator])(stored, arrow.scalar(fitting[0], stored.type))
        return np.asarray(result.fill_null(False), bool)


def _kind_of(value: Value) -> str:
    return "boolean" if isinstance(value, bool) else "string" if isinstance(value, str) else "number"


def _kind(stored: Any) -> tuple[str, Any]:
    """number, string, boolean, nothing (nulls alone) or other, and the one type in which such values are compared."""
    arrow, types = _pyarrow()[0], _pyarrow()[0].types
    own = stored.value_type if types.is_dictionary(stored) else stored
    if types.is_integer(own) or types.is_floating(own):
        return "number", arrow.int64() if types.is_integer(own) else arrow.float64()
    if types.is_string(own) or types.is_large_string(own) or types.is_string_view(own):
        return "string", arrow.large_string()
    return "boolean" if types.is_boolean(own) else "nothing" if types.is_null(own) else "other", own


def _fitting(value: Value, wanted: str) -> tuple[Value, ...]:
    """The value in an Arrow type, with both zeros, which `is_in` tells apart; none for what no integer is."""
    if wanted == "int64" and isinstance(value, float):
        return (int(value),) if value.is_integer() and abs(value) < 2**63 else ()
    return (value,) if wanted != "double" else (float(value), -0.0) if value == 0 else (float(value),)


def _arrow(where: Any, payload: Any) -> Mask:
    arrow, compute = _pyarrow()
    if not isinstance(where, compute.Expression):
        raise InputError(f"a filter is a text, a Filter or a pyarrow Expression, got {type(where).__name__}")
    from pyarrow import acero

    source = acero.Declaration("table_source", acero.TableSourceNodeOptions(payload))
    answer = acero.Declaration("project", acero.ProjectNodeOptions([where], ["passes"]), [source])
    passes = answer.to_table(use_threads=False)["passes"].cast(arrow.bool_())  # threads may reorder the rows
    return np.asarray(passes.fill_null(False), bool)


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.compute as compute
    except ImportError:
        raise MissingError("filters need pyarrow: pip install 'mrl[evaluate]'") from None
    return pyarrow, compute
