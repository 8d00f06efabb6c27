"""Adaptive retrieval and the funnel of the paper, as plans of an index: what they lose, what they cost, what they save.

    python benchmarks/bench_retrieval.py [--data DIR] [--pairs 15] [--only all] [--keep retrieval]

DIR (or MRL_DATA) holds the sets `fashion-products` and, for the nested vectors of `nested_vectors.py` (made first if
they are not there), `tiny-imagenet-32`. Products: PCA map, 1,024 dims, queries are the test split, relevant is the same
article type. Nested: MRL on Tiny ImageNet, 512 dims, no map, relevant is the same class. Cosine, k = 10. mAP@10 in the
paper's form (sum of precision at the hits / 10) and in the usual one (/ relevant rows, at most 10). Multiply-adds per
query by the paper's formula N·D_s + Σ K·D_r, beside those done when scores continue. Speed against FAISS's exact flat
search at the full width.

Planned (`--only planned`, kept as `retrieval-planned`): on the nested vectors the planner looks for the cheapest search
that loses at most 0.1 point of mAP@10 by class, with four fifths of the queries; the others are asked afterwards.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import faiss
import numpy as np
from harness import describe, keep, paired
from nested_vectors import nested_vectors
from vector_sets import product_types, products, unit

from mrl import Card, Nesting
from mrl.evaluation.measures import average_precision
from mrl.retrieval import BuildSpec, Index, Layout, Plan, Rows
from mrl.retrieval.planner import Terms
from mrl.retrieval.planner import plan as plan_search
from mrl.vectors import Held

K, LISTS = 10, (200, 100, 50, 25, 10)
TOLERANCE = 0.001  # of mAP@10


class Task(NamedTuple):
    """rows, queries: of unit length. relevant: the class of each. index: of the rows, ids are their positions."""

    rows: np.ndarray
    queries: np.ndarray
    classes: np.ndarray
    asked: np.ndarray
    index: Index


def funnel(start: int, width: int) -> Plan:
    """From `start` at every halving up to the width, with the paper's lists."""
    dims = [dim for dim in Nesting.halving(width, 32).dims if dim > start][-len(LISTS) :]
    return Plan.funnel(start, dims, LISTS[: len(dims)], k=K)


def plans(width: int) -> dict[str, Plan]:
    return {
        "single shot": Plan.single(width, K),
        "adaptive from 32": Plan.adaptive(32, width, keep=200, k=K),
        "funnel from 32": funnel(32, width),
        "adaptive from 16": Plan.adaptive(16, width, keep=200, k=K),
        "funnel from 16": funnel(16, width),
    }


def precision(task: Task, found: np.ndarray) -> tuple[float, float]:
    """mAP@10 in percent: in the paper's form, and divided by the relevant rows there are, at most 10."""
    paper = average_precision(task.classes[found], task.asked) * 100
    there = np.bincount(task.classes, minlength=task.asked.max() + 1)[task.asked]
    return float(paper.mean()), float((paper * K / np.clip(there, 1, K)).mean())


def report(name: str, task: Task, pairs: int) -> dict[str, object]:
    flat = faiss.IndexFlatIP(task.rows.shape[1])
    flat.add(task.rows)
    turn = iter(np.resize(np.arange(len(task.queries)), 10_000_000))

    def one(search: Callable[[np.ndarray], object]) -> Callable[[], object]:
        return lambda: search(task.queries[next(turn)][None])

    kept: dict[str, object] = {}
    truth = precision(task, flat.search(task.queries, K)[1])
    print(f"{name}: {task.rows.shape} rows, {len(task.queries)} queries; flat: mAP@10 {truth[0]:.2f} ({truth[1]:.2f})")
    for label, plan in plans(task.rows.shape[1]).items():
        scores = precision(task, task.index.search(task.queries, K, plan=plan).ids)
        cost = plan.cost(len(task.rows))
        paper, ours = sum(c.paper_macs for c in cost) / 1e6, sum(c.macs for c in cost) / 1e6
        searches = (lambda q, plan=plan: task.index.search(q, K, plan=plan)), (lambda q: flat.search(q, K))
        single = paired(*map(one, searches), pairs=20 * pairs)
        batch = paired(*(lambda s=s: s(task.queries[:2000]) for s in searches), pairs=pairs)
        loss = truth[0] - scores[0], truth[1] - scores[1]
        print(
            f"  {label:18} {plan}\n    mAP@10 {scores[0]:.2f} ({scores[1]:.2f}), lost {loss[0]:.2f} ({loss[1]:.2f}); "
            f"{paper:.2f} M multiply-adds by the paper's formula, {ours:.2f} M done\n    single: {single}\n"
            f"    batch of 2000: {batch}"
        )
        kept[label] = {
            "plan": str(plan),
            "map@10 paper form, usual form": [round(s, 3) for s in scores],
            "lost": [round(s, 3) for s in loss],
            "million multiply-adds by the paper's formula, done": [round(paper, 3), round(ours, 3)],
            "single faster than FlatIP": [round(float(s), 2) for s in single.speedup],
            "batch faster than FlatIP": [round(float(s), 2) for s in batch.speedup],
        }
    return kept


