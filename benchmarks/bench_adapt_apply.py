"""A map applied to a million vectors in a stream, against the bare matrix product.

    python benchmarks/bench_adapt_apply.py [--rows 1000000] [--width 1024]

Rows of a seeded generator are written to an .npy in a temporary folder (4 GB at the full size, as much again for each
result, one at a time). The bare product is `np.matmul` of float32 blocks of the same size, in memory, into one place.
Both have read the rows once before (reads warm). `apply_stream` reads the file, checks every row, maps it, and commits
a table with checksums; with fsync, as it is shipped, and without, where a device that does not flush takes its place.
The maps: one bare product (`matrix`), `Rotation`, `Linear`, and `Residual` with as many hidden units as dims, which is
three products. Each run is a fresh process: its peak is VmHWM, all of it. Ratio: seconds of the bare product of one
matrix, taken in that very process right before and right after, over those of the stream.

Seen on 2 cores of an AMD EPYC (AVX-512) that others were using: one product takes 62 % of the cores' time and 65 % of
the clock, at a peak of 0.42 GiB; what is left is the kernel's writing of new files and SHA-256.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from harness import describe, in_fresh_process, keep, peak_bytes, seconds

from mrl import Card, Nesting
from mrl.adapt.applying import Stored, Turn, apply_stream
from mrl.disk import Device, using
from mrl.maps import Linear, Residual, Rotation
from mrl.vectors import open_vectors

MAPS = ("matrix", "Linear", "Rotation", "Residual")


class NoFlush(Device):
    """The file system without fsync."""

    def flush(self, file) -> None:  # type: ignore[no-untyped-def]
        file.flush()

    def flush_folder(self, path: Path) -> None:
        pass


class Bare:
    """One float32 product."""

    def __init__(self, matrix: np.ndarray) -> None:
        self.matrix = matrix

    def apply(self, vectors: np.ndarray) -> np.ndarray:
        return vectors @ self.matrix


def orthogonal(width: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(1).normal(size=(width, width)))[0]


def made(kind: str, width: int) -> Turn:
    square = orthogonal(width)
    small = square.astype(np.float32)
    if kind == "Rotation":
        return Rotation(square, "random")
    if kind == "Linear":
        return Linear(small)
    if kind == "Residual":
        return residual(small)
    return Bare(small)


def residual(matrix: np.ndarray) -> Residual:
    """A hidden layer of the same width around the identity."""
    return Residual(np.eye(len(matrix), dtype=np.float32), matrix, np.zeros(len(matrix), np.float32), matrix.T * 0.1)


def write_rows(path: Path, rows: int, width: int) -> None:
    draws = np.random.default_rng(0)
    with path.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (rows, width)}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, rows, 10_000):
            draws.standard_normal((min(10_000, rows - start), width), np.float32).tofile(file)


def timed(run: Callable[[], object]) -> tuple[float, float]:
    """Seconds on the clock, and of all cores in this process."""
    before = time.process_time()
    return seconds(run), time.process_time() - before


def bare(rows: int, width: int, matrix: np.ndarray) -> tuple[float, float]:
    """Seconds of the product of so many rows, block by block, on the clock and of all cores."""
    size = Stored().rows(width, width)
    block = np.random.default_rng(2).standard_normal((size, width), np.float32)
    place = np.empty_like(block)
    np.matmul(block, matrix, out=place)

    def run() -> None:
        for start in range(0, rows, size):
            count = min(size, rows - start)
            np.matmul(block[:count], matrix, out=place[:count])

    return timed(run)


def one(path: Path, kind: str, flushed: bool) -> dict[str, float]:
    """One run, in this process."""
    source = open_vectors(path)
    rows, width = len(source), source.card.width
    for _ in source.batches():
        pass  # so that reads are warm
    turn, matrix = made(kind, width), orthogonal(width).astype(np.float32)
    card = Card(path.stem, width, Nesting((width,)), maps=("bench:0",))
    before = bare(rows, width, matrix)
    out = path.parent / "out"

    def run() -> None:
        with using(Device() if flushed else NoFlush()):
            apply_stream(source, turn, out, card)

    ours = timed(run)
    after = bare(rows, width, matrix)
    return {
        "seconds": ours[0],
        "bare_before": before[0],
        "bare_after": after[0],
        "cpu": ours[1],
        "bare_cpu": (before[1] + after[1]) / 2,
        "peak_bytes": peak_bytes(),
    }


def line(kind: str, flushed: bool, got: dict[str, float], rows: int) -> str:
    before, after = got["bare_before"], got["bare_after"]
    return (
        f"{kind:9} {'with' if flushed else 'without':>7} fsync: {got['seconds']:7.2f} s, {rows / got['seconds']:9,.0f} "
        f"rows/s; bare product {before:.2f} s before, {after:.2f} s after: {(before + after) / 2 / got['seconds']:.0%} "
        f"of its speed; {got['cpu']:.1f} s of all cores, bare {got['bare_cpu']:.1f} s; "
        f"peak {got['peak_bytes'] / 2**30:.2f} GiB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--maps", nargs="+", default=list(MAPS), choices=MAPS)
    parser.add_argument("--folder", type=Path, help="where there is room for twice the vectors")
    parser.add_argument("--keep", help="keep the figures in results/NAME.json")
    parser.add_argument("--one", nargs=2, metavar=("FILE", "MAP"), help=argparse.SUPPRESS)
    parser.add_argument("--fsync", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(one(Path(args.one[0]), args.one[1], args.fsync)))
        return
    everything(args)


def everything(args: argparse.Namespace) -> None:
    about = describe("numpy", "mrl")
    print(json.dumps(about, indent=2), f"\n{args.rows:,} x {args.width} float32, reads warm")
    folder = Path(tempfile.mkdtemp(dir=args.folder))
    kept: dict[str, object] = {"about": about, "rows": args.rows, "width": args.width}
    try:
        needed, free = 2.1 * 4 * args.rows * args.width, shutil.disk_usage(folder).free
        if free < needed:
            raise SystemExit(f"{folder} has {free / 1e9:.0f} GB free and {needed / 1e9:.0f} are needed; give --folder")
        write_rows(folder / "rows.npy", args.rows, args.width)
        for flushed in (False, True):
            for kind in args.maps:
                words = ["--one", str(folder / "rows.npy"), kind, *(["--fsync"] if flushed else [])]
                got = in_fresh_process(__file__, *words)
                shutil.rmtree(folder / "out")
                print(line(kind, flushed, got, args.rows), flush=True)
                kept[f"{kind}, {'with' if flushed else 'without'} fsync"] = got
    finally:
        shutil.rmtree(folder)
    if args.keep:
        keep(args.keep, kept)


if __name__ == "__main__":
    main()
