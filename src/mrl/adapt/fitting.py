"""`fit`: a map for frozen vectors, held against truncation and PCA on queries that it never saw."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from mrl.adapt.fitted import PCA, TRUNCATION, Compared, Fitted
from mrl.adapt.learning import Moment, learn
from mrl.adapt.map import Map, Told
from mrl.adapt.networks import Basis, Network, make_network
from mrl.adapt.objectives import Objective, Task, make_objective
from mrl.adapt.parts import Parts, parted
from mrl.adapt.spec import AdaptSpec
from mrl.errors import InputError
from mrl.evaluation import Judgements
from mrl.evaluation.yardstick import Yardstick
from mrl.heads import HeadWeights
from mrl.maps import fit_pca
from mrl.maps.files import AnyMap
from mrl.maps.pca import TILE
from mrl.nesting import Metric, Nesting, metric_prefix
from mrl.segments import LARGEST, prefix_norms
from mrl.vectors import Embedded
from mrl.vectors.source_checks import odd_rows

Vectors = npt.NDArray[np.floating[Any]]


def fit(
    documents: Embedded,
    spec: AdaptSpec | None = None,
    *,
    queries: Embedded | None = None,
    judgements: Judgements | None = None,
    told: Told = lambda *_: None,
) -> Fitted:
    """Fit a map that makes the prefixes of frozen vectors better (as arXiv 2407.20243 does), and say whether it does.

    documents: (n, width) vectors, those that will be searched, with labels if there are any. queries: of the same
    model; what asks. judgements: which documents answer which query; without them queries only ask for neighbours.

    The queries are parted: the map learns from some, others say when it was best, the rest are the gate's, seen once.
    What the gate compares is fixed beforehand: the mean of the measure over the dims below the width, paired, against
    truncation and against PCA (for `pca`, truncation alone).

    InputError, CardError or NestingError for what cannot be fitted; DivergedError where learning fails.
    """
    started = perf_counter()
    spec = (spec or AdaptSpec()).settled(labelled=documents.labels is not None, judged=judgements is not None)
    _check(documents, queries, judgements)
    nesting, metric = spec.nesting(documents.card.width), documents.card.metric
    parts = parted(spec, documents, queries, judgements)
    spec = spec.paced(parts.learned, documents.card.width)
    turn = fit_pca(_compared_rows(parts.rows, metric))
    task = Task(spec, nesting, metric, Basis(turn, _scale(parts.rows, metric), unit=metric == "cosine"))
    learned = Learned([turn]) if spec.method == "pca" else _learned(task, parts, told)
    head = learned.head and replace(learned.head, fingerprint=documents.card.fingerprint)
    own = learned.sides[0] if len(learned.sides) > 1 else None
    made = Map(learned.sides[-1], documents.card, nesting, own, head, known=parts.seen())
    compared = _compared(made, turn, parts, spec.method)
    record = compared.record(spec.method) | {
        "spec": asdict(spec),
        "queries": parts.counts,
        "watched": [asdict(each) for each in learned.moments],
        "notes": list(parts.notes),
        "seconds": round(perf_counter() - started, 1),
    }
    found = compared.gate(spec.method)
    notes = (*parts.notes, compared.full_width(spec.method), *compared.unnamed(spec.method, parts.unnamed))
    return Fitted(replace(made, record=record), found, compared.rows(), notes)


@dataclass(frozen=True, eq=False)
class Learned:
    """sides: the map of both sides, or those of queries and of documents. head: a classifier, or None. moments: what
    was seen while learning."""

    sides: list[AnyMap]
    head: HeadWeights | None = None
    moments: tuple[Moment, ...] = ()


def _check(documents: Embedded, queries: Embedded | None, judgements: Judgements | None) -> None:
    """InputError or CardError for what does not belong together, or cannot be compared."""
    if judgements is not None and queries is None:
        raise InputError("judgements speak of queries and documents, and there are no queries; give their vectors")
    if queries is not None:
        documents.card.check_fits(queries.card, (str(documents.path), str(queries.path)))
    for each in (documents, queries):
        if each is None:
            continue
        bad = odd_rows(each.vectors).bad
        if len(bad):
            raise InputError(
                f"{each.path} has a NaN or an Inf in row {bad[0]}, id {each.ids[bad[0]].item()!r} ({len(bad)} such "
                "rows); leave these out"
            )


def _compared_rows(rows: Vectors, metric: Metric) -> Iterator[Vectors]:
    """The rows as the metric compares them, by tiles: under cosine a long one counts no more than a short one."""
    return (metric_prefix(rows[start : start + TILE], rows.shape[1], metric) for start in range(0, len(rows), TILE))


def _scale(rows: Vectors, metric: Metric) -> float:
    """What makes a coordinate's mean square 1, once rows have length 1 under cosine. InputError for zeros alone."""
    lengths = prefix_norms(rows, Nesting((rows.shape[1],)))[:, 0]
    if not lengths.any() or lengths.max() > LARGEST:
        raise InputError(
            f"the longest row has length {lengths.max():.1e}; a fit needs lengths above 0, up to {LARGEST:.0e}"
        )
    mean = 1.0 if metric == "cosine" else float(np.mean(lengths**2))
    return float(np.sqrt(rows.shape[1] / mean))


