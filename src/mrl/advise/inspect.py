"""`inspect`: what frozen vectors are, and what every prefix of them keeps, plain and after PCA, in every encoding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mrl.advise.facts import Facts, chosen, facts_of, ladder
from mrl.advise.goal import Goal
from mrl.advise.look import Look
from mrl.advise.material import Material, judged_rows, read
from mrl.advise.measured import PCA, PLAIN, Contrast, Version, contrasts, measured, rows_of
from mrl.advise.told import told
from mrl.errors import InputError
from mrl.evaluation import Judgements, Row
from mrl.maps import Rotation
from mrl.retrieval.encodings import ENCODINGS
from mrl.vectors import Embedded, Held, Source

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
    _check(database, queries, judgements)
    cuts = look.dims or ladder(database.card.width, database.card.nesting)
    cuts.check_width(database.card.width)
    known = _sampled(database, judgements, look)
    asking = None if queries is None else _asking(queries, judgements, look)
    notes = [*_told(known), *([] if asking is None else _told(asking))]
    sides = _sides(known.held, None if asking is None else asking.held, look)
    rows = known.held if sides is None else sides[0]
    facts, turn = facts_of(known.soundness, rows.vectors, database.card.metric, cuts)
    if turn is None or sides is None:
        notes.append(f"nothing is measured: {len(known.held)} rows and their queries are too few for k = {look.k}")
        return Inspection(database.card.model, facts, (), (), tuple(notes))
    goal = Goal.of(*sides, judgements, look)
    found = measured(goal, _versions(sides, turn, known.soundness.dtype, look), cuts, each)
    notes += [*goal.notes, *found.notes]
    return Inspection(database.card.model, facts, rows_of(found, goal), contrasts(found), tuple(notes))


def _check(database: Source | Embedded, queries: Source | Embedded | None, judgements: Judgements | None) -> None:
    if len(database) == 0:
        raise InputError(f"{database.path} has no rows; give vectors to inspect")
    if judgements is not None and queries is None:
        raise InputError("judgements speak of queries, which are not there; give the queries' vectors too")
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


def _sides(known: Held, asking: Held | None, look: Look) -> tuple[Held, Held] | None:
    """(rows, queries); None if there are too few. Without queries, up to a fifth of the rows ask."""
    if asking is None:
        count = min(look.queries, len(known) // 5)
        places = np.arange(len(known))
        known, asking = known.only(places[count:]), known.only(places[:count])
    return (known, asking) if len(known) > look.k and len(asking) else None


def _versions(sides: tuple[Held, Held], turn: Rotation, dtype: str, look: Look) -> list[Version]:
    """What is measured: the vectors and their PCA, in every encoding that is no finer than the file."""
    known, asking = sides
    finest = "float16" if np.dtype(dtype).itemsize == 2 else "float32"
    coarser = ENCODINGS[: ENCODINGS.index(finest) + 1]
    encodings = tuple(name for name in ENCODINGS[::-1] if name in look.encodings and name in coarser) or (finest,)
    return [
        Version(PLAIN, encodings, known.vectors, asking.vectors),
        Version(PCA, encodings, turn.apply(known.vectors), turn.apply(asking.vectors)),
    ]


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
