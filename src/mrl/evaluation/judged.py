"""`evaluate_judged`: what every prefix is worth in retrieval, from judgements and one pass over the vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.errors import InputError
from mrl.evaluation.judgements import Judgements
from mrl.evaluation.matching import Matched, matched
from mrl.evaluation.nearest import nearest
from mrl.evaluation.per_query import Measured, PerQuery
from mrl.evaluation.ranked import average_precision, ndcg, precision, recall, reciprocal_rank
from mrl.evaluation.rows import Row
from mrl.evaluation.subject import How, Subject
from mrl.nesting import Metric, Nesting
from mrl.vectors import Embedded

RECALL_AT = 100  # measured beside k where there are as many documents

Values = npt.NDArray[np.floating[Any]]


def evaluate_judged(
    documents: Embedded,
    queries: Embedded,
    judgements: Judgements,
    *,
    dims: Nesting | None = None,
    k: int = 10,
    recall_at: Sequence[int] | None = None,
    run: str = "",
) -> list[Row]:
    """Measure retrieval at every trained dim and those between, without computing any dim twice.

    documents, queries: tables of one model's raw vectors, whose ids the judgements speak of. dims: what to measure. k:
    the length of the list that counts. recall_at: lengths at which recall is measured, default k and, where there are
    as many documents, 100. run: the name in the rows, default the model's.

    nDCG@k (gain = grade), MRR@k, recall@k, AP@k (divided by the relevant documents, unlike the paper's mAP@k) and P@k
    as trec_eval has them, each the mean over the queries with a relevant document, with its 95 % interval. Equal scores
    rank in the documents' order. A judged document that the table lacks counts as not found. CardError or InputError
    for what does not belong together.
    """
    return per_query_judged(documents, queries, judgements, dims=dims, k=k, recall_at=recall_at, run=run).rows()


def per_query_judged(
    documents: Embedded,
    queries: Embedded,
    judgements: Judgements,
    *,
    dims: Nesting | None = None,
    k: int = 10,
    recall_at: Sequence[int] | None = None,
    run: str = "",
) -> PerQuery:
    """What `evaluate_judged` takes the means of, query by query, in the order of the queries' table."""
    subject = Subject.of(documents, queries, dims, run)
    if documents.path.resolve() == queries.path.resolve() and not judgements.ignore_same_ids:
        raise InputError(
            f"queries and documents are the same table, {queries.path}: every query would find itself; "
            "leave these out with ignore_same_ids"
        )
    lengths = _lengths(documents, judgements, k, recall_at)
    known = matched(judgements, documents, queries)
    gains = gains_of(queries.vectors, documents.vectors, known, subject.cuts, subject.card.metric, max([k, *lengths]))
    how = (How("neighbours", len(documents)),) * len(subject.cuts)
    measured = tuple(Measured(name, values, how) for name, values in _measures(gains, known, k, lengths))
    return PerQuery(subject, queries.ids[known.rows], measured, known.notes)


def _lengths(documents: Embedded, judgements: Judgements, k: int, recall_at: Sequence[int] | None) -> list[int]:
    """At which lengths recall is measured. InputError for a list longer than there are documents."""
    most = len(documents) - judgements.ignore_same_ids
    wanted = {k, *([RECALL_AT] if most >= RECALL_AT else [])} if recall_at is None else set(recall_at)
    for name, length in (("k", k), *(("recall_at", length) for length in sorted(wanted))):
        if not 1 <= length <= most:
            raise InputError(f"{name} must lie between 1 and the {most} rows of {documents.path}, got {length}")
    return sorted(wanted)


def gains_of(queries: Values, documents: Values, known: Matched, cuts: Nesting, by: Metric, depth: int) -> Values:
    """The grades of what each judged query finds, (cuts, judged queries, depth), from the raw vectors of all."""
    own = known.own if (known.own >= 0).any() else None
    return known.gains(nearest(queries[known.rows], documents, cuts, depth, by, own))


def _measures(gains: Values, known: Matched, k: int, lengths: Sequence[int]) -> Iterator[tuple[str, Values]]:
    top = gains[..., :k]
    yield f"nDCG@{k}", ndcg(top, known.ideal(k))
    yield f"MRR@{k}", reciprocal_rank(top)
    for length in lengths:
        yield f"recall@{length}", recall(gains[..., :length], known.relevant)
    yield f"AP@{k}", average_precision(top, known.relevant)
    yield f"P@{k}", precision(top)