def _learned(task: Task, parts: Parts, told: Told) -> Learned:
    """What was learned, drawn from the spec's seed; torch's own draws are left as they were."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(task.spec.seed)
        networks = [make_network(task.spec, task.basis.turn.width) for _ in range(2 if task.spec.own_maps else 1)]
        return _best(task, parts, networks, told)


def _best(task: Task, parts: Parts, networks: list[Network], told: Told) -> Learned:
    basis, objective = task.basis, make_objective(task, parts, list(networks))

    def maps() -> list[AnyMap]:
        return [network.eval().to_map(basis) for network in networks]

    def look() -> float:
        found = _values(parts.watch, maps(), parts, task.nesting, task.metric)
        return float(found[:-1].mean())

    moments = learn(objective, task.spec, look, told)
    learned = max(moment.score for moment in moments) > moments[0].score
    head = _head(objective, parts, task) if learned else None
    return Learned(maps(), head, tuple(moments))


def _head(objective: Objective, parts: Parts, task: Task) -> HeadWeights | None:
    """The head as it classifies mapped vectors, which are smaller than what it learned from by the scale.

    Under cosine it learned from vectors of length 1, and so does a residual map; the images of others have the lengths
    of the vectors, of which the median is taken for all.
    """
    if objective.head is None:
        return None
    length = 1.0
    if task.basis.unit and task.spec.method != "residual":
        length = float(np.median(prefix_norms(parts.rows, Nesting((parts.rows.shape[1],)))))
    learned = objective.head.export(parts.classes)
    weights = tuple((weight * (task.basis.scale / length)).astype(np.float32) for weight in learned.weights)
    return replace(learned, weights=weights)


def _compared(made: Map, turn: AnyMap, parts: Parts, ours: str) -> Compared:
    """The gate's queries under truncation, PCA, and what was fitted."""
    nesting, metric = made.nesting, made.before.metric
    versions = {ours: [made.side("queries"), made.side("documents")]} | ({} if ours == "pca" else {PCA: [turn]})
    values = {name: _values(parts.gate, sides, parts, nesting, metric) for name, sides in versions.items()}
    values[TRUNCATION] = parts.gate.values(parts.queries, parts.rows, nesting, metric)
    return Compared(values, made, parts.gate.name, len(parts.rows))


def _values(stick: Yardstick, sides: list[AnyMap], parts: Parts, nesting: Nesting, metric: Metric) -> Any:
    """(dims, queries) under maps of queries and rows, which may be one."""
    asked = np.zeros((len(parts.queries), sides[0].out), np.float32)
    asked[stick.asked] = sides[0].apply32(parts.queries[stick.asked])
    return stick.values(asked, sides[-1].apply32(parts.rows), nesting, metric)
