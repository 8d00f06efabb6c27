"""What a map is fitted on, watched by, and judged by: three parts of the queries, of which no two share one.

fit      learned from
watch    says when learning was best (early stopping)
gate     seen once, at the end
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.adapt.dealing import FEWEST, MOST, Deal, deal, strangers
from mrl.adapt.spec import AdaptSpec
from mrl.errors import InputError
from mrl.evaluation import Judgements
from mrl.evaluation.matching import Matched, matched, places
from mrl.evaluation.numbering import numbered_alike
from mrl.evaluation.yardstick import Judged, KeptNeighbours, NearestLabel, Yardstick
from mrl.vectors import Embedded, Held
from mrl.vectors.copies import Digests, digests

K = 10  # neighbours kept, and length of a judged list

Array = npt.NDArray[np.floating[Any]]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Pairs:
    """Queries and documents that belong together, of queries in neither watch nor gate.

    rows: (p, 2) of `queries` and of `rows`. known: sorted, query · documents + document, of all that is no negative:
    these pairs, and the document that a query is. documents: how many there are.
    """

    rows: Numbers
    known: Numbers
    documents: int

    def related(self, queries: Numbers, documents: Numbers) -> npt.NDArray[np.bool_]:
        """(n, m): which of the documents are no negatives of which queries."""
        wanted = queries[:, None] * self.documents + documents
        at = np.minimum(np.searchsorted(self.known, wanted), len(self.known) - 1)
        related: npt.NDArray[np.bool_] = self.known[at] == wanted
        return related


@dataclass(frozen=True, eq=False)
class Parts:
    """The rows of a fit, the queries that are held out of it, and how these are measured.

    rows: (n, width) vectors that are searched: those fitted on, or all documents. queries: (q, width) what asks.
    watch, gate: measure disjoint parts of the queries. counts: of the queries in each part. notes: in words.
    labels: (n,) of the rows, with `classes` their names; or None. pairs: what belongs together; or None.
    unnamed: (gate,) which of the gate's queries have answers that no pair names; or None.
    """

    rows: Array
    queries: Array
    watch: Yardstick
    gate: Yardstick
    counts: dict[str, int]
    labels: Numbers | None = None
    classes: tuple[str, ...] = ()
    pairs: Pairs | None = None
    unnamed: npt.NDArray[np.bool_] | None = None
    notes: tuple[str, ...] = ()

    @property
    def learned(self) -> int:
        """How many rows, or pairs, are learned from."""
        return len(self.rows) if self.pairs is None else len(self.pairs.rows)

    def seen(self) -> Digests:
        """Digests of everything but the gate's queries, in order."""
        asked = self.watch.asked if self.pairs is None else np.concatenate([self.watch.asked, self.pairs.rows[:, 0]])
        return np.unique(np.concatenate([digests(self.rows), digests(self.queries[asked])]))


def parted(
    spec: AdaptSpec, documents: Embedded, queries: Embedded | None = None, judgements: Judgements | None = None
) -> Parts:
    """The parts for a settled spec. InputError where there is too little to part, or nothing to learn from."""
    draws = np.random.default_rng(spec.seed)
    if spec.objective == "pairs" and queries is not None and judgements is not None:
        return _by_pairs(spec, documents, queries, judgements, draws)
    if spec.objective == "labels":
        return _by_labels(spec, documents, queries, draws)
    return _by_neighbours(spec, documents, queries, draws)


def _by_labels(spec: AdaptSpec, documents: Embedded, queries: Embedded | None, draws: np.random.Generator) -> Parts:
    """Rows with labels, of which some become queries by chance; the gate's are those given, if there are any."""
    labels, names = documents.need_labels(), documents.label_names
    classes = _classes(documents)
    order, notes = _sampled(np.flatnonzero(labels >= 0), spec, draws)
    dealt = deal(documents.vectors, order, "rows with a class", gated=queries is None)
    fit, watch, gate = dealt
    asked, own = documents.vectors[gate], labels[gate]
    if queries is not None:
        chosen, more = strangers(queries.vectors, documents.vectors[order], FEWEST)
        asked, own, notes = queries.vectors[chosen], numbered_alike(queries, documents)[chosen], (*notes, *more)
    return Parts(
        documents.vectors[fit],
        np.concatenate([documents.vectors[watch], asked]),
        NearestLabel(np.arange(len(watch)), labels[fit], labels[watch]),
        NearestLabel(np.arange(len(asked)) + len(watch), labels[fit], own),
        dealt.counts | {"gate": len(asked)},
        np.searchsorted(classes, labels[fit]),
        tuple(names[label] if names else str(label) for label in classes.tolist()),
        notes=(*notes, *_unlabelled(labels)),
    )


def _classes(documents: Embedded) -> Numbers:
    """The labels that occur. InputError for fewer than two."""
    labels = documents.need_labels()
    classes = np.unique(labels[labels >= 0])
    if len(classes) < 2:
        raise InputError(
            f"labels must be of at least two classes to learn from, {documents.path} has {len(classes)}; "
            "leave them out, and neighbours are kept instead"
        )
    if np.bincount(np.searchsorted(classes, labels[labels >= 0])).max() < 2:
        raise InputError(
            f"no two rows of {documents.path} share a label, so there is nothing to find; give their classes, not ids"
        )
    return classes


