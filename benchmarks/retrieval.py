"""Ours against every engine that a user could take instead: never behind the best of them, at the same recall.

    python benchmarks/retrieval.py --data DIR [--rows products,cohere-4096,nested] [--pairs 41] [--keep retrieval-peers]

DIR (or MRL_DATA) holds `fashion-products`, `cohere-4096` and, for the nested vectors of `nested_vectors.py` (made first
if they are not there), `tiny-imagenet-32`. Products: 39,797 rows × 1,024, cohere-4096: 8,370 × 4,096, nested: 100,000
× 512; `--rows million`: a million × 768 of `scale_set.py`, PCA-rotated by construction, with fewer peers. All of unit
length, inner product, recall@10 of the exact full-width result (a tie within 1e-6 counts).

Held-out queries are dealt into tune and report halves (seeded), at most 1,000 each (500 for the million). A row is data
× {single queries, batches of 256} × {1, 2 threads} × target {0.95, 0.99}. Each peer of `peers.py` is swept over its
knobs, in the raw and in the PCA-rotated space (RaBitQ also in a randomly rotated one), where its queries are
rotated for free; ours turns its own. A system's point is its fastest setting that keeps the target on tune queries.
The peers' points that come close are timed again in turn on report queries, and the best of them meets ours in pairs
of alternating order: median ratio with its 95 % interval; so does IndexFlatIP. A run of single queries is a loop over
200, a run of batches all whole batches of the report queries. Indexes are built with two threads. Memory: growth of
RSS in a fresh process that opens what was written and asks 10,000 queries (the held-out ones, then copies with 1 %
noise), in batches; of ours those plans race that take at most half of what the full-width graph does. The sweep is
kept in build/retrieval/ and goes on where it was: remove that to measure afresh.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import retrieval_rows
from harness import Ratio, describe, keep, paired
from retrieval_entrants import Entrant, Hall, contenders, grow, growth, queries_of, retimed, rivals, worth_keeping
from retrieval_ours import Ours, ours
from retrieval_rows import K, Task
from retrieval_sweep import CACHE, MODES, TARGETS, Result, landscape, mode_key, quick, sweep, swept, threads

from mrl.retrieval import Index, Plan

FLAT_SINGLES, FLAT_PAIRS = 20, 9  # exact search is slow: fewer of each
BASELINE = "HNSW32 efC40"  # the full-width graph for the lines on memory and build


def our_entrants(made: Ours, task: Task) -> list[Entrant]:
    """Each plan of ours with its recall on tune queries, and MiB by which RSS grows where that is a target's."""
    found = []
    for index, plan in made.points:

        def search(queries: Any, k: int, index: Index = index, plan: Plan = plan) -> Any:
            return index.search(queries, k, plan=plan).ids

        with threads(2):
            recall = task.recall("tune", search(task.tune, K))
        label = {"plan": plan.spec, "index": index.path.name}
        if recall >= min(TARGETS):
            small = str(made.small[index.path.name])
            label["MiB"] = round(growth({"plan": plan.spec, "index": str(index.path), "small": small}, task.report), 1)
        found.append(Entrant(label, recall, lambda count, s=search: s, task.report))
    return found


def our_best(entrants: list[Entrant], task: Task, way: tuple[str, int], target: float, most: float) -> Entrant | None:
    """Our fastest plan that keeps the target on tune queries: swept as the peers are, the close ones timed again.

    most: MiB that a plan may take; where none keeps to it, all may."""
    mode, count = way
    able = [each for each in entrants if each.tune >= target]
    able = [each for each in able if each.label["MiB"] <= most] or able
    with threads(count):
        times = [quick(each.at(count), task.tune, mode, count) for each in able]
    close = [each for each, ms in zip(able, times, strict=True) if ms <= 1.15 * min(times)][:4]
    return fastest(close, mode, count) if able else None


def fastest(entrants: list[Entrant], mode: str, count: int) -> Entrant:
    times = retimed(entrants, mode, count)
    return entrants[int(np.argmin(times))]


