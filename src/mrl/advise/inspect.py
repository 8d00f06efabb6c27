"""`inspect`: what frozen vectors are, and what every prefix of them keeps, plain and after PCA, in every encoding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mrl.advise.asking import SHARE, apart
from mrl.advise.classes import classed
from mrl.advise.facts import Facts, chosen, facts_of, ladder
from mrl.advise.goal import Goal
from mrl.advise.lengths import flushed
from mrl.advise.look import Look
from mrl.advise.material import Material, judged_rows, measurable, read
from mrl.advise.measured import PCA, PLAIN, Contrast, Version, contrasts, measured, rows_of
from mrl.advise.told import told
from mrl.errors import InputError
from mrl.evaluation import Judgements, Row
from mrl.maps import Rotation
from mrl.nesting import Nesting
from mrl.retrieval.encodings import ENCODINGS
from mrl.vectors import Embedded, Held, Source
from mrl.vectors.copies import groups

USUAL = 10  # neighbours, where nobody says how many

Progress = Callable[[str, int, int | None], object]  # (what, done, of how many)


@dataclass(frozen=True)
class Inspection:
    """model: the vectors' name. facts: what they are. rows: what every prefix keeps; runs are `as they are`, `as they
    are, int8`, `PCA`, `PCA, 1bit` … contrasts: PCA against plain, and every encoding against the finest, by the same
    queries. notes: what was left out or sampled, in words."""

    model: str
    facts: Facts
    rows: tuple[Row, ...]
    contrasts: tuple[Contrast, ...]
    notes: tuple[str, ...]

    @property
    def measures(self) -> list[str]:
        """What was measured, the one that matters most first."""
        return list(dict.fromkeys(row.measure for row in self.rows))

    @property
    def findings(self) -> tuple[str, ...]:
        """What all of it says, in sentences."""
        return told(self)

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"findings": list(self.findings)}


def inspect(
    database: Source | Embedded,
    queries: Source | Embedded | None = None,
    judgements: Judgements | None = None,
    look: Look | None = None,
    each: Progress = lambda *_: None,
) -> Inspection:
    """Look at vectors, and measure their prefixes.

    database: what is searched; its bad rows are counted, named and left out. queries: of the same model; without them
    some rows ask, and are left out of the database. Measured are recall@k against the full width, with labels 1-NN,
    with judgements nDCG@k. each: hears of the versions measured. CardError or InputError for what does not belong
    together, NestingError for dims beyond the width.
    """
    look = look or Look()
    cuts = _cuts(database, look)
    _check(database, queries, judgements, look)
    known = _sampled(database, judgements, look)
    asking = None if queries is None else _asking(queries, judgements, look)
    rows, asks, notes = _sides(known, asking, cuts, look, judged=judgements is not None)
    if len(rows) <= look.k or not len(asks):
        few = f"nothing is measured: {len(known.held)} rows and their queries are too few for k = {look.k}"
        facts = facts_of(known.soundness, known.held.vectors, database.card.metric, cuts)[0]
        return Inspection(database.card.model, facts, (), (), (*notes, few))
    facts, turn = facts_of(known.soundness, rows.vectors, database.card.metric, cuts)
    goal = Goal.of(rows, asks, judgements, look)
    found = measured(goal, _versions((rows, asks), turn, known.soundness.dtype, look, cuts), cuts, each)
    notes = (*notes, *goal.notes, *found.notes)
    return Inspection(database.card.model, facts, rows_of(found, goal), contrasts(found), notes)


def _cuts(database: Source | Embedded, look: Look) -> Nesting:
    cuts = look.dims or ladder(database.card.width, database.card.nesting)
    cuts.check_width(database.card.width)
    return cuts


def _check(
    database: Source | Embedded, queries: Source | Embedded | None, judgements: Judgements | None, look: Look
) -> None:
    if len(database) == 0:
        raise InputError(f"{database.path} has no rows; give vectors to inspect")
    if judgements is not None and queries is None:
        raise InputError("judgements speak of queries, which are not there; give the queries' vectors too")
    _check_k(database, queries, look)
    if queries is None:
        return
    if len(queries) == 0:
        raise InputError(f"{queries.path} has no rows; give queries, or leave them out")
    database.card.check_fits(queries.card, (str(database.path), str(queries.path)))
    same = queries is database or (queries.path.exists() and queries.path.resolve() == database.path.resolve())
    if same and judgements is None:
        raise InputError(
            f"queries and vectors are the same file, {queries.path}: every query would find itself; leave the queries "
            "out, and some rows ask"
        )


def _sampled(database: Source | Embedded, judgements: Judgements | None, look: Look) -> Material:
    """The sample of the database; with room for the rows that ask, and every document that was judged."""
    most = look.most(database.card.width)
    wanted = chosen(len(database), most, look.seed)
    if judgements is not None and len(wanted) < len(database):
        wanted = np.union1d(judged_rows(database, judgements), wanted)
    return read(database, wanted, look.seed)


def _asking(queries: Source | Embedded, judgements: Judgements | None, look: Look) -> Material:
    """The sample of the queries; of judged ones as many as there is room for, since few of them may be judged."""
    most = look.queries if judgements is None else look.most(queries.card.width)
    return read(queries, chosen(len(queries), most, look.seed), look.seed)


def _check_k(database: Source | Embedded, queries: Source | Embedded | None, look: Look) -> None:
    """InputError for more neighbours than there are rows; of few rows, what can be said is said all the same."""
    rows = min(len(database), look.most(database.card.width))
    rows -= 0 if queries is not None else min(look.queries, rows // SHARE)
    if look.k > USUAL and look.k >= rows:
        raise InputError(f"k must lie below the {rows:,} rows of {database.path} that are searched, got {look.k}")


def _sides(
    known: Material, asking: Material | None, cuts: Nesting, look: Look, *, judged: bool
) -> tuple[Held, Held, tuple[str, ...]]:
    """(rows, queries, notes): those that can be measured. Without queries, some rows ask."""
    wide = Nesting(tuple(sorted({*cuts.dims, known.held.card.width})))
    rows, notes = measurable(known, wide)
    if asking is None:
        rows, asks, more = _held_out(rows, look)
    else:
        asks, odd = measurable(asking, wide)
        more = (*_told(asking), *odd)
    rows, asks, told = classed(rows, asks, judged=judged)
    return rows, asks, (*_told(known), *notes, *more, *told)


def _held_out(known: Held, look: Look) -> tuple[Held, Held, tuple[str, ...]]:
    """(rows, queries, notes): up to a fifth of the rows, which are mixed, ask; copies of these are not searched."""
    some, first = apart(groups(known.vectors), np.arange(min(look.queries, len(known) // SHARE)))
    notes = []
    if known.card.maps:
        notes.append(
            f"{known.path} went through {', '.join(known.card.maps)}, and rows of it ask: those that this was fitted "
            "on find more than new ones would"
        )
    if copies := len(known) - len(some) - len(first):
        notes.append(f"{known.path}: left out copies of rows that ask: {copies:,}")
    return known.only(some), known.only(first), tuple(notes)


def _versions(sides: tuple[Held, Held], turn: Rotation | None, dtype: str, look: Look, cuts: Nesting) -> list[Version]:
    """What is measured: the vectors and their PCA, in every encoding that is no finer than the file."""
    known, asking = sides
    finest = "float16" if np.dtype(dtype).itemsize == 2 else "float32"
    coarser = ENCODINGS[: ENCODINGS.index(finest) + 1]
    encodings = tuple(name for name in ENCODINGS[::-1] if name in look.encodings and name in coarser) or (finest,)
    plain = Version(PLAIN, encodings, known.vectors, asking.vectors)
    if turn is None:
        return [plain]
    return [plain, Version(PCA, encodings, *(flushed(turn.apply(s.vectors), cuts, s.card.metric) for s in sides))]


def _told(material: Material) -> list[str]:
    sound, held = material.soundness, material.held
    metric = held.card.metric
    kinds = (
        (sound.not_finite, "with a NaN or an Inf"),
        (sound.extreme, "of a length beyond what float32 products hold"),
        *(((sound.zero, "of length 0, which have no direction"),) if metric == "cosine" else ()),
    )
    said = [f"{held.path}: left out rows {what}: {found}" for found, what in kinds if found.count]
    if not material.whole:
        said.append(f"{held.path}: measured on {len(held):,} of {sound.rows:,} rows, drawn at random")
    return said
