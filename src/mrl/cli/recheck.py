"""`mrl recheck`: does the promise of an index's plan, or of a cascade, still hold?"""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mrl.cli.classified import NAMES, Turning, asked, is_cascade
from mrl.cli.classify_stages import stages
from mrl.cli.contents import many
from mrl.cli.indexed import is_index
from mrl.cli.recheck_cascade import sentence as cascade_sentence
from mrl.cli.recheck_index import Told, of_index
from mrl.cli.settings import Chosen, settings
from mrl.cli.sides import Asking
from mrl.cli.vectors import VECTORS, Reading, said
from mrl.errors import InputError

if TYPE_CHECKING:
    from mrl.promise import Recheck


WHERE = "The folder of an index that `mrl plan` has planned, or of a cascade that `mrl classify fit` made."
NEW = f"New queries, which had no part in the plan; or labelled rows that the cascade has not seen. {VECTORS}."


@settings(("Queries of an index", Asking, {}), ("Rows for a cascade", Turning, NAMES), ("Beside them", Reading, {}))
def recheck(
    where: Annotated[Path, typer.Argument(metavar="INDEX|CASCADE", help=WHERE)],
    new: Annotated[Path, typer.Argument(metavar="QUERIES|ROWS", help=NEW)],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, for machines.")] = False,
    *,
    chosen: Chosen,
) -> None:
    """Ask new queries, or labelled rows, whether a promise still holds; exit code 1 if it is broken.

    Queries are searched by the plan that was picked, and exactly; rows are classified by the cascade, and at full
    width. Prints what they say in a sentence: the promise is kept, or broken, or how many more would tell.
    """
    cascade = is_cascade(where)
    if not cascade and not is_index(where):
        raise InputError(
            f"{where} is neither an index nor a cascade; give the folder that mrl plan or mrl classify fit made"
        )
    _refuse(where, chosen, cascade=cascade)
    told = _of_cascade(where, new, chosen) if cascade else of_index(where, new, Asking(**chosen.of(Asking)))
    for note in (*told.notes, *(told.stale if as_json else ())):
        said(note)
    found = cascade_sentence(told.found) if cascade else _sentence(told.found, told.stale)
    typer.echo(json.dumps(told.found.to_json()) if as_json else found)
    if told.found.verdict == "broken":
        raise typer.Exit(1)


def _of_cascade(where: Path, rows: Path, chosen: Chosen) -> Told:
    """Rows are classified by the cascade, and at full width."""
    from mrl.classify import Cascade
    from mrl.classify.rechecking import rechecked
    from mrl.classify.unseen import unseen

    cascade, by = Cascade.load(where), Turning(**chosen.of(Turning, NAMES)).map()
    if cascade.promise is None:
        raise InputError(
            f"nothing is promised of {where}, so there is nothing to re-check; fit it with --policy promise, or "
            "measure it with mrl classify evaluate"
        )
    with stages(f"reading {rows}") as told:
        new = unseen(cascade, asked(cascade, rows, Reading(**chosen.of(Reading)), by).held)
        told(f"classifying {many(len(new))}, at full width too")
        return Told(rechecked(cascade, new), new.notes)


def _refuse(where: Path, chosen: Chosen, *, cascade: bool) -> None:
    """InputError for options that belong to the other kind of folder."""
    kinds, mine, other = (
        ((Asking,), "a cascade", "an index") if cascade else ((Turning, Reading), "an index", "a cascade")
    )
    names = {NAMES.get(field.name, field.name) for kind in kinds for field in fields(kind)}
    if given := sorted(f"--{name.replace('_', '-')}" for name in names & chosen.given):
        raise InputError(f"{where} is {mine}, and {_speak(given)} of {other}; leave {_it(given)} out")


def _speak(given: list[str]) -> str:
    return f"{given[0]} speaks" if len(given) == 1 else f"{', '.join(given)} speak"


def _it(given: list[str]) -> str:
    return "it" if len(given) == 1 else "them"


def _sentence(found: Recheck, stale: tuple[str, ...]) -> str:
    """The verdict; it is of queries alone, and what changed in the rows since is another matter."""
    return " ".join([found.sentence, *(f"But {note}" for note in stale)])