def against(mine: Entrant, theirs: Entrant, mode: str, count: int, pairs: int, singles: int) -> Result:
    """Ours and another in pairs: milliseconds of a query, how many times faster ours is, and both recalls."""
    with threads(count):
        runs = [lambda who=who: who.run(mode, count, singles)() for who in (mine, theirs)]
        ratio: Ratio = paired(runs[0], runs[1], pairs)
    each = queries_of(mode, mine.asked, singles) / 1e3
    return {
        "ours ms": round(float(np.median(ratio.ours)) / each, 5),
        "theirs ms": round(float(np.median(ratio.theirs)) / each, 5),
        "times faster": [round(float(s), 3) for s in ratio.speedup],
    }


def row(task: Task, hall: Hall, mine: list[Entrant], asked: tuple[tuple[str, int], float], pairs: int) -> Result:
    """One row: our point, the best peer's and exact search."""
    way, target = asked
    mode, count = way
    close = [hall.entrant(*pair) for pair in contenders(task.name, mode_key(mode, count), target)]
    peer = fastest(close, mode, count)
    found: Result = {"way": mode_key(mode, count), "target": target, "peer": told(peer, task, count)}
    if (best := our_best(mine, task, way, target, full_graph(hall)[0] / 2)) is None:
        reached = max(each.tune for each in mine)
        return found | {"ours": None, "best recall of ours": reached}
    flat = hall.entrant(*next((r, r["points"][0]) for r in swept(task.name) if r["peer"] == "FlatIP"))
    found["ours"] = told(best, task, count)
    found["against the peer"] = against(best, peer, mode, count, pairs, 200)
    found["against FlatIP"] = against(best, flat, mode, count, FLAT_PAIRS, FLAT_SINGLES)
    return found


def told(who: Entrant, task: Task, count: int) -> Result:
    """Label and recalls."""
    with threads(count):
        report = task.recall("report", who.found(count))
    return who.label | {"recall on tune, report": [round(who.tune, 4), round(report, 4)]}


def memory(hall: Hall, rows: list[Result]) -> dict[str, float]:
    """MiB by which RSS grows, for the peer of each row."""
    points = {f"{each['peer']}, {each['space']}": each for each in (row["peer"] for row in rows)}
    return {name: weight(hall, each) for name, each in points.items()}


def weight(hall: Hall, point: Result) -> float:
    """MiB by which RSS grows for a peer."""
    hall.stand(point["peer"], point["space"])
    file = hall.file(point["peer"], point["space"])
    if not file.exists():
        hall.built[file].save(file)
    order = {name: point[name] for name in ("peer", "space", "setting")}
    return round(growth(order | {"lists": hall.task.lists, "file": str(file)}, hall.space(point["space"]).report), 1)


@cache
def full_graph(hall: Hall) -> tuple[float, float]:
    """MiB by which RSS grows for the full-width graph, and the seconds of its build with two threads."""
    built = next(each["build seconds"] for each in swept(hall.task.name) if each["peer"] == BASELINE)
    return weight(hall, {"peer": BASELINE, "space": "raw", "setting": {"ef": 64}}), built


def lines(hall: Hall, made: Ours, mine: Result) -> Result:
    """One plan's memory and build beside the full-width graph's: its share of MiB, and how many times faster."""
    weighs, took = full_graph(hall)
    own = made.seconds[mine["index"]]
    found = {"share of memory": round(mine["MiB"] / weighs, 3)}
    if "engine" in own:
        found["engine built, times faster"] = round(took / own["engine"], 2)
        found["map and engine, times faster"] = round(took / (own["map"] + own["engine"]), 2)
    return found


