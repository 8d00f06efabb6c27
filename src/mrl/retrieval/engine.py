"""Engines: what proposes the candidates of a plan's first stage, as values. What they do stands in `proposers`.

Build knobs belong to the engine on disk: two engines with the same ones use the same file. Query knobs are free at
every search. As text, after the stage's `/`: `hnsw+m=16+ef=64`, `ivf+lists=256+probes=8+codes=int8`, `rabitq`.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import Field, dataclass, field, fields, replace
from typing import Any

from mrl.errors import InputError

CODES = ("float32", "float16", "int8", "1bit")


def _build(default: Any) -> Any:
    return field(default=default, metadata={"build": True})


@dataclass(frozen=True)
class Scan:
    """Every row is scored, exactly for the encoding that is read."""


@dataclass(frozen=True)
class HNSW:
    """A navigable graph that proposes rows without scoring all of them (Malkov and Yashunin, arXiv 1603.09320).

    Build knobs: m, links of a row on each layer; ef_construction, candidates while it is linked; codes, how the
    graph's own vectors are stored: float32, float16 or int8. Query knob: ef, candidates kept while searching (the
    engine takes the stage's keep where that is more).
    """

    m: int = _build(32)
    ef_construction: int = _build(200)
    ef: int = 64
    codes: str = _build("float16")

    def __post_init__(self) -> None:
        _check_integers(self, m=2, ef_construction=1, ef=1)
        _check_codes(self, CODES[:-1])


@dataclass(frozen=True)
class IVF:
    """Rows in lists around centres, of which the nearest few are scanned.

    Build knobs: lists, how many; codes, how rows lie in them: float32, float16, int8 or 1bit (RaBitQ, arXiv
    2405.12497, scanned 32 rows at a time). Query knob: probes, lists that are scanned.
    """

    lists: int = _build(256)
    probes: int = 8
    codes: str = _build("float16")

    def __post_init__(self) -> None:
        _check_integers(self, lists=1, probes=1)
        _check_codes(self, CODES)


@dataclass(frozen=True)
class RaBitQ:
    """All rows are scanned as one bit a coordinate with two numbers a row, which correct the product (RaBitQ, arXiv
    2405.12497), 32 rows at a time."""


Engine = Scan | HNSW | IVF | RaBitQ
BUILT = {"hnsw": HNSW, "ivf": IVF, "rabitq": RaBitQ}  # those that have a file


def of_build(engine: Engine) -> Engine:
    """The engine with its build knobs alone: equal for two that use the same file.

    >>> of_build(HNSW(m=16, ef=200)) == of_build(HNSW(m=16, ef=32))
    True
    """
    known: Any = {knob.name: knob.default for knob in fields(engine) if "build" not in knob.metadata}
    return replace(engine, **known)


def engine_text(engine: Engine, *, whole: bool = False) -> str:
    """`hnsw+ef=128`: the name and the knobs that are not the default; whole: all of them. Empty for a scan.

    >>> engine_text(IVF(lists=64)), engine_text(RaBitQ()), engine_text(Scan())
    ('ivf+lists=64', 'rabitq', '')
    """
    if isinstance(engine, Scan):
        return ""
    name = next(name for name, kind in BUILT.items() if isinstance(engine, kind))
    knobs = [(knob.name, getattr(engine, knob.name)) for knob in fields(engine) if whole or _set(engine, knob)]
    return name + "".join(f"+{knob}={value}" for knob, value in sorted(knobs))


def parse_engine(text: str) -> Engine:
    """Read `hnsw+m=16+ef=64`; knobs may be left out. Empty is a scan."""
    if not text:
        return Scan()
    name, *knobs = text.split("+")
    kind = BUILT.get(name)
    if kind is None:
        raise InputError(f"unknown engine {name!r} in {text!r}; known are {', '.join(BUILT)}")
    given = [_knob(each, kind, text) for each in knobs]
    if twice := [knob for place, (knob, _) in enumerate(given) if knob in dict(given[:place])]:
        raise InputError(f"the knob {twice[0]} stands twice in {text!r}; give it once")
    made: Engine = kind(**dict(given))
    return made


def _knob(text: str, kind: type[Any], whole: str) -> tuple[str, Any]:
    found = re.fullmatch(r"([a-z_]+)=(\w{1,18})", text)
    known = [knob.name for knob in fields(kind)]
    if not found or found[1] not in known:
        there = f"its knobs are {', '.join(known)}" if known else "it has none"
        raise InputError(f"cannot read the knob {text!r} in {whole!r}; write name=value, {there}")
    return found[1], int(found[2]) if found[2].isdecimal() else found[2]


def _set(engine: Engine, knob: Field[Any]) -> bool:
    return bool(getattr(engine, knob.name) != knob.default)


def _check_integers(engine: Any, **lowest: int) -> None:
    for name, low in lowest.items():
        object.__setattr__(engine, name, integer(f"{name} of {_name(engine)}", getattr(engine, name), low))


def _check_codes(engine: Any, known: Collection[str]) -> None:
    if engine.codes not in known:
        raise InputError(f"codes of {_name(engine)} are {', '.join(known)}, got {engine.codes!r}")


def _name(engine: Any) -> str:
    return "an HNSW" if isinstance(engine, HNSW) else "an IVF"


def integer(what: str, value: Any, low: int) -> int:
    """`value` as an integer; InputError unless it is one of at least `low`."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < low:
        raise InputError(f"{what} must be an integer of at least {low}, got {value!r}")
    return int(value.__index__())
