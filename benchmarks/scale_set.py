"""The store from ten thousand rows to a million: time and memory to build it, to open it and to search it.

    python benchmarks/scale_set.py [--data DIR] [--sizes 10000,30000,100000,300000,1000000] [--folder build/scale]

DIR (or MRL_DATA) holds the set `fashion-products`. Its rows, at unit length, PCA-rotated and cut to 768 dims, are
repeated, each coordinate with Gaussian noise of 0.3 × its standard deviation, until there are enough; queries are made
alike from the test rows. Batches are seeded by their number: a smaller size is the beginning of a larger one. Cosine,
k = 10, float32, a graph over 128 dims. Rows come as a stream; no process ever holds them all.

Each step is a process of its own. Build: seconds and peak RssAnon (every 50 ms) of the rows and then of the graph.
Open and first query: files are in the page cache; the first query loads FAISS and the compiled kernels and compares
each file that it needs with its checksum. It is measured again where libraries and kernels are loaded, which leaves
the checksums. Latency: 200 queries one by one, after 10 others. Throughput: 1,000 together, the median of 3 after 1.
Growth: of RSS, from before opening to after 10,000 queries (the held-out ones, then copies with 1 % noise) in batches
of 1,000, kernels loaded before. Expected at a million rows: peak RssAnon below 1.5 GiB, open below 0.1 s. Indexes are
removed once measured. The figure is results/scale.svg; `--draw` draws it from the results that were kept.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import vector_sets
from harness import describe, in_fresh_process, keep, peak_bytes, seconds

from mrl import Card, Nesting
from mrl.maps import fit_pca
from mrl.retrieval import HNSW, BuildSpec, Index, Layout, Rows
from mrl.retrieval.rows import Batch

WIDTH, GRAPH, K, BATCH = 768, 128, 10, 4096
NOISE, COPIES = 0.3, 0.01  # of each coordinate's standard deviation: in rows and queries; in copies of queries
SPEC = BuildSpec(Layout.of(Nesting((128, 256, 768))))
CARD = Card("products, repeated with noise", WIDTH, Nesting((WIDTH,)))
PLANS = {"graph": "128:200/hnsw,768:10", "scan": "128:200,768:10", "exact": None}
SINGLES, TOGETHER, MANY = 200, 1_000, 10_000  # queries one by one, at once, and for the growth of memory
SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000)
RESULTS = Path(__file__).parent / "results"
MIB, BAR = 2**20, 1536  # BAR: MiB

Result = dict[str, Any]


def make_set(folder: Path, data: str) -> Result:
    """Write the rows that are repeated (39,797, 768), their deviations (768,) and the queries (4,275, 768)."""
    rows, asked = (vector_sets.unit(part) for part in vector_sets.products(Path(data)))
    turn = fit_pca(rows)
    base, asked = (np.ascontiguousarray(turn.apply(part)[:, :WIDTH]) for part in (rows, asked))
    deviation = base.std(axis=0)
    asked += noise(-1, len(asked)) * (NOISE * deviation)
    for name, array in {"base": base, "deviation": deviation, "queries": asked}.items():
        np.save(folder / f"{name}.npy", array)
    return {"repeated": len(base), "queries": len(asked)}


def noise(number: int, rows: int) -> np.ndarray:
    """(rows, 768) float32, standard normal: of batch `number`, of the queries at −1, of copies of queries at −2."""
    return np.random.default_rng([0, number + 2]).standard_normal((rows, WIDTH), np.float32)


class Source:
    """The first rows of the set, as a stream. seconds: what making them took so far."""

    def __init__(self, folder: Path, size: int) -> None:
        self.base = np.load(folder / "base.npy", mmap_mode="r")  # pages of the file are no memory of the build's own
        self.scale, self.size, self.seconds = NOISE * np.load(folder / "deviation.npy"), size, 0.0

    def batches(self) -> Iterator[Batch]:
        for number in range(-(-self.size // BATCH)):
            start = time.perf_counter()
            which = np.arange(number * BATCH, min((number + 1) * BATCH, self.size)) % len(self.base)
            made = self.base[which] + noise(number, BATCH)[: len(which)] * self.scale
            self.seconds += time.perf_counter() - start
            yield Batch(made)


def queries(folder: Path, count: int) -> np.ndarray:
    """(count, 768): the held-out ones, then copies of them with 1 % noise."""
    known = np.load(folder / "queries.npy")
    copies = np.resize(known, (max(count - len(known), 0), WIDTH))
    copies = copies + noise(-2, len(copies)) * (COPIES * np.load(folder / "deviation.npy"))
    return np.concatenate([known, copies])[:count]


def status(field: str) -> int:
    """Bytes that /proc/self/status gives for a field."""
    return int(Path("/proc/self/status").read_text().split(f"{field}:")[1].split()[0]) * 1024


@contextmanager
def watched(name: str, into: Result) -> Iterator[None]:
    """Seconds, and peak RssAnon in MiB looked at every 50 ms, of what is done inside."""
    done, peak, start = threading.Event(), [status("RssAnon")], time.perf_counter()

    def watch() -> None:
        while not done.wait(0.05):
            peak[0] = max(peak[0], status("RssAnon"))

    (watcher := threading.Thread(target=watch)).start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
        into[f"{name} seconds"] = round(time.perf_counter() - start, 2)
        into[f"{name} peak RssAnon MiB"] = round(max(peak[0], status("RssAnon")) / MIB, 1)


def build(folder: Path, size: str) -> Result:
    result: Result = {"start RssAnon MiB": round(status("RssAnon") / MIB, 1)}
    source = Source(folder, int(size))
    with watched("rows", result):
        index = Index.build(folder / "index", Rows.stream(source.batches(), CARD, source.size), SPEC)
    with watched("graph", result):
        index.add_engine(GRAPH, HNSW())
    files = {path: path.stat().st_size for path in index.path.rglob("*") if path.is_file()}
    return result | {
        "making the rows seconds": round(source.seconds, 2),
        "VmHWM MiB": round(peak_bytes() / MIB, 1),
        "disk MiB": round(sum(files.values()) / MIB, 1),
        "disk of the graph MiB": round(sum(s for path, s in files.items() if path.suffix == ".graph") / MIB, 1),
    }


def load_kernels(folder: Path) -> None:
    """Search a small index by every plan, so that libraries and kernels are in memory."""
    with tempfile.TemporaryDirectory() as small:
        rows = next(Source(folder, 2_000).batches()).vectors
        index = Index.build(Path(small) / "index", Rows.of(rows, CARD), SPEC)
        index.add_engine(GRAPH, HNSW())
        for plan in PLANS.values():
            index.search(rows[:1], K, plan=plan)
            index.search(rows, K, plan=plan)


def first(folder: Path, way: str) -> Result:
    """Open, and one query."""
    query = queries(folder, 1)
    start = time.perf_counter()
    index = Index.open(folder / "index")
    opened = time.perf_counter()
    index.search(query, K, plan=PLANS[way])
    return {"open seconds": round(opened - start, 5), "first seconds": round(time.perf_counter() - opened, 4)}


def verifying(folder: Path, way: str) -> Result:
    """The first query of a process that searched another index before."""
    load_kernels(folder)
    return {"first seconds, kernels loaded": first(folder, way)["first seconds"]}


def ask(folder: Path, way: str) -> Result:
    """Latency, throughput, and recall of exact search's rows."""
    index, asked = Index.open(folder / "index"), queries(folder, TOGETHER)

    def search(some: np.ndarray) -> np.ndarray:
        return index.search(some, K, plan=PLANS[way]).ids

    for query in asked[-10:]:
        search(query[None])
    singles = np.array([seconds(lambda q=query: search(q[None])) for query in asked[:SINGLES]]) * 1e3
    search(asked)
    batch = float(np.median([seconds(lambda: search(asked)) for _ in range(3)]))
    found, truth = search(asked[:SINGLES]), index.search(asked[:SINGLES], K).ids
    return {
        "single ms": [round(float(ms), 3) for ms in np.percentile(singles, [50, 5, 95])],
        "queries a second": round(TOGETHER / batch, 1),
        "recall@10": round(float(np.mean([np.isin(*pair).mean() for pair in zip(truth, found, strict=True)])), 4),
    }


