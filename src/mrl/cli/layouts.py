"""What the makers of an index choose: its cuts and encodings, and its engines."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mrl.errors import InputError
from mrl.nesting import Nesting
from mrl.options import option

if TYPE_CHECKING:
    from mrl.retrieval import Layout
    from mrl.retrieval.engine import Engine


@dataclass(frozen=True)
class Shape:
    """Where an index is cut, and how its segments are written."""

    cuts: str | None = option(
        None,
        "Dims that can be searched, as 32,64,1024; the last is the width. Without them: the trained dims, from 32 on "
        "if some are, or the width's halves; a copy keeps those of its index.",
    )
    reference: str | None = option(
        None,
        "The encoding that counts as the vectors, float32, or float16 for half the bytes. Without it: float32; a copy "
        "keeps that of its index.",
    )
    beside: list[str] | None = option(
        None,
        "A coarser copy of the first dims, beside the encoding that counts: int8=64, int12=1024, float16=64 or "
        "1bit=1024; may be given several times. Without it: none; a copy keeps those of its index, `none` leaves them "
        "out.",
    )

    def layout(self, standard: Layout) -> Layout:
        """The layout that was asked for; what was not asked for is as in the standard."""
        from mrl.retrieval import Layout

        if self == Shape():
            return standard
        cuts = standard.cuts if self.cuts is None else Nesting.parse(self.cuts)
        if self.reference is None and len(set(standard.reference)) > 1:
            raise InputError(
                f"segments are stored as {', '.join(standard.reference)}; say one for all with --reference"
            )
        beside = self._kept(standard, cuts) if self.beside is None else _copies(self.beside)
        _check_copies(beside, cuts)
        return Layout.of(cuts, self.reference or standard.reference[0], beside)

    def _kept(self, standard: Layout, cuts: Nesting) -> dict[str, int]:
        """The standard's copies; InputError where the new cuts leave no place for one that nobody asked for."""
        beside = _kept(standard)
        for name, dim in beside.items():
            if dim not in cuts.dims:
                raise InputError(
                    f"the index has {name} up to {dim} dims, and {dim} is none of the new cuts {cuts}; "
                    f"add that cut, or say what is kept: --beside {name}={cuts.dims[0]}, or --beside none"
                )
        return beside


@dataclass(frozen=True)
class Engines:
    """What is built to propose the rows of a plan's first stage."""

    engine: list[str] | None = option(
        None,
        "Build an engine over the first dims, in a plan's own words: 128/hnsw+m=16, 64/ivf+lists=256+codes=int8 or "
        "128/rabitq; may be given several times.",
    )

    @property
    def asked(self) -> tuple[tuple[int, Engine], ...]:
        """(dim, engine) with its build knobs, each once. InputError for what is no engine."""
        return tuple(dict.fromkeys(map(_engine, self.engine or ())))


def check_engines(asked: Iterable[tuple[int, Engine]], cuts: Nesting, rows: int | None) -> None:
    """Raise InputError, before anything is read or built, for an engine that cannot be there.

    rows: how many there are, None where nobody knows yet.
    """
    from mrl.retrieval import IVF

    for dim, engine in asked:
        if dim not in cuts.dims:
            raise InputError(
                f"an engine {engine_name(dim, engine)} needs a cut at {dim}; the cuts are {cuts}; choose one of these, "
                "or others with --cuts"
            )
        if isinstance(engine, IVF) and rows and engine.lists > rows:
            raise InputError(
                f"an engine {engine_name(dim, engine)} needs a row for each list, there are {rows}; ask for fewer lists"
            )


def engine_name(dim: int, engine: Engine) -> str:
    """`128/hnsw+m=16`: as a plan and `--engine` have it."""
    from mrl.retrieval.engine import engine_text, of_build

    return f"{dim}/{engine_text(of_build(engine))}"


def _engine(text: str) -> tuple[int, Engine]:
    """`128/hnsw+m=16` as (128, HNSW(m=16)); knobs of a search, such as ef, are left out: they are free at each."""
    from mrl.retrieval.engine import Scan, of_build, parse_engine

    dim, _, name = text.partition("/")
    engine = parse_engine(name)
    if not (dim.isascii() and dim.isdigit()) or isinstance(engine, Scan):
        raise InputError(f"cannot read an engine from {text!r}; write dim/engine, as 128/hnsw+m=16; a scan needs none")
    return int(dim), of_build(engine)


def _copies(texts: list[str]) -> dict[str, int]:
    """What was given with --beside."""
    return {} if texts == ["none"] else dict(map(_copy, texts))


def _copy(text: str) -> tuple[str, int]:
    """`int8=64` as (int8, 64)."""
    name, _, dim = text.partition("=")
    if not (dim.isascii() and dim.isdigit()):
        raise InputError(f"cannot read a copy from {text!r}; write encoding=dim, as int8=64")
    return name, int(dim)


def _check_copies(copies: dict[str, int], cuts: Nesting) -> None:
    """Raise InputError unless each is an encoding and ends at a cut."""
    from mrl.retrieval.encodings import check_encoding

    for name, dim in copies.items():
        check_encoding(name)
        if dim not in cuts.dims:
            missing = f"{name} up to {dim} dims needs a cut there; the cuts are {cuts}"
            wider = ",".join(map(str, sorted({*cuts.dims, dim})))
            raise InputError(f"{missing}; add it: --cuts {wider}" if 0 < dim < cuts.width else missing)


def _kept(layout: Layout) -> dict[str, int]:
    """The coarser encodings of a layout, and up to which dim each is kept."""
    return {name: dim for dim, names in zip(layout.cuts.dims, layout.beside, strict=True) for name in names}
