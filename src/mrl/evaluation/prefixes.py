"""`evaluate`: what every prefix is worth, from vectors embedded once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.errors import CardError, InputError
from mrl.evaluation.intervals import interval
from mrl.evaluation.linear import Probe, head_ranks
from mrl.evaluation.measures import average_precision, k_nn, one_nn, precision
from mrl.evaluation.rows import Row
from mrl.heads import HeadWeights
from mrl.nesting import Nesting
from mrl.segments import neighbours
from mrl.vectors import Table

Labels = npt.NDArray[np.int64]


def evaluate(
    database: Table,
    queries: Table,
    head: HeadWeights | None = None,
    *,
    dims: Nesting | None = None,
    k: int = 10,
    run: str = "",
) -> list[Row]:
    """Measure every trained dim and those between (arXiv 2205.13147 §4.1-4.3).

    database, queries: tables of one model's raw vectors, with labels. head: the saved classifier; where it does not
    serve a dim, or is None, a probe fitted on the database takes its place and the row says so. dims: what to measure,
    default the trained ones and, halfway, those between. k: neighbours looked at. run: the name in the rows, default
    the model's.

    Linear top-1 and top-5 (where there are more than five classes), 1-NN, k-NN, mAP@k and P@k, each the mean over the
    queries with its 95 % interval. CardError or InputError for what does not belong together.
    """
    _check(database, queries, head, k)
    trained = database.card.nesting
    cuts = dims or trained.between()
    for dim in cuts.dims:
        trained.check_readable(dim, database.card.width)
    names = database.label_names
    known, wanted = database.need_labels(), _renumbered(queries, names)
    about = _About(run or database.card.model, database, queries, trained)
    rows = [*_linear(head, about, _Labels(known, wanted), cuts), *_near(about, _Labels(known, wanted), cuts, k)]
    order = {measure: place for place, measure in enumerate(dict.fromkeys(row.measure for row in rows))}
    return sorted(rows, key=lambda row: (order[row.measure], row.dim))


@dataclass(frozen=True)
class _Labels:
    """Labels of database and queries, in one numbering; −1 for a query's class that the database does not name."""

    database: Labels
    queries: Labels


@dataclass(frozen=True)
class _About:
    """What all rows of one evaluation share."""

    run: str
    database: Table
    queries: Table
    trained: Nesting

    def rows(self, measure: str, method: str, cuts: Nesting, values: Any, macs_per_dim: int) -> Iterator[Row]:
        """One row per cut from per-query values (cuts, queries)."""
        low, high, name = interval(values)
        for level, dim in enumerate(cuts.dims):
            yield Row(
                run=self.run,
                measure=measure,
                dim=dim,
                trained=self.trained.trained(dim),
                value=float(values[level].mean()),
                low=float(low[level]),
                high=float(high[level]),
                interval=name,
                method=method,
                queries=len(self.queries),
                bytes=dim * self.database.vectors.dtype.itemsize,
                macs=dim * macs_per_dim,
            )


def _near(about: _About, labels: _Labels, cuts: Nesting, k: int) -> Iterator[Row]:
    found = neighbours(about.queries.vectors, about.database.vectors, cuts, k, about.database.card.metric)
    theirs = labels.database[found.positions]  # (cuts, queries, k)
    measures = {"1-NN": one_nn, f"{k}-NN": k_nn, f"mAP@{k}": average_precision, f"P@{k}": precision}
    for name, measure in measures.items():
        yield from about.rows(name, "neighbours", cuts, measure(theirs, labels.queries), len(about.database))


def _linear(head: HeadWeights | None, about: _About, labels: _Labels, cuts: Nesting) -> Iterator[Row]:
    served = tuple(dim for dim in cuts.dims if head is not None and head.serves(dim))
    left = tuple(dim for dim in cuts.dims if dim not in served)
    if head is not None and served:
        at = Nesting(served)
        names = head.classes or about.database.label_names
        ranks = head_ranks(head, about.queries.vectors, _renumbered(about.queries, names), at)
        yield from _tops(about, "head", at, ranks, head.count)
    if left:
        at = Nesting(left)
        probe = Probe.fit(about.database.vectors, labels.database)
        ranks = probe.ranks(about.queries.vectors, labels.queries, at)
        yield from _tops(about, "probe", at, ranks, len(probe.log_priors))


def _tops(about: _About, method: str, cuts: Nesting, ranks: Labels, classes: int) -> Iterator[Row]:
    yield from about.rows("top-1", method, cuts, (ranks < 1).astype(np.float64), classes)
    if classes > 5:
        yield from about.rows("top-5", method, cuts, (ranks < 5).astype(np.float64), classes)


def _renumbered(table: Table, names: tuple[str, ...]) -> Labels:
    """The table's labels as places in `names`, −1 where it is not among them; as they are without names."""
    labels = table.need_labels()
    if not names or not table.label_names or table.label_names == names:
        return labels
    place = {name: i for i, name in enumerate(names)}
    return np.array([place.get(name, -1) for name in table.label_names], np.int64)[labels]


def _check(database: Table, queries: Table, head: HeadWeights | None, k: int) -> None:
    database.card.check_fits(queries.card, (str(database.path), str(queries.path)))
    for table in (database, queries):
        if len(table) == 0:
            raise InputError(f"{table.path} is empty; embed something first")
        if table.need_labels().min() < 0:
            raise InputError(f"{table.path} has the label {table.need_labels().min()}; labels count from 0")
    if database.path.resolve() == queries.path.resolve():
        raise InputError(f"queries and database are the same table, {queries.path}: every query would find itself")
    if not 1 <= k <= len(database):
        raise InputError(f"k must lie between 1 and the {len(database)} rows of {database.path}, got {k}")
    if bool(database.label_names) != bool(queries.label_names):
        named, bare = sorted((database, queries), key=lambda table: not table.label_names)
        raise InputError(
            f"{named.path} names its labels and {bare.path} does not, so they cannot be compared; "
            "write both with label_names, or both without"
        )
    fingerprint = database.card.fingerprint
    if head is not None and head.fingerprint and fingerprint and head.fingerprint != fingerprint:
        raise CardError(
            f"the head belongs to an encoder {head.fingerprint[:12]} and {database.path} to {fingerprint[:12]}; "
            "give the head of the run that embedded it"
        )
    if head is not None and head.nesting != database.card.nesting:
        raise InputError(
            f"the head was trained at {head.nesting}, {database.path} at {database.card.nesting}; "
            "give the head of the run that embedded it"
        )