def grow(folder: Path, way: str) -> Result:
    """RSS after many queries, less RSS before opening."""
    load_kernels(folder)
    asked = queries(folder, MANY)
    before = {field: status(field) for field in ("VmRSS", "RssAnon", "RssFile")}
    index = Index.open(folder / "index")
    for start in range(0, MANY, TOGETHER):
        index.search(asked[start : start + TOGETHER], K, plan=PLANS[way])
    return {f"{field} growth MiB": round((status(field) - was) / MIB, 1) for field, was in before.items()}


def apart(folder: Path, step: str, about: object) -> Result:
    """Do a step in a fresh process."""
    return dict(in_fresh_process(sys.argv[0], "--folder", str(folder), "--step", step, str(about)))


def measure(size: int, folder: Path) -> Result:
    """All figures of one size; its index is removed."""
    shutil.rmtree(folder / "index", ignore_errors=True)
    result: Result = {"rows": size, "load average": round(os.getloadavg()[0], 1), "build": apart(folder, "build", size)}
    print(f"{size:,} rows built: {result['build']}", flush=True)
    for way in PLANS:
        result[way] = {}
        for step in ("first", "verifying", "ask", *(["grow"] if PLANS[way] else [])):
            result[way] |= apart(folder, step, way)
        print(f"  {way}: {result[way]}", flush=True)
    shutil.rmtree(folder / "index")
    return result


