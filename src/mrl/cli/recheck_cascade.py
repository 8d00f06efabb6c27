"""What new labelled rows say of a cascade's promise, in points, as everything else that is said of cascades."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mrl.promise import Recheck


def sentence(found: Recheck) -> str:
    """The verdict, and what it rests on; intervals are told with their method."""
    from mrl.classify.sentences import lost_of, points

    new = f"Over {found.queries:,} new row{'s' * (found.queries != 1)} {lost_of(found.lost)}"
    were = "was" if found.tolerance == 0.01 else "were"
    told = f"{new}, and at most {points(found.tolerance)} {were} promised: {_verdict(found)}."
    if found.drop is None or found.alarm is None or found.verdict == "broken" or found.queries >= found.alarm:
        return told
    return (
        f"{told} About {found.alarm:,} rows would raise an alarm for a drop of {points(found.drop)} in nine of ten "
        "cases."
    )


def _verdict(found: Recheck) -> str:
    sure = f"with {100 * found.confidence:g} % confidence"
    if found.verdict != "unsure":
        return f"the promise is {found.verdict}, {sure}"
    more = "no number of them would tell" if found.enough is None else f"about {found.enough:,} would do"
    return f"not enough rows to tell {sure}; {more}"
