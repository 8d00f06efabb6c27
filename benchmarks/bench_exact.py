"""Exact search of single queries on one thread, against FAISS: FlatIP on the vectors, Panorama on the rotated ones.

    python benchmarks/bench_exact.py [--data DIR] [--pairs 60] [--keep exact]

DIR (or MRL_DATA) holds the sets `fashion-products`, `cohere-4096` and `mobilenet-features`. Cosine, k = 10, vectors of
unit length; each pair is one query of the set that was held out. Rows "plain" have no map, on both sides the vectors as
they are, cut at 128 dims and the width; rows "pca" compare an index with the PCA map, cut at every halving, with
FlatIPPanorama, at the best of four numbers of levels, on the rotated vectors, both given queries that were turned
beforehand. What turning a query costs is told beside it. Paired runs evict each other's data from the caches; the
figure "each by itself" has one run after the other of the same kind.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before FAISS, BLAS and Numba start

import argparse
import json
import tempfile
from functools import partial
from pathlib import Path

import faiss
import numpy as np
from harness import describe, keep, paired, seconds
from vector_sets import SETS, unit

from mrl import Card, Nesting
from mrl.maps import fit_pca
from mrl.retrieval import BuildSpec, Index, Layout, Rows

K = 10
LEVELS = (8, 16, 32, 64)  # of Panorama


def searches(index: Index | faiss.Index, queries: np.ndarray, mapped: bool = False):
    """A callable that searches for the next query each time. mapped: these went through the index's map."""
    turn = iter(np.resize(np.arange(len(queries)), 1_000_000))
    if mapped:
        prepared = [index.prepare(query[None], mapped=True) for query in queries]
        return lambda: index.search(prepared[next(turn)], K)
    return lambda: index.search(queries[next(turn)][None], K)


def panorama(rows: np.ndarray, queries: np.ndarray) -> tuple[faiss.Index, int]:
    """FAISS's own exact pruned scan, at the number of levels that is fastest here."""
    best: tuple[float, faiss.Index, int] | None = None
    for levels in LEVELS:
        index = faiss.IndexFlatIPPanorama(rows.shape[1], levels)
        index.add(rows)
        run = searches(index, queries)
        time = float(np.median(paired(run, lambda: None, 20).ours))
        if best is None or time < best[0]:
            best = (time, index, levels)
    assert best is not None
    return best[1], best[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--keep", default="exact")
    args = parser.parse_args()
    about = describe("numpy", "numba", "faiss-cpu", "mrl")
    print(json.dumps(about, indent=2), f"\nsingle queries, one thread, k = {K}; 2 warm-up runs")
    kept: dict[str, object] = {"about": about, "pairs": args.pairs}
    for name, read in SETS.items():
        rows, queries = (unit(part) for part in read(args.data))
        card = Card(name, rows.shape[1], Nesting((rows.shape[1],)))
        cuts = Nesting.halving(rows.shape[1], 32)
        turn = fit_pca(rows)
        flat = faiss.IndexFlatIP(rows.shape[1])
        flat.add(rows)
        turned = turn.apply(rows), turn.apply(queries)
        turning = float(np.median(paired(partial(turn.apply64, queries[0]), int, 20).ours)) * 1e3
        print(f"{name}: turning a query takes {turning:.3f} ms")
        kept[f"{name} turning a query, ms"] = round(turning, 3)
        pano, levels = panorama(*turned)
        with tempfile.TemporaryDirectory() as folder:
            for kind, peer, asked in (("plain", flat, queries), ("pca", pano, turned[1])):
                halves = kind == "pca"
                layout = Layout.of(cuts if halves else Nesting((128, rows.shape[1])))
                spec = BuildSpec(layout, map=turn if halves else None)
                index = Index.build(Path(folder) / kind, Rows.of(rows, card), spec)
                runs = searches(index, asked, mapped=halves), searches(peer, asked)
                ratio = paired(*runs, args.pairs)
                alone = [np.median([seconds(run) for _ in range(args.pairs)]) for run in runs]
                label = f"FlatIPPanorama, {levels} levels" if kind == "pca" else "FlatIP"
                ours, theirs = (round(float(np.median(t)) * 1e3, 3) for t in (ratio.ours, ratio.theirs))
                print(f"{name} {rows.shape}, {kind}: {ratio} than {label}; medians {ours} and {theirs} ms")
                print(f"    each by itself, its own caches warm: {alone[1] / alone[0]:.2f}×")
                kept[f"{name} {kind}"] = {
                    "peer": label,
                    "faster": [round(float(s), 3) for s in ratio.speedup],
                    "ours_ms": ours,
                    "theirs_ms": theirs,
                    "faster, each by itself": round(float(alone[1] / alone[0]), 3),
                }
    keep(args.keep, kept)


if __name__ == "__main__":
    main()