def product_task(data: Path | None, folder: Path) -> Task:
    rows, queries = (unit(part) for part in products(data))
    spec = BuildSpec(Layout.of(Nesting.halving(1024, 16)), map="pca")
    index = Index.build(folder / "products", Rows.of(rows, Card("mobilenet", 1024, Nesting((1024,)))), spec)
    return Task(rows, queries, *product_types(data), index)


def nested_task(data: Path | None, folder: Path) -> Task:
    known, asked, _ = nested_vectors(data=data)
    rows, queries = unit(known.vectors), unit(asked.vectors)
    card = Card(known.card.model, 512, known.card.nesting)
    index = Index.build(folder / "nested", Rows.of(rows, card), BuildSpec(Layout.of(Nesting.halving(512, 16))))
    return Task(rows, queries, known.need_labels(), asked.need_labels(), index)


def planned(data: Path | None, folder: Path, pairs: int) -> dict[str, object]:
    """Adaptive retrieval planned for the paper's measure: what it loses, and how much faster than exact it is."""
    known, asked, _ = nested_vectors(data=data)
    rows, queries = unit(known.vectors), unit(asked.vectors)
    card, own = Card(known.card.model, 512, known.card.nesting), np.arange(len(queries)) % 5 == 0
    classes, wanted = known.need_labels(), asked.need_labels()
    tuned = Held.of(queries[~own], card, wanted[~own])
    draft = plan_search(Held.of(rows, card, classes), tuned, Terms(k=K, measure="mAP", tolerance=TOLERANCE))
    print(draft.planned)
    index = draft.build(folder / "planned", Rows.of(rows, card))
    best = draft.planned.picked.plan if draft.planned.picked else None
    task = Task(rows, queries[own], classes, wanted[own], index)
    flat = faiss.IndexFlatIP(512)
    flat.add(rows)
    truth, mine = precision(task, flat.search(task.queries, K)[1]), precision(task, found(task, best))
    turn = iter(np.resize(np.arange(len(task.queries)), 10_000_000))
    query = lambda: task.queries[next(turn)][None]  # noqa: E731
    singles = [
        paired(lambda: index.search(query(), K, plan=best), lambda s=s: s(query()), pairs=20 * pairs)
        for s in (lambda q: flat.search(q, K), lambda q: index.search(q, K))
    ]
    batch = paired(lambda: found(task, best), lambda: flat.search(task.queries, K), pairs=pairs)
    print(f"{best}: mAP@10 {mine[0]:.3f} of {truth[0]:.3f}; single {singles[0]}; batch {batch}")
    return {
        "plan": str(best),
        "promise": draft.planned.promise and draft.planned.promise.sentence,
        "queries to plan, to measure": [int((~own).sum()), int(own.sum())],
        "map@10 paper form: exact, planned": [round(truth[0], 3), round(mine[0], 3)],
        "single faster than FlatIP": [round(float(s), 2) for s in singles[0].speedup],
        "single faster than our exact search": [round(float(s), 2) for s in singles[1].speedup],
        "batch faster than FlatIP": [round(float(s), 2) for s in batch.speedup],
    }


def found(task: Task, best: Plan | None) -> np.ndarray:
    return task.index.search(task.queries, K, plan=best).ids


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--only", choices=("all", "planned"), default="all")
    parser.add_argument("--keep", default="retrieval")
    args = parser.parse_args()
    about = describe("numpy", "numba", "faiss-cpu", "mrl")
    print(json.dumps(about, indent=2), "\n2 warm-up runs")
    kept: dict[str, object] = {"about": about, "pairs": args.pairs}
    with tempfile.TemporaryDirectory() as folder:
        if args.only == "planned":
            kept["nested"] = planned(args.data, Path(folder), args.pairs)
            keep("retrieval-planned", kept)
            return
        for name, task in (("products", product_task), ("nested", nested_task)):
            kept[name] = report(name, task(args.data, Path(folder)), args.pairs)
    keep(args.keep, kept)


if __name__ == "__main__":
    main()
