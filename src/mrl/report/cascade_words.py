"""The words of a cascade's page, and what they mean for this one."""

from __future__ import annotations

from collections.abc import Iterator

from mrl.classify.cascade import Cascade
from mrl.classify.measured import Measured
from mrl.classify.prototypes import Prototypes
from mrl.classify.sentences import BETTING
from mrl.report.cascade_table import percent


def narrowed(cascade: Cascade) -> bool:
    """Whether only some of the classes, or prototypes, go on from the first level."""
    return cascade.keep is not None and cascade.keep < cascade.levels.prototypes


def classifier_of(cascade: Cascade) -> str:
    """What classifies, in a few words."""
    known = cascade.classifier
    if not isinstance(known, Prototypes):
        return "one classifier for all levels" if cascade.tied else "a classifier for each level"
    if len(known.vectors) == known.count:
        return "the class of the nearest mean"
    return f"the class of the nearest of {len(known.vectors):,} prototypes (1-NN)"


def words(measured: Measured, cascade: Cascade) -> Iterator[tuple[str, str]]:
    """(term, what it means)."""
    yield "rows", f"{measured.count:,} that had no part in the fit, the same for every figure here."
    yield "expected dims", "The mean over rows of the last dim used; all dims multiplied are told beside it."
    yield "full width", _full(measured, cascade)
    yield "lost", f"Accuracy of the full width less that of the cascade, of the same rows; intervals of {BETTING}."
    yield "right", "Shares of rows; intervals of 95 %, by Wilson's score."
    yield (
        "confidence off by",
        "Expected calibration error: mean |confidence − share right| of 15 groups of as many rows.",
    )
    yield (
        "oracle",
        "The narrowest level that is right; rows that no level has right count at the last one, as in the paper.",
    )
    vote = f"{percent(measured.vote.mean)} [{100 * measured.vote.low:.2f}, {100 * measured.vote.high:.2f}]"
    yield "vote", f"The answer of most levels, the widest's where they tie, is right in {vote}."
    if narrowed(cascade):
        yield "keep", _keep(measured, cascade)
    yield "paper", "Matryoshka Representation Learning, arXiv 2205.13147 §4.2.1."


def _full(measured: Measured, cascade: Cascade) -> str:
    width = f"{measured.cost.width:,} dims"
    if narrowed(cascade):
        return (
            f"{width} and every {_what(cascade)}, asked about every row; the last level has only those that are kept."
        )
    return f"The last level, {width}, asked about every row."


def _keep(measured: Measured, cascade: Cascade) -> str:
    """What the levels are of where only the best of the first one go on."""
    few = f"Only the best {cascade.keep:,} {_what(cascade, cascade.keep or 0)} of the first level go on"
    said = f"{few}: the levels, the oracle and the vote are of these, and later levels multiply no others."
    return said + (" The greedy thresholds are without that." if measured.greedy is not None else "")


def _what(cascade: Cascade, count: int = 1) -> str:
    several = count != 1
    if isinstance(cascade.classifier, Prototypes):
        return "prototypes" if several else "prototype"
    return "classes" if several else "class"
