"""Adaptive classification on real vectors: the accuracy of the full width at a fraction of its dims.

    OMP_NUM_THREADS=2 python benchmarks/adaptive_classification.py --data DIR --keep

DIR (or MRL_DATA) holds tiny-imagenet-32, mobilenet-features and fashion-products; the sets, and what is fitted on them
first, are told in classification_sets.py. Their held-out rows are dealt by chance, 30 times: a half to fit cascades on,
and a half that they are measured on, by their own answers. As the paper (arXiv 2205.13147 §4.2.1) does it, but for the
share: it fits on a fifth, of 50,000.

promise   the least dims whose accuracy is surely at most 0.5 points below the full width's, with 90 % confidence, and
          the same for 1 point with 95 %; splits in which the rows are too few for that are counted and left out
target    the least dims that seem to lose at most 0.5 points against the full width, or 0.25, without a promise
greedy    the paper's policy, with levels up to each cap

Accuracy stands beside that of the *reference*: of the head at full width and the heads on the vectors as they are, the
best on all held-out rows. Gaps are paired by split, in points; their 95 % intervals are bootstrapped over the splits,
and, wider, over the rows. Dims are the last ones used. At equal accuracy: the dims at which the path of the cascade
that `target 0.5 pt` was chosen from has greedy's accuracy on the same rows, from the curves' means over the splits.

What was measured of a set is kept in OUT and not done again; `--again` measures it anew with the maps that are there.
On 2 cores that are busy with other things too, 5 minutes once all is fitted, and 20 to fit. Expected, dims and gap of
the policy named (`shown`: 1/8 of the width at most, the interval over splits above -0.5):

tiny-imagenet      target less 0.25 pt: 246 of 512 dims, -0.29; greedy 390, -0.36; its levels are too far apart for 1/8
tiny-imagenet-map  target less 0.25 pt: 57 of 512 dims, -0.28; promise 1 pt: 78, -0.01; greedy 207, -0.23
caltech            target: 70 of 1,024 dims, -0.29; promise 1 pt: 93, -0.31; greedy 95, -0.60
products           target: 15 of 1,024 dims, -0.16; promise 0.5 pt: 24, -0.01; greedy 26, +0.02

At greedy's accuracy, all levels: 0.64, 0.26, 0.51 and 0.62 of its dims; capped at two or three levels it is as cheap,
or a little cheaper. Lossless: no other answer anywhere; 0.1, 0.9, 33 and 60 % of the dims saved.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from classification_figures import Bench, Outcome, Split, equal, grid, points, told_of
from classification_sets import SETS, Subject, subject
from harness import describe, keep
from vector_sets import folder

from mrl.classify import Cascade, Terms
from mrl.classify.curve import path_of
from mrl.classify.signals import Signals, signals
from mrl.classify.thresholds import exits
from mrl.errors import InputError

SPLITS = 30
TARGETS = {"target 0.25 pt": 0.0025, "target 0.5 pt": 0.005}
PROMISES = {"promise 0.5 pt, 90 %": (0.005, 0.9), "promise 1 pt, 95 %": (0.01, 0.95)}


# ------------------------------------------------------------------------------------------------------- measuring


def measure(found: Subject, splits: int) -> dict[str, Any]:
    """All that is told of one set."""
    bench, start = Bench.of(found), time.perf_counter()
    outcomes: dict[str, list[Outcome]] = {}
    curves, capped = [], []
    for seed in range(splits):
        split = Split.of(len(found.rows), seed)
        made = fitted(bench, split, seed)
        for policy, cascade in made.items():
            outcomes.setdefault(policy, []).append(outcome(bench, split, cascade))
        curves.append(curve(bench, split, made["target 0.5 pt"]))
        capped.append(caps(bench, split, made["greedy"]))
    return {
        **about(bench),
        "splits": splits,
        "fitted on": len(Split.of(len(found.rows), 0).fit),
        "policies": {policy: told_of(bench, each, splits) for policy, each in outcomes.items()},
        "greedy with caps": equal(bench, np.array(curves), np.array(capped)),
        "lossless": lossless(bench),
        "seconds": round(time.perf_counter() - start, 1),
    }


def about(bench: Bench) -> dict[str, Any]:
    found = bench.subject
    return {
        **found.about,
        "held out": len(found.rows),
        "dims": bench.dims.tolist(),
        "head": "tied" if found.head.tied else "one a level",
        "accuracy by level": points(bench.right.mean(1)),
        "heads on the vectors as they are": {name: points(right.mean()) for name, right in found.raw.items()},
        "reference": {"name": bench.name, "accuracy": points(bench.reference.mean())},
        "some level is right": points(bench.right.any(0).mean()),
    }


def fitted(bench: Bench, split: Split, seed: int) -> dict[str, Cascade]:
    """The cascades of every policy that the rows allow."""
    rows = bench.subject.rows.only(split.fit)
    asked = {name: Terms(tolerance=e, confidence=c, seed=seed) for name, (e, c) in PROMISES.items()}
    asked |= {name: Terms(policy="target", tolerance=e, seed=seed) for name, e in TARGETS.items()}
    asked["greedy"] = Terms(policy="greedy", seed=seed)
    made = {}
    for name, terms in asked.items():
        try:
            made[name] = Cascade.fit(bench.subject.head, rows, terms)
        except InputError as error:
            if "not enough for that promise" not in str(error):
                raise
    return made


def outcome(bench: Bench, split: Split, cascade: Cascade) -> Outcome:
    """What the cascade itself answers on the test rows."""
    rows = bench.subject.rows.only(split.test)
    answers = cascade.predict(rows)
    return Outcome(split, answers.last, answers.labels == rows.need_labels(), cascade.rule)


def seen(bench: Bench, split: Split, cascade: Cascade) -> tuple[Signals, np.ndarray]:
    """What every level says of the test rows, and whether it is right."""
    vectors = bench.subject.rows.vectors[split.test]
    return signals(cascade.levels, vectors, cascade.temperatures), bench.right[:, split.test]


def curve(bench: Bench, split: Split, cascade: Cascade) -> np.ndarray:
    """(ROUGH,) the accuracy of the cascade's path on the test rows at `grid(bench)`."""
    told, right = seen(bench, split, cascade)
    path = sorted((point.last, point.accuracy) for point in path_of(cascade, told, right))
    dims, accuracy = np.array(path).T
    return np.interp(grid(bench), dims, accuracy, left=np.nan)


