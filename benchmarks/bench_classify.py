"""A cascade against the full width for everybody: 100,000 rows, 2,048 dims, 1,000 classes, and a class per product.

    python benchmarks/bench_classify.py [--rows 100000] [--pairs 7] [--data DIR [--map MAPFOLDER]] [--keep NAME]

Theirs is the product of all rows with the full-width weights in NumPy, on all threads of its BLAS, and argmax; ours is
`predict` on the same rows, which looks for a NaN in every one besides. Made rows: a class mean of falling spectrum
under noise, and the discriminants of every dim (MRL) or of the full width (MRL-E). Thresholds are quantiles of the
scores of 10,000 rows, so that 35, 35, 6, 9, 7, 2, 1, 2 and 3 % stop at 8 … 2048, which needs 117 dims on average (226
in MRL, which starts anew at every level). Memory: growth of VmHWM above rows and weights in a fresh process, at a tenth
of the rows and at all of them.

With --data: every training row of the fashion products is a class of its own, mapped by --map (kept: a rotation of
`mrl adapt fit --method rotation --dims 32,48,64,96,128`, 37 s), or turned by their principal axes; queries are the
test rows. The dim of the first level and how many go on are chosen on every other query, as the fastest that answers
99.7 % of them as the full width does; what is told is of the others.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
from functools import partial
from pathlib import Path

import numpy as np
from harness import Ratio, describe, in_fresh_process, keep, paired, peak_bytes, seconds
from vector_sets import folder, products, unit

from mrl import Card, HeadWeights, Nesting
from mrl.adapt import Map
from mrl.classify import Cascade, Prototypes
from mrl.classify.signals import Signals, signals
from mrl.maps import fit_pca

WIDTH, CLASSES, DIMS = 2048, 1000, Nesting.halving(2048, smallest=8)
SHARES = (0.35, 0.35, 0.06, 0.09, 0.07, 0.02, 0.01, 0.02, 0.03)
TUNED, NOISE = 10_000, 0.35
FIRST_DIMS, KEPT, SAME = (24, 32, 36, 40, 44, 48, 52, 56, 64), (8, 12, 16, 20, 24, 28, 32, 40, 48, 64), 0.997
REST = 0.2  # seconds between runs


# ------------------------------------------------------------------------------- a thousand classes


def means() -> np.ndarray:
    spectrum = 1 / np.sqrt(np.arange(1, WIDTH + 1))
    return (np.random.default_rng(0).normal(size=(CLASSES, WIDTH)) * spectrum).astype(np.float32)


def made(n: int) -> np.ndarray:
    """Rows (n, WIDTH) float32."""
    draws, centres = np.random.default_rng(1), means()
    rows = np.empty((n, WIDTH), np.float32)
    for start in range(0, n, 10_000):
        part = draws.standard_normal((min(10_000, n - start), WIDTH), np.float32)
        rows[start : start + len(part)] = NOISE * part + centres[draws.integers(CLASSES, size=len(part))]
    return rows


def head(tied: bool) -> HeadWeights:
    centres = means()
    dims = (WIDTH,) if tied else DIMS.dims
    weights = tuple(np.ascontiguousarray(centres[:, :dim]) / np.float32(NOISE**2) for dim in dims)
    biases = tuple(-(centres[:, :dim] ** 2).sum(1) / np.float32(2 * NOISE**2) for dim in dims)
    return HeadWeights(DIMS, tied, weights, biases)


def cascade(tied: bool, rows: np.ndarray) -> Cascade:
    """With thresholds such that about SHARES of the rows stop at each level."""
    bare = Cascade(head(tied), Card("made", WIDTH, DIMS, metric="dot"), DIMS)
    return bare.with_thresholds(thresholds(signals(bare.levels, rows[:TUNED], bare.temperatures)))


def thresholds(told: Signals) -> tuple[float, ...]:
    left, found = np.ones(told.labels.shape[1], bool), []
    for score, share in zip(told.probability, SHARES[:-1], strict=False):
        found.append(float(np.quantile(score[left], 1 - share * left.size / left.sum())))
        left &= score < found[-1]
    return tuple(found)


def compare(tied: bool, rows: np.ndarray, pairs: int) -> dict[str, object]:
    ours = cascade(tied, rows)
    full = ours.levels.weight(len(DIMS) - 1)
    plus = ours.levels.plus[-1]
    ratio = paired(lambda: ours.predict(rows), lambda: (rows @ full.T + plus).argmax(1), pairs, 1, REST)
    answers = ours.predict(rows)
    shares = np.bincount(answers.levels, minlength=len(DIMS)) / len(rows)
    print(f"\n{'MRL-E, tied' if tied else 'MRL, a head a dim'}: {ratio}")
    print(
        f"stopped, %: {np.round(100 * shares, 1)}; dims used {answers.last.mean():.0f}, read {answers.read.mean():.0f}"
    )
    return {
        "faster": rounded(ratio),
        "shares": shares.tolist(),
        "last": answers.last.mean(),
        "read": answers.read.mean(),
    }


def one(n: int, tied: bool) -> dict[str, float]:
    """Growth of the peak above rows and weights, in this process."""
    rows = made(n)
    ours = cascade(tied, rows)
    ours.predict(rows[:100])
    Path("/proc/self/clear_refs").write_text("5")  # from here on, the peak is counted anew
    before = peak_bytes()
    ours.predict(rows)
    return {"growth": peak_bytes() - before, "before": before}


def memory(rows: int) -> dict[str, object]:
    """Growth in bytes at a tenth of the rows and at all, by kind of head."""
    found: dict[str, object] = {}
    for kind in ("separate", "tied"):
        sizes = (rows // 10, rows)
        found[f"{kind}, growth"] = [in_fresh_process(__file__, "--one", str(n), kind)["growth"] for n in sizes]
        few, many = (each / 2**20 for each in found[f"{kind}, growth"])
        print(
            f"{kind}: peak grows by {few:.0f} MiB with {sizes[0]:,} rows, by {many:.0f} MiB with {sizes[1]:,}",
            flush=True,
        )
    return found


def thousand(rows: int, pairs: int) -> dict[str, object]:
    kept: dict[str, object] = {}
    vectors = made(rows)
    for tied in (False, True):
        kept["tied" if tied else "separate"] = compare(tied, vectors, pairs)
    return kept


def rounded(ratio: Ratio) -> list[float]:
    return [round(float(s), 2) for s in ratio.speedup]


# ------------------------------------------------------------------------------- a class per product


def by_product(data: Path | None, map_folder: Path | None, pairs: int) -> dict[str, object]:
    rows, queries = mapped(data, map_folder)
    tuned, told = queries[::2], queries[1::2]
    full = unit(rows)
    first, kept = chosen(rows, tuned, (tuned @ full.T).argmax(1))
    ours = shortlist(rows, first, kept)
    ratio = paired(lambda: ours.predict(told), lambda: (told @ full.T).argmax(1), pairs, 1, REST)
    same = float((ours.predict(told).labels == (told @ full.T).argmax(1)).mean())
    print(
        f"\n{len(rows):,} prototypes, {len(told):,} queries: the best {kept} at {first} dims go on to {rows.shape[1]}"
    )
    print(f"{ratio}; the same answers: {same:.2%}")
    return {"prototypes": len(rows), "first": first, "kept": kept, "faster": rounded(ratio), "same": same}


def mapped(data: Path | None, map_folder: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """(training rows, test rows) of the products, turned so that their first dims say the most."""
    rows, queries = products(data)
    rows = rows[trained(data)]
    if map_folder is not None:
        turn = Map.load(map_folder)
        return turn.apply(rows), turn.apply(queries, side="queries")
    axes = fit_pca(rows)
    return axes.apply(rows), axes.apply(queries)


def trained(data: Path | None) -> np.ndarray:
    """Which of the rows of `products` are training rows, and not of the validation set."""
    with gzip.open(folder(data) / "fashion-products" / "products.csv.gz", "rt", encoding="utf-8") as file:
        splits = [row["split"] for row in csv.DictReader(file)]
    return np.array([split == "train" for split in splits if split != "test"])


def shortlist(rows: np.ndarray, first: int, kept: int) -> Cascade:
    width = rows.shape[1]
    nesting = Nesting.halving(width, smallest=8)
    known = Prototypes(nesting, rows, np.arange(len(rows)))
    return Cascade(known, Card("products", width, nesting), Nesting((first, width)), keep=kept)


def chosen(rows: np.ndarray, queries: np.ndarray, answers: np.ndarray) -> tuple[int, int]:
    """(dim of the first level, how many go on): the fastest that gives SAME of the answers."""
    seen = []
    for first in FIRST_DIMS:
        for kept in KEPT:
            ours = shortlist(rows, first, kept)
            same = float((ours.predict(queries).labels == answers).mean())
            if same >= SAME:  # keeping more from this dim only costs more
                took = min(seconds(partial(ours.predict, queries)) for _ in range(5))
                print(f"the best {kept} at {first} dims: {same:.2%} the same, {1e3 * took:.0f} ms")
                seen.append((took, first, kept))
                break
    return min(seen)[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--data", type=Path, help="the folder of data sets: the products too")
    parser.add_argument("--map", type=Path, help="the folder of an adapted map for the products")
    parser.add_argument("--keep", help="keep the figures in results/NAME.json")
    parser.add_argument("--one", nargs=2, metavar=("ROWS", "KIND"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(one(int(args.one[0]), args.one[1] == "tied")))
        return
    about = describe("numpy", "numba", "mrl")
    about["command"] = "python benchmarks/bench_classify.py --data DIR --map ROTATION --pairs 11 --keep classify"
    print(json.dumps(about, indent=2), f"\n{args.rows:,} × {WIDTH} float32, {CLASSES} classes; 1 warm-up run")
    kept: dict[str, object] = {"about": about, "rows": args.rows, **memory(args.rows)}
    kept |= thousand(args.rows, args.pairs)
    if args.data:
        kept["products"] = by_product(args.data, args.map, args.pairs)
    if args.keep:
        keep(args.keep, kept)


if __name__ == "__main__":
    main()