def measure(task: Task, pairs: int, progress: Callable[[Result], None]) -> Result:
    """All rows of a task, then memory and build."""
    with threads(2):
        made = ours(task, CACHE / task.name / "ours")
    mine, hall = our_entrants(made, task), Hall(task)
    result: Result = {"rows, dims": list(task.rows.shape), "queries to tune, to report": len(task.tune), "table": []}
    for way in MODES:
        for target in TARGETS:
            found = row(task, hall, mine, (way, target), pairs)
            if found["ours"]:
                found["beside the full-width graph"] = lines(hall, made, found["ours"])
            result["table"].append(found)
            print(line(task.name, found), flush=True)
            progress(result)
            if task.name == "million":
                hall.leave(set())
    built = {f"{r['peer']}, {r['space']}": r["build seconds"] for r in swept(task.name)}
    result["build seconds, two threads"] = {"ours": made.seconds, **built}
    result["full-width graph, MiB and build seconds"] = full_graph(hall)
    result["growth of RSS, MiB"] = memory(hall, result["table"])
    progress(result)
    return result


def line(name: str, found: Result) -> str:
    peer = found["peer"]
    setting = " ".join(f"{knob}={value}" for knob, value in peer["setting"].items())
    head = f"{name:12} {found['way']:17} {found['target']:.2f}  {peer['peer']}, {peer['space']} {setting}"
    head += f" ({peer['recall on tune, report'][1]:.3f})"
    if not found["ours"]:
        return f"{head}: none of ours keeps it (best {found['best recall of ours']:.3f})"
    beside, flat = found["against the peer"], found["against FlatIP"]
    low, mid, high = beside["times faster"]
    return (
        f"{head} {beside['theirs ms']:.4f} ms; ours {found['ours']['plan']} "
        f"({found['ours']['recall on tune, report'][1]:.3f}) {beside['ours ms']:.4f} ms: {mid:.2f}× [{low:.2f}, "
        f"{high:.2f}]; FlatIP {flat['theirs ms']:.3f} ms: {flat['times faster'][1]:.1f}×; "
        + ", ".join(f"{name} {value}" for name, value in found["beside the full-width graph"].items())
    )


def summary(tasks: dict[str, Result]) -> Result:
    """Over all rows against the best peer: the median ratio, and the least lower end of an interval."""
    rows = [found for task in tasks.values() for found in task["table"]]
    ratios = [found["against the peer"]["times faster"] if found["ours"] else [0.0] * 3 for found in rows]
    return {
        "rows": len(rows),
        "median times faster": round(float(np.median([mid for _, mid, _ in ratios])), 3),
        "least lower end": min(low for low, _, _ in ratios),
        "rows with a lower end below 0.95": sum(low < 0.95 for low, _, _ in ratios),
    }


def sweep_all(task: Task) -> None:
    """The sweep of a task, and its landscape. What took long to build is written if it may be needed again."""

    def told(result: Result) -> None:
        print(f"  {task.name}, {result['space']}: {result['peer']}", flush=True)

    for space in task.spaces:
        sweep(task, rivals(task), space, told, worth_keeping)
    print(landscape(task.name), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--rows", default="products,cohere-4096,nested")
    parser.add_argument("--pairs", type=int, default=41)
    parser.add_argument("--keep", default="retrieval-peers")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.step:
        print(json.dumps(grow(json.loads(args.step))))
    else:
        whole(args)


def whole(args: argparse.Namespace) -> None:
    """Every task that was asked for; what other calls kept of other tasks stays."""
    about = describe("numpy", "numba", "faiss-cpu", "usearch", "hnswlib", "mrl")
    about["command"] = f"python benchmarks/retrieval.py --data DIR --rows {args.rows} --pairs {args.pairs}"
    print(json.dumps(about, indent=2), flush=True)
    file = Path(__file__).parent / "results" / f"{args.keep}.json"
    tasks: dict[str, Result] = json.loads(file.read_text())["tasks"] if file.exists() else {}
    for name in args.rows.split(","):
        task = retrieval_rows.TASKS[name](args.data)
        sweep_all(task)

        def progress(result: Result, name: str = name) -> None:
            tasks[name] = result
            load = round(os.getloadavg()[0], 1)
            keep(args.keep, {"about": about, "load average": load, "summary": summary(tasks), "tasks": tasks})

        measure(task, args.pairs, progress)
    print(json.dumps(summary(tasks), indent=2))


if __name__ == "__main__":
    main()