def table(sizes: list[Result]) -> str:
    head = f"{'rows':>9} {'rows s':>7} {'graph s':>8} {'RssAnon MiB':>12} {'disk MiB':>9} {'open ms':>8}"
    head += "".join(f" {f'{way}: ms':>10} {'/ s':>7} {'recall':>7} {'first s':>8}" for way in PLANS)
    return "\n".join([head, *map(_line, sizes)])


def _line(each: Result) -> str:
    built, ways = each["build"], [each[way] for way in PLANS]
    anon = max(built[f"{part} peak RssAnon MiB"] for part in ("rows", "graph"))
    line = f"{each['rows']:9,} {built['rows seconds']:7.1f} {built['graph seconds']:8.1f} {anon:12.0f}"
    line += f" {built['disk MiB']:9.0f} {max(found['open seconds'] for found in ways) * 1e3:8.1f}"
    for found in ways:
        rest = f"{found['queries a second']:7.0f} {found['recall@10']:7.3f} {found['first seconds']:8.2f}"
        line += f" {found['single ms'][0]:10.2f} {rest}"
    return line


def draw(sizes: list[Result]) -> None:
    """results/scale.svg and .png: build time, memory and latency against rows, both axes logarithmic."""
    from matplotlib.figure import Figure

    from mrl.report.figures import png, svg
    from mrl.report.look import FAINT, style

    rows, parts = [each["rows"] for each in sizes], ("graph", "rows")
    times = {part: [each["build"][f"{part} seconds"] for each in sizes] for part in parts}
    peaks = {part: [each["build"][f"{part} peak RssAnon MiB"] for each in sizes] for part in parts}
    waits = {way: [each[way]["single ms"][0] for each in sizes] for way in PLANS}
    with style():
        panels = (figure := Figure(figsize=(11.2, 3.7))).subplots(1, 3)
        _curves(panels[0], rows, times, "Building, seconds")
        _curves(panels[1], rows, peaks, "Memory for it, MiB")
        _curves(panels[2], rows, waits, "One query, median ms")
        panels[1].axhline(BAR, color=FAINT, linewidth=0.9, linestyle=(0, (1, 2)))
        panels[1].text(rows[0], BAR * 0.94, "stays below 1.5 GiB", va="top", fontsize=8.5, color=FAINT)
    (RESULTS / "scale.svg").write_text(svg(figure) + "\n")
    (RESULTS / "scale.png").write_bytes(png(figure))


def _curves(axes: Any, rows: list[int], curves: dict[str, list[float]], title: str) -> None:
    from mrl.report.look import COLOURS

    place: dict[str, Any] = {"xytext": (8, 0), "textcoords": "offset points", "va": "center", "fontsize": 9.5}
    for colour, (name, values) in zip(COLOURS, curves.items(), strict=False):
        axes.plot(rows, values, marker="o", color=colour)
        axes.annotate(name, (rows[-1], values[-1]), color=colour, **place)
    axes.set(title=title, xscale="log", yscale="log", xlabel="rows", xlim=(rows[0] / 1.3, rows[-1] * 2.6))
    axes.set_xticks(rows, [f"{size // 1000:,}k" if size < 10**6 else f"{size / 1e6:g}M" for size in rows])
    axes.set_xticks([], minor=True)
    axes.tick_params(which="minor", length=0)
    axes.yaxis.set_minor_formatter("")
    axes.yaxis.set_major_formatter("{x:g}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    parser.add_argument("--folder", type=Path, default=Path(__file__).parents[1] / "build" / "scale")
    parser.add_argument("--keep", default="scale")
    parser.add_argument("--draw", action="store_true", help="draw the figure of kept results, and nothing else")
    parser.add_argument("--step", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    steps = {step.__name__: step for step in (make_set, build, first, verifying, ask, grow)}
    if args.step:
        print(json.dumps(steps[args.step[0]](args.folder, args.step[1])))
    elif args.draw:
        draw(json.loads((RESULTS / f"{args.keep}.json").read_text())["sizes"])
    else:
        whole(args)


def whole(args: argparse.Namespace) -> None:
    """Every size; what is known is kept after each."""
    about, sizes = describe("numpy", "numba", "faiss-cpu", "mrl"), list[Result]()
    print(json.dumps(about, indent=2), flush=True)
    args.folder.mkdir(parents=True, exist_ok=True)
    apart(args.folder, "make_set", vector_sets.folder(args.data))
    for size in map(int, args.sizes.split(",")):
        sizes.append(measure(size, args.folder))
        keep(args.keep, {"about": about, "cuts": str(SPEC.layout.cuts), "plans": PLANS, "sizes": sizes})
    print(table(sizes))
    draw(sizes)


if __name__ == "__main__":
    main()
