"""What the planner's pick is worth: against brute force over a thinning of its grid, and how long planning takes.

    python benchmarks/bench_plan.py [--data DIR] [--recall 0.95] [--keep plan]

DIR (or MRL_DATA) holds `fashion-products`: 39,797 rows × 1,024 of unit length, 4,275 queries of the test split, two
threads. The thinning: every second of the dims that were tried, HNSW with 16 and 32 links and int8 codes, IVF with int8
codes, RaBitQ; every fourth query knob and every fourth keep; re-ranks by float32, int12, and int8 before float32. Every
candidate is asked all queries. The best of them is the cheapest whose own bound, on the queries that the planner tests
with, keeps the recall; it and the planner's pick are then timed again in turn, one query at a time, 31 rounds.
"""

from __future__ import annotations

import argparse
import json
import time
from itertools import islice
from pathlib import Path

import numpy as np
from harness import describe, keep
from vector_sets import products, unit

from mrl import Card, Nesting
from mrl.promise import upper_bound
from mrl.retrieval import HNSW, IVF, RaBitQ
from mrl.retrieval.engine import of_build
from mrl.retrieval.planner import Terms, grid, plan
from mrl.retrieval.planner.final import Final, Run, measured
from mrl.retrieval.planner.grid import Way
from mrl.retrieval.planner.material import Material, material
from mrl.retrieval.planner.planning import fitted_map
from mrl.retrieval.planner.selection import parts
from mrl.retrieval.planner.trial import Bench, Candidate, Trial
from mrl.vectors import Held

ENGINES = (HNSW(16, 40, codes="int8"), HNSW(32, 40, codes="int8"), IVF(256, codes="int8"), RaBitQ())
CHAINS = (("float32",), ("int12",), ("int8", "float32"))
DIMS, ROUNDS = grid.DIMS[::2], 31


def thinned(trial: Trial, asked: np.ndarray) -> list[Candidate]:
    """Every fourth query knob and keep of one engine, with the chains of the thinning."""
    found = [each for each in trial.candidates(asked) if each.chain in CHAINS]
    knobs = list(dict.fromkeys(each.engine for each in found))[::4]
    keeps = sorted({each.keep for each in found})[::4]
    return [each for each in found if each.engine in knobs and each.keep in keeps]


def brute(found: Material, recall: float, seed: int) -> tuple[list[tuple[Final, Trial]], int]:
    """Candidates that keep the recall by their own bound, cheapest first, with what was built; how many were run."""
    _, calibrate, _ = parts(int(found.same.max()) + 1, seed)
    tests = np.isin(found.same, calibrate)
    bench = Bench.of(found, fitted_map(found))
    able, count = list[tuple[Final, Trial]](), 0
    for dim in DIMS:
        for engine in ENGINES:
            trial = Trial.of(bench, Way(True, dim, engine))
            chosen = thinned(trial, np.arange(200))
            for final in measured([(each, trial) for each in chosen]):
                count += 1
                if 1 - upper_bound(1 - final.values[tests], 0.05) >= recall:
                    able.append((final, trial))
        print(f"  {dim} dims: {count} candidates so far, {len(able)} keep {recall}", flush=True)
    return sorted(able, key=lambda pair: pair[0].ms), count


def retimed(runs: list[Run]) -> np.ndarray:
    """(runs,) milliseconds of one query, the median of rounds in turn."""
    times = [[run.timed()[0] for run in runs] for _ in range(ROUNDS)]
    return np.median(times, axis=0) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--recall", type=float, default=0.95)
    parser.add_argument("--keep", default="plan")
    args = parser.parse_args()
    about = describe("numpy", "numba", "faiss-cpu", "mrl")
    about["command"] = f"python benchmarks/bench_plan.py --data DIR --recall {args.recall:g}"
    print(json.dumps(about, indent=2), flush=True)
    card, terms = Card("products", 1024, Nesting((1024,))), Terms(recall=args.recall)
    rows, queries = (Held.of(unit(part), card) for part in products(args.data))
    start = time.perf_counter()
    draft = plan(rows, queries, terms)
    took = time.perf_counter() - start
    pick = draft.planned.picked
    if pick is None or pick.plan is None:
        raise SystemExit("nothing but the exact search keeps the recall")
    print(f"planned in {took:.1f} s: {pick.plan}, promised {pick.promised:.4f}, {pick.ms:.4f} ms", flush=True)
    able, count = brute(material(rows, queries, terms), args.recall, terms.seed)
    bench = able[0][1].bench
    first = pick.plan.stages[0]
    way = Way(bool(pick.plan.map), first.dim, of_build(first.engine))
    trial = Trial.of(bench, way)
    mine = next(c for c in trial.candidates(np.arange(200)) if c.plan.stages == pick.plan.stages)
    runs = [Run(mine, trial), *(Run(final.candidate, built) for final, built in islice(able, 5))]
    times = retimed(runs)
    best = int(np.argmin(times[1:]))
    print(f"brute force over {count}: {able[best][0].candidate.plan}, {times[1 + best]:.4f} ms; pick {times[0]:.4f} ms")
    keep(
        args.keep,
        {
            "about": about,
            "seconds of planning": round(took, 1),
            "pick": {"plan": str(pick.plan), "promised": pick.promised, "recall": pick.quality, "ms": times[0]},
            "candidates": count,
            "best": {"plan": str(able[best][0].candidate.plan), "ms": times[1 + best]},
            "pick / best": round(float(times[0] / times[1 + best]), 3),
        },
    )


if __name__ == "__main__":
    main()
