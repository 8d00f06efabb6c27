"""What the words and numbers of a report mean: only those that occur in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mrl.evaluation.rows import Row
from mrl.report.markup import Markup, join, tag
from mrl.report.series import FIXED, TIMES, best, measures, printable, series

INTERVALS = {"wilson": "Wilson score", "bootstrap": "Bootstrap over queries or pairs"}


def glossary(rows: Sequence[Row]) -> Markup:
    """The report's footer."""
    words = (*_words(rows), *_measures(rows), *_numbers(rows))
    entries = (join(tag("dt", term), tag("dd", text)) for term, text, occurs in words if occurs)
    return tag("footer", tag("dl", *entries))


def _words(rows: Sequence[Row]) -> Iterator[tuple[str, str, bool]]:
    methods = {row.method for row in rows}
    untrained = any(not row.trained for row in rows)
    yield "trained", "A filled dot: this dim had a loss of its own in training.", True
    yield "only read", "A hollow dot: an interpolated dim, between trained ones; it was read, not trained.", untrained
    yield "head", "The classifier that was trained with the embedding.", "head" in methods
    yield "probe", "A linear classifier fitted afterwards to the database's vectors at this dim.", "probe" in methods
    fixed = "Fixed-feature models, each trained at one dim alone and shown as one series."
    yield FIXED, fixed, FIXED in series(rows)


def _measures(rows: Sequence[Row]) -> Iterator[tuple[str, str, bool]]:
    shown = " ".join(measures(rows))
    yield "top-k", "Share of queries whose label is among the k highest logits.", "top-" in shown
    yield "k-NN", "Share of queries whose label wins the vote of the k nearest vectors.", "-NN" in shown
    paper = "Mean over queries of (sum of the precision at each hit among the first k) / k, the paper's form."
    yield "mAP@k", paper, "mAP@" in shown
    best = "Sum of the grades among the first k, each divided by log2(rank + 1), as a share of the best list's."
    yield "nDCG@k", best, "nDCG@" in shown
    yield "MRR@k", "1 / rank of the first relevant document, 0 beyond k, mean over queries.", "MRR@" in shown
    yield "recall@k", "Share of a query's relevant documents among the first k, mean over queries.", "recall@" in shown
    usual = "Sum of the precision at each hit among the first k, divided by the relevant documents; mean over queries."
    yield "AP@k", usual, " AP@" in f" {shown}"
    yield "P@k", "Share of hits among the first k, mean over queries.", " P@" in f" {shown}"
    gold = f"Correlation of similarity and gold score over pairs, {TIMES} 100"
    yield "Spearman", f"{gold}: of their ranks.", "Spearman" in shown
    yield "Pearson", f"{gold}: of their values.", "Pearson" in shown


def _numbers(rows: Sequence[Row]) -> Iterator[tuple[str, str, bool]]:
    yield "intervals", f"95 %, for one value at a time, not paired. {_intervals(rows)}", True
    yield "bold", "The best mean of its dim. Where intervals overlap, the order may be chance.", bool(best(rows))
    yield "costs", "Bytes of one stored vector; multiply-adds for one query or pair, without the encoder's.", True
    yield "paper", "Matryoshka Representation Learning, arXiv 2205.13147.", True


def _intervals(rows: Sequence[Row]) -> str:
    """Which kind of interval belongs to which measures."""
    kinds: dict[str, list[str]] = {}
    order = measures(rows)
    for row in sorted(rows, key=lambda row: order.index(row.measure)):
        kinds.setdefault(row.interval, []).append(row.measure)
    told = (f"{INTERVALS.get(kind, kind)}: {', '.join(dict.fromkeys(names))}." for kind, names in kinds.items())
    return printable(" ".join(told))
