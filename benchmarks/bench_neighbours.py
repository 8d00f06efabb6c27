"""Neighbours at nine dims in one pass against one exact FAISS search per dim; both from the full-width float32 matrix.

    python benchmarks/bench_neighbours.py [--rows 40000] [--queries 4000] [--pairs 7] [--data features.npz]

Cosine, k = 10, dims 4 … 1024; slicing and rescaling are part of both. Without --data the vectors are random with a
falling spectrum; with it they are the arrays `q` (uint8) times `scale` of an .npz file. The products alone make it 2.0
times (1,024 dims against 2,044); finding the best k of a dim is a pass there and nearly free here: expect 2.5 to 3.
"""

from __future__ import annotations

import argparse
import json

import faiss
import numpy as np
from harness import describe, keep, paired

from mrl import Nesting
from mrl.segments import neighbours

CUTS = Nesting.halving(1024, smallest=4)
K = 10


def flat_searches(queries: np.ndarray, rows: np.ndarray) -> None:
    for dim in CUTS.dims:
        q, x = np.ascontiguousarray(queries[:, :dim]), np.ascontiguousarray(rows[:, :dim])
        faiss.normalize_L2(q)
        faiss.normalize_L2(x)
        index = faiss.IndexFlatIP(dim)
        index.add(x)
        index.search(q, K)


def vectors(path: str | None, n: int) -> np.ndarray:
    if path:
        with np.load(path) as arrays:
            return (arrays["q"] * arrays["scale"]).astype(np.float32)
    spectrum = 1 / np.sqrt(np.arange(1, CUTS.width + 1))
    return (np.random.default_rng(0).normal(size=(n, CUTS.width)) * spectrum).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--queries", type=int, default=4_000)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--data")
    args = parser.parse_args()
    x = vectors(args.data, args.rows + args.queries)
    rows, queries = x[: args.rows], x[args.rows : args.rows + args.queries]
    about = describe("numpy", "numba", "faiss-cpu", "mrl")
    print(
        json.dumps(about, indent=2),
        f"\n{len(queries)} queries × {len(rows)} rows, dims {CUTS}, k = {K}; 2 warm-up runs",
    )
    ratio = paired(lambda: neighbours(queries, rows, CUTS, K), lambda: flat_searches(queries, rows), args.pairs)
    print(ratio)
    keep(
        "neighbours",
        {"about": about, "pairs": args.pairs, "faster_than_faiss": [round(float(s), 3) for s in ratio.speedup]},
    )


if __name__ == "__main__":
    main()