def caps(bench: Bench, split: Split, cascade: Cascade) -> np.ndarray:
    """(levels − 1, 2): expected dims and accuracy of the paper's policy with levels up to each cap from the second."""
    told, right = seen(bench, split, cascade)
    score, rows = told.score("probability"), np.arange(len(split.test))
    found = []
    for cap in range(1, len(bench.dims)):
        levels = np.minimum(exits(score[:-1], cascade.thresholds), cap)
        found.append((bench.dims[levels].mean(), right[levels, rows].mean()))
    return np.array(found)


def lossless(bench: Bench) -> dict[str, Any]:
    """All held-out rows with the rule that never changes an answer."""
    found = bench.subject
    cascade = Cascade(found.head, found.rows.card, found.head.nesting, "lossless")
    answers = cascade.predict(found.rows)
    full = found.head.logits(found.rows.vectors, found.head.nesting.width).argmax(1)
    shares = np.bincount(answers.levels, minlength=len(bench.dims)) / len(answers)
    return {
        "other answers": int((answers.labels != full).sum()),
        "expected dims": round(float(answers.last.mean()), 1),
        "dims saved": points(1 - answers.last.mean() / bench.dims[-1]),
        "share that stops at each level": points(shares),
    }


# --------------------------------------------------------------------------------------------------------- telling


def told(name: str, found: dict[str, Any]) -> str:
    levels = zip(found["dims"], found["accuracy by level"], strict=True)
    out = [
        f"\n{name}: {found['held out']:,} rows held out, {found['classes']} classes, head {found['head']}",
        "  " + ", ".join(f"{dim}: {accuracy:.2f}" for dim, accuracy in levels),
        f"  heads on the vectors as they are: {found['heads on the vectors as they are']}",
        f"  reference: {found['reference']['name']} with {found['reference']['accuracy']:.2f}",
    ]
    out += [policy_told(policy, each) for policy, each in found["policies"].items()]
    out += [greedy_told(each) for each in found["greedy with caps"]]
    return "\n".join([*out, f"  lossless: {found['lossless']}", f"  {found['seconds']} s"])


def policy_told(policy: str, each: dict[str, Any]) -> str:
    (mean, low, high), dims = each["gap"], each["expected dims"][0]
    return (
        f"  {policy:>20}: {each['splits']} splits, {dims:6.1f} dims ({each['share of the width']}), "
        f"gap {mean:+.2f} [{low:+.2f}, {high:+.2f}], over rows {each['gap over rows'][1:]}"
        f"{'' if each['shown'] else ', not shown'}"
    )


def greedy_told(each: dict[str, Any]) -> str:
    return (
        f"  {'greedy up to ' + str(each['cap']):>20}: {each['expected dims'][0]:6.1f} dims, {each['accuracy']:.2f}; "
        f"ours as accurate at {each['ours at equal accuracy']} ({each['ours / greedy']})"
    )


def asked_for() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("build/classification"))
    parser.add_argument("--only", default=",".join(SETS), help=f"sets, of {', '.join(SETS)}")
    parser.add_argument("--splits", type=int, default=SPLITS)
    parser.add_argument("--again", action="store_true", help="measure sets anew that were measured")
    parser.add_argument("--keep", action="store_true", help="write what came out to benchmarks/results/")
    args = parser.parse_args()
    args.data = folder(args.data)
    return args


def results(args: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every set that is wanted; each is kept on disk once it was measured."""
    for name in args.only.split(","):
        path = args.out / f"{name}-{args.splits}.json"
        if args.again or not path.exists():
            found = {"about": machine(), **measure(subject(name, args.data, args.out), args.splits)}
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(found, indent=2, ensure_ascii=False))
        yield name, json.loads(path.read_text())


def machine() -> dict[str, str]:
    """Without paths."""
    found = describe("torch", "numpy", "scikit-learn", "mrl")
    return found | {"command": "OMP_NUM_THREADS=2 python benchmarks/adaptive_classification.py --data DIR --keep"}


def main() -> None:
    args, every = asked_for(), {}
    for name, found in results(args):
        print(told(name, found), flush=True)
        every[name] = found
    if args.keep:
        keep("adaptive-classification", every)


if __name__ == "__main__":
    main()
