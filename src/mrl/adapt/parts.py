"""What a map is fitted on, watched by, and judged by: three parts of the queries, of which no two share one.

fit      learned from
watch    says when learning was best (early stopping)
gate     seen once, at the end
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mrl.adapt.spec import AdaptSpec
from mrl.errors import InputError
from mrl.evaluation import Judgements
from mrl.evaluation.matching import Matched, matched, places
from mrl.evaluation.numbering import numbered_alike
from mrl.evaluation.yardstick import Judged, KeptNeighbours, NearestLabel, Yardstick
from mrl.vectors import Embedded, Held

K = 10  # neighbours kept, and length of a judged list
FEWEST = 20  # queries of a part: below, its interval says nothing
MOST = {"watch": 1000, "gate": 4000}
SHARE = {"watch": 0.05, "gate": 0.15}  # of rows; of judged queries, which are fewer, twice as much

Array = npt.NDArray[np.floating[Any]]
Numbers = npt.NDArray[np.int64]


class Counts(NamedTuple):
    """How many queries each part has."""

    fit: int
    watch: int
    gate: int


@dataclass(frozen=True, eq=False)
class Parts:
    """The rows of a fit, the queries that are held out of it, and how these are measured.

    rows: (n, width) vectors that are searched: those fitted on, or all documents. queries: (q, width) what asks.
    watch, gate: measure disjoint parts of the queries. counts: of the queries in each part. notes: in words.
    labels: (n,) of the rows, with `classes` their names; or None.
    pairs: (p, 2) rows of `queries` and `rows` that belong together, of queries in neither part; or None.
    """

    rows: Array
    queries: Array
    watch: Yardstick
    gate: Yardstick
    counts: Counts
    labels: Numbers | None = None
    classes: tuple[str, ...] = ()
    pairs: Numbers | None = None
    notes: tuple[str, ...] = ()


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
    labels = documents.need_labels()
    classes = _classes(documents)
    order, notes = _sampled(np.flatnonzero(labels >= 0), spec, draws)
    fit, watch, gate = _cut(order, gated=queries is None)
    watched, wanted = documents.vectors[watch], labels[watch]
    if queries is None:
        asked, own = documents.vectors[gate], labels[gate]
    else:
        asked, own = queries.vectors, numbered_alike(queries, documents)
        _check_enough(len(asked), FEWEST)
    names = documents.label_names
    return Parts(
        documents.vectors[fit],
        np.concatenate([watched, asked]),
        NearestLabel(np.arange(len(watch)), labels[fit], wanted),
        NearestLabel(np.arange(len(asked)) + len(watch), labels[fit], own),
        Counts(len(fit), len(watch), len(asked)),
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
    return classes


def _unlabelled(labels: Numbers) -> tuple[str, ...]:
    missing = int((labels < 0).sum())
    return (f"{missing:,} rows have no class and are left out",) if missing else ()


def _by_neighbours(spec: AdaptSpec, documents: Embedded, queries: Embedded | None, draws: np.random.Generator) -> Parts:
    """Rows without more; some become queries, unless there are queries of their own."""
    order, notes = _sampled(np.arange(len(documents)), spec, draws)
    if queries is None:
        fit, watch, gate = _cut(order)
        rows, asked = documents.vectors[fit], documents.vectors[np.concatenate([watch, gate])]
    else:
        fit, rows = order, documents.vectors[order]
        chosen = draws.permutation(len(queries))[: MOST["watch"] + MOST["gate"]]
        _check_enough(len(chosen), 2 * FEWEST)
        watch, gate = np.split(chosen, [len(chosen) // 3])
        asked = queries.vectors[chosen]
    k = min(K, len(rows))
    stick = KeptNeighbours.of(asked, rows, k, documents.card.metric)
    numbers = np.arange(len(asked))
    parts = stick.only(numbers[: len(watch)]), stick.only(numbers[len(watch) :])
    return Parts(rows, asked, *parts, Counts(len(fit), len(watch), len(gate)), notes=notes)


def _by_pairs(
    spec: AdaptSpec, documents: Embedded, queries: Embedded, judgements: Judgements, draws: np.random.Generator
) -> Parts:
    """All documents, or the judged ones and a sample of the others; the judged queries are parted."""
    documents, notes = _searched(spec, documents, judgements, draws)
    known = matched(judgements, documents, queries)
    order = draws.permutation(len(known.rows))
    fit, watch, gate = _cut(order, scale=2)
    stick = Judged.of(known, spec.measure, K)
    pairs = _pairs(known, fit)
    if len(pairs) < FEWEST:
        raise InputError(
            f"{len(pairs)} pairs of queries and documents are left to learn from, and {FEWEST} are the fewest; judge "
            "more queries, or fit by neighbours"
        )
    counts = Counts(len(fit), len(watch), len(gate))
    return Parts(
        documents.vectors,
        queries.vectors,
        stick.only(np.sort(watch)),
        stick.only(np.sort(gate)),
        counts,
        pairs=pairs,
        notes=(*notes, *known.notes),
    )


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


def _pairs(known: Matched, numbers: Numbers) -> Numbers:
    """(p, 2): rows of queries and documents of each relevant pair of these queries."""
    some = known.only(np.sort(numbers))
    query, row = np.divmod(some.pairs, some.documents)
    relevant = some.pair_grades > 0
    return np.stack([some.rows[query], row], 1)[relevant]


def _sampled(rows: Numbers, spec: AdaptSpec, draws: np.random.Generator) -> tuple[Numbers, tuple[str, ...]]:
    """The rows in an order by chance, no more than are wanted."""
    order = draws.permutation(rows)[: spec.sample]
    if len(order) == len(rows):
        return order, ()
    return order, (f"{len(order):,} of {len(rows):,} rows were drawn to fit on and to measure against",)


def _cut(order: Numbers, scale: float = 1.0, *, gated: bool = True) -> tuple[Numbers, Numbers, Numbers]:
    """fit, watch and gate. scale: how much larger the parts that are held out are than usual. gated: else no gate."""
    watch, gate = (min(int(SHARE[name] * scale * len(order)), MOST[name]) for name in ("watch", "gate"))
    _check_enough(watch, FEWEST)
    gate = gate if gated else 0
    return order[watch + gate :], order[:watch], order[watch : watch + gate]


def _check_enough(count: int, wanted: int) -> None:
    if count < wanted:
        raise InputError(
            f"too few queries to part into fit, watch and gate: a part would have {count}, and {wanted} are the "
            f"fewest; give at least {round(wanted / SHARE['watch'])} rows, or more judged queries"
        )
