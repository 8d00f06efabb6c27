"""`evaluate`: what every prefix is worth, from vectors embedded once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mrl.errors import CardError, InputError
from mrl.evaluation.linear import Probe, head_ranks
from mrl.evaluation.measures import average_precision, k_nn, one_nn, precision
from mrl.evaluation.numbering import check_alike, renumbered
from mrl.evaluation.per_query import Measured, PerQuery
from mrl.evaluation.rows import Row
from mrl.evaluation.subject import How, Subject
from mrl.heads import HeadWeights
from mrl.nesting import Nesting
from mrl.segments import neighbours
from mrl.vectors import Embedded

Labels = npt.NDArray[np.int64]


def evaluate(
    database: Embedded,
    queries: Embedded,
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
    return per_query(database, queries, head, dims=dims, k=k, run=run).rows()


def per_query(
    database: Embedded,
    queries: Embedded,
    head: HeadWeights | None = None,
    *,
    dims: Nesting | None = None,
    k: int = 10,
    run: str = "",
) -> PerQuery:
    """What `evaluate` takes the means of, query by query."""
    subject = Subject.of(database, queries, dims, run)
    _check(database, queries, head, k)
    labels = _Labels(database.need_labels(), renumbered(queries, database.label_names))
    measured = (*_linear(head, database, queries, labels, subject.cuts), *_near(database, queries, labels, subject, k))
    return PerQuery(subject, queries.ids, measured)


@dataclass(frozen=True)
class _Labels:
    """Labels of database and queries, in one numbering; −1 for a query's class that the database does not name."""

    database: Labels
    queries: Labels


def _near(database: Embedded, queries: Embedded, labels: _Labels, subject: Subject, k: int) -> Iterator[Measured]:
    cuts = subject.cuts
    found = neighbours(queries.vectors, database.vectors, cuts, k, subject.card.metric)
    theirs = labels.database[found.positions]  # (cuts, queries, k)
    measures = {"1-NN": one_nn, f"{k}-NN": k_nn, f"mAP@{k}": average_precision, f"P@{k}": precision}
    how = (How("neighbours", len(database)),) * len(cuts)
    for name, measure in measures.items():
        yield Measured(name, measure(theirs, labels.queries), how)


def _linear(
    head: HeadWeights | None, database: Embedded, queries: Embedded, labels: _Labels, cuts: Nesting
) -> Iterator[Measured]:
    """top-1 and top-5, by the head where it serves a cut and by the probe elsewhere."""
    ranks = np.empty((len(cuts), len(queries)), np.int64)
    how = [How("head", head.count if head else 0)] * len(cuts)
    served = np.array([head is not None and head.serves(dim) for dim in cuts.dims])
    if head is not None and served.any():
        wanted = renumbered(queries, head.classes or database.label_names)
        ranks[served] = head_ranks(head, queries.vectors, wanted, _some(cuts, served))
    if not served.all():
        probe = Probe.fit(database.vectors, labels.database)
        ranks[~served] = probe.ranks(queries.vectors, labels.queries, _some(cuts, ~served))
        how = [each if ok else How("probe", len(probe.log_priors)) for each, ok in zip(how, served, strict=True)]
    for best in (1, 5) if min(each.macs for each in how) > 5 else (1,):
        yield Measured(f"top-{best}", (ranks < best).astype(np.float64), tuple(how))


def _some(cuts: Nesting, chosen: npt.NDArray[np.bool_]) -> Nesting:
    return Nesting(tuple(np.array(cuts.dims)[chosen].tolist()))


def _check(database: Embedded, queries: Embedded, head: HeadWeights | None, k: int) -> None:
    for table in (database, queries):
        if table.need_labels().min() < 0:
            raise InputError(f"{table.path} has the label {table.need_labels().min()}; labels count from 0")
    if database.path.resolve() == queries.path.resolve():
        raise InputError(f"queries and database are the same table, {queries.path}: every query would find itself")
    if not 1 <= k <= len(database):
        raise InputError(f"k must lie between 1 and the {len(database)} rows of {database.path}, got {k}")
    check_alike(queries, database)
    fingerprint = database.card.fingerprint
    if head is not None and head.fingerprint and fingerprint and head.fingerprint != fingerprint:
        raise CardError(
            f"the head belongs to an encoder {head.fingerprint[:12]} and {database.path} to {fingerprint[:12]}; "
            "give the head of the run that embedded it"
        )
    if head is not None and not set(database.card.nesting.dims) <= set(head.nesting.dims):  # fewer, where it was cut
        raise InputError(
            f"the head was trained at {head.nesting}, {database.path} at {database.card.nesting}; "
            "give the head of the run that embedded it"
        )
