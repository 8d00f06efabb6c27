"""What a fit found, in plain words: accuracies in percent, and what is lost of them in points."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mrl.promise import Estimate, Promise

BETTING = "95 %; betting, sure at any number of rows"  # the interval of a loss
BY = {
    "probability": "its largest probability",
    "margin": "the lead of its largest probability over the second",
    "entropy": "the entropy of its probabilities",
    "agreement": "its largest probability where the level before agrees",
    "gain": "what the full width is expected to gain",
}


def sentences(found: Mapping[str, Any], promise: Promise | None) -> Iterator[str]:
    """A record (see `recording.record`) in plain words."""
    yield _how(found)
    yield from _target(found)
    which = "that had no part in the choice" if found["policy"] != "greedy" else "that it was fitted on"
    yield f"On {rows(found['measured'])} {which} it uses {_dims(found)}."
    mine, full = (percent(found[name]["mean"]) for name in ("accuracy", "full"))
    lost = Estimate(**found["lost"])
    yield f"It is right in {mine} of them, and the full width in {full}: {lost_of(lost)}."
    oracle = found["oracle"]
    yield (
        f"An oracle that stops at the narrowest level that is right would reach {percent(oracle['accuracy'])} at "
        f"{oracle['last']:.1f} dims, with the full width for rows that no level has right."
    )
    if promise is not None:
        yield promised(promise)
        yield from beyond(promise.lost, promise.tolerance)
    yield from (f"{note[0].upper()}{note[1:]}." for note in found["notes"])


def promised(promise: Promise) -> str:
    """A cascade's promise, its losses in points."""
    queries, sure = promise.queries, f"{100 * promise.confidence:g} %"
    others = f"{queries.calibrate:,} others"
    given = f"{others} gave the promise"
    if promise.calibrated is not None:
        given = f"on the {others}, which gave the promise, {100 * promise.calibrated:.2f}"
    return (
        f"With {sure} confidence, {promise.subject} loses at most {points(promise.tolerance)} of {promise.measure} on "
        f"average against the full width. On {rows(queries.report)} that had no part in the choice "
        f"{lost_of(promise.lost, '')}; {given}. It holds for rows like those of {promise.data} ({promise.rows:,})."
    )


def beyond(lost: Estimate, tolerance: float, test: str = "mrl recheck tests it on new labelled rows") -> Iterator[str]:
    """What is to be said where more is lost than was promised. lost: with its 95 % interval. test: who tells."""
    if lost.mean <= tolerance:
        return
    most = f"{100 * lost.mean:.2f} points are lost here, more than the {100 * tolerance:g} promised"
    if lost.low > tolerance:
        yield f"{most} and, with 95 % confidence, not by chance: the promise is broken for rows like these; {test}."
    else:
        yield f"{most}; by chance that may be, as the promise is of the mean of all such rows; {test}."


def points(share: float) -> str:
    """`0.5 points`, `1 point`."""
    return f"{100 * share:g} point{'s' * (100 * share != 1)}"


def lost_of(lost: Estimate, method: str = f" ({BETTING})") -> str:
    """`0.77 points are lost [0.10, 1.20] (95 %; …)`."""
    return f"{100 * lost.mean:.2f} points are lost [{100 * lost.low:.2f}, {100 * lost.high:.2f}]{method}"


def percent(share: float) -> str:
    """`81.23 %`."""
    return f"{100 * share:.2f} %"


def rows(count: int) -> str:
    """`1 row`, `1,000 rows`."""
    return f"{count:,} row{'s' * (count != 1)}"


def part_of_width(share: float) -> str:
    """A share of the full width: `1/9.6 of the width`."""
    if share >= 1:
        return "all of the width"
    return f"1/{1 / share:.1f} of the width" if share < 1 / 1.05 else "nearly all of the width"


def _dims(found: Mapping[str, Any]) -> str:
    """What a row costs, told both ways."""
    width, last, read = found["width"], found["last"], found["read"]
    said = (
        f"{last:.1f} of {width:,} dims on average by the last dim used ({part_of_width(last / width)}), and {read:.1f} "
        "when every dim read counts"
    )
    return said + (", so that reading the full width alone would cost less" if read > width else "")


def _how(found: Mapping[str, Any]) -> str:
    """What was chosen."""
    if found["policy"] == "lossless":
        return "A row stops as soon as nothing in the remaining dims can change its answer."
    if found["policy"] == "greedy":
        return "A row stops by its largest probability; each threshold was chosen against the next level alone."
    said = f"A row stops by {BY[found['score']]}"
    tried = {name: dims for name, dims in found["scores"].items() if dims is not None}
    if len(found["scores"]) > 1 and found["score"] in tried:
        dims = ", ".join(f"{name} {each:.1f}" for name, each in tried.items())
        where = "the tune part" if found["policy"] == "promise" else "the rows that chose"
        said += f", which needed the least dims on {where} ({dims})"
    return f"{said}."


def _target(found: Mapping[str, Any]) -> Iterator[str]:
    """What the policy `target` was asked for, and what the rows that chose say of it."""
    if found["policy"] != "target":
        return
    terms, reached = found["terms"], found["reached"]
    asked = f"The target is an accuracy of {percent(terms['target'])}" if terms["target"] is not None else ""
    asked = asked or f"It is to lose at most {points(terms['tolerance'])} against the full width"
    count = found["parts"]["tune"] + found["parts"]["calibrate"]
    both = f"{percent(reached['accuracy'])}, and the full width {percent(reached['full'])}"
    yield f"{asked}, and the {rows(count)} that chose reach {both}; that is no promise."