def _unlabelled(labels: Numbers) -> tuple[str, ...]:
    missing = int((labels < 0).sum())
    return (f"{missing:,} rows have no class and are left out",) if missing else ()


def _by_neighbours(spec: AdaptSpec, documents: Embedded, queries: Embedded | None, draws: np.random.Generator) -> Parts:
    """Rows without more; some become queries, unless there are queries of their own."""
    order, notes = _sampled(np.arange(len(documents)), spec, draws)
    if queries is None:
        dealt = deal(documents.vectors, order, "rows")
        asked = documents.vectors[np.concatenate([dealt.watch, dealt.gate])]
    else:
        chosen, more = strangers(queries.vectors, documents.vectors[order], 3 * FEWEST)
        chosen = draws.permutation(chosen)[: MOST["watch"] + MOST["gate"]]
        dealt = Deal(order, *np.split(chosen, [len(chosen) // 3]))
        asked, notes = queries.vectors[chosen], (*notes, *more)
    rows, count = documents.vectors[dealt.fit], len(dealt.watch)
    stick = KeptNeighbours.of(asked, rows, min(K, len(rows)), documents.card.metric)
    numbers = np.arange(len(asked))
    return Parts(rows, asked, stick.only(numbers[:count]), stick.only(numbers[count:]), dealt.counts, notes=notes)


def _by_pairs(
    spec: AdaptSpec, documents: Embedded, queries: Embedded, judgements: Judgements, draws: np.random.Generator
) -> Parts:
    """All documents, or the judged ones and a sample of the others; the judged queries are parted."""
    documents, notes = _searched(spec, documents, judgements, draws)
    known = matched(judgements, documents, queries)
    numbers = draws.permutation(len(known.rows))
    dealt = deal(queries.vectors[known.rows], numbers, "judged queries", scale=2)
    k = min(K, len(documents) - judgements.ignore_same_ids)
    stick = Judged.of(known, spec.measure, k)
    pairs = _pairs(known.only(np.sort(dealt.fit)))
    return Parts(
        documents.vectors,
        queries.vectors,
        stick.only(np.sort(dealt.watch)),
        stick.only(np.sort(dealt.gate)),
        dealt.counts,
        pairs=pairs,
        unnamed=_unnamed(known.only(np.sort(dealt.gate)), pairs),
        notes=(*notes, *known.notes),
    )


def _unnamed(known: Matched, pairs: Pairs) -> npt.NDArray[np.bool_]:
    """(queries,): which of them have no relevant document that a pair names."""
    query, row = np.divmod(known.pairs, known.documents)
    named = np.isin(row, pairs.rows[:, 1]) & (known.pair_grades > 0)
    fresh: npt.NDArray[np.bool_] = np.bincount(query[named], minlength=len(known.rows)) == 0
    return fresh


def _pairs(known: Matched) -> Pairs:
    """Of the judged queries that are learned from. InputError for too few pairs."""
    query, row = np.divmod(known.pairs, known.documents)
    relevant = known.pair_grades > 0
    rows = np.stack([known.rows[query], row], 1)[relevant]
    if len(rows) < FEWEST:
        raise InputError(
            f"{len(rows)} pairs of queries and documents are left to learn from, and {FEWEST} are the fewest; judge "
            "more queries, or fit by neighbours"
        )
    themselves = np.stack([known.rows, known.own], 1)[known.own >= 0]
    both = np.concatenate([rows, themselves])
    return Pairs(rows, np.unique(both[:, 0] * known.documents + both[:, 1]), known.documents)


def _searched(
    spec: AdaptSpec, documents: Embedded, judgements: Judgements, draws: np.random.Generator
) -> tuple[Embedded, tuple[str, ...]]:
    """All documents; of more than are sampled, those that were judged and others by chance."""
    if len(documents) <= spec.sample:
        return documents, ()
    judged = np.array(sorted(places(documents, judgements.documents()).values()), np.int64)
    others = draws.permutation(np.setdiff1d(np.arange(len(documents)), judged))[: max(spec.sample - len(judged), 0)]
    chosen = np.sort(np.concatenate([judged, others]))
    held = Held(
        documents.path,
        documents.card,
        documents.vectors[chosen],
        documents.ids[chosen],
    )
    return held, (
        f"{len(chosen):,} of {len(documents):,} documents are searched: the judged ones and others by chance",
    )


def _sampled(rows: Numbers, spec: AdaptSpec, draws: np.random.Generator) -> tuple[Numbers, tuple[str, ...]]:
    """The rows in an order by chance, no more than are wanted."""
    order = draws.permutation(rows)[: spec.sample]
    if len(order) == len(rows):
        return order, ()
    return order, (f"{len(order):,} of {len(rows):,} rows were drawn to fit on and to measure against",)
