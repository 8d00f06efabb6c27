"""The commands at the foot of a cascade's page, complete."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote

from mrl.classify.cascade import Cascade
from mrl.report.markup import Markup, tag
from mrl.report.series import printable

FOLDER, MAP = "CASCADE", "MAP"  # where nobody said which one


def commands(cascade: Cascade, where: str = FOLDER, by: str = "") -> Iterator[Markup]:
    """where: the cascade's folder. by: that of the map that vectors go through first; "": it is left to be named."""
    maps, folder = cascade.card.maps, quote(where)
    first = f" --map {quote(by or MAP)}" if maps else ""
    if maps:
        through, folder_of = ", ".join(map(printable, maps)), printable(by or MAP)
        said = f"{folder_of} is the folder of the map {through}; a table that went through it needs no --map."
        yield tag("p", said, class_="how")
    yield from _command("", f"mrl classify predict {folder} VECTORS{first}")
    yield from _command("From Python.", _python(where, by, mapped=bool(maps)))
    if cascade.promise is not None:
        asked = f"mrl recheck {folder} NEW_ROWS --labels NEW_LABELS{first}"
        yield from _command("Does the promise still hold? New labelled rows tell.", asked)


def _python(where: str, by: str, *, mapped: bool) -> str:
    lines = ["from mrl.classify import Cascade", f"Cascade.load({where!r}).predict(vectors).labels"]
    if mapped:
        lines = ["from mrl import Map", lines[0], f"vectors = Map.load({by or MAP!r}).apply(vectors)", lines[1]]
    return "\n".join(lines)


def _command(said: str, text: str) -> Iterator[Markup]:
    if said:
        yield tag("p", said, class_="how")
    yield tag("pre", tag("code", text), tabindex="0")
