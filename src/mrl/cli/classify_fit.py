"""`mrl classify fit`: a cascade, from a classifier and labelled rows that it was not trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import numpy.typing as npt
import typer

from mrl.classify.terms import Terms
from mrl.cli.classified import NAMES, Turning, without
from mrl.cli.classify_paths import check_new
from mrl.cli.classify_sides import By, Read
from mrl.cli.classify_stages import stages
from mrl.cli.classify_terms import check_read
from mrl.cli.settings import Chosen, settings
from mrl.cli.vectors import TRAINED, VECTORS, Reading, check_unsaid, said
from mrl.errors import CardError, NestingError
from mrl.nesting import Nesting
from mrl.vectors import Described, Held, is_table

if TYPE_CHECKING:
    from mrl.classify import Cascade, Prototypes

    Told = Callable[[str], object]


@settings(
    ("Classifier", By, {}),
    ("Terms", Terms, {}),
    ("Vectors", Turning, NAMES),
    ("Beside the vectors", Reading, {}),
    ("A file", Described, TRAINED),
)
def fit(
    rows: Annotated[
        Path, typer.Argument(metavar="ROWS", help=f"Labelled rows that the classifier was not trained on. {VECTORS}.")
    ],
    out: Annotated[Path, typer.Option(help="The cascade's folder; it must not exist yet.")],
    *,
    chosen: Chosen,
) -> None:
    """Fit a cascade: when narrow prefixes are sure enough to stop; prints its path.

    Some of the rows tune the thresholds, others test what is promised, and the rest give the figures that are shown.
    The promise is that at most --tolerance of the full width's accuracy is lost, with --confidence. With --policy
    target and no --target as much seems to be kept, for fewer dims, and nothing is promised.
    """
    check_new(out, "--out", folder=True)
    by = By(**chosen.of(By))
    check_read(chosen)
    terms = Terms(**chosen.of(Terms))
    read = Read(Turning(**chosen.of(Turning, NAMES)).map(), chosen)
    made = _by_prototypes if by.head is None else _by_head
    with stages("reading") as told:
        cascade = made(by, read, rows, terms, told)
    for line in cascade.record["sentences"]:
        said(line)
    typer.echo(cascade.save(out))


def _by_head(by: By, read: Read, rows: Path, terms: Terms, told: Told) -> Cascade:
    from mrl.classify.fitting import fit as fitted
    from mrl.heads import HeadWeights

    where = by.head or Path()
    head = HeadWeights.load(where, best=by.best)
    held = read.rows(rows)
    _check_map(where, held)
    return fitted(head, held, terms, told)


def _check_map(where: Path, rows: Held) -> None:
    """CardError for a map's head and rows that did not go through the map."""
    from mrl.heads import IN_MAP

    if not (where / IN_MAP).is_file():
        return
    from mrl.adapt import Map

    found = Map.load(where)
    if str(found) not in rows.card.maps:
        through = ", ".join(rows.card.maps) or "no map"
        raise CardError(
            f"the head of {where} classifies what went through {found}, and {rows.path} went through {through}; let "
            f"them go through it with --map {where}, or give the head of their own map"
        )


def _by_prototypes(by: By, read: Read, rows: Path, terms: Terms, told: Told) -> Cascade:
    """Rows that are prototypes, or copies of one, are left out, now and whenever the cascade is measured."""
    from mrl.classify.fitting import fit as fitted
    from mrl.evaluation.numbering import check_alike
    from mrl.vectors.copies import digests

    known, held = _alike(read.prototypes(by.prototypes or Path(), by), read.rows(rows))
    check_alike(held, known)
    own, classifier = digests(known.vectors), _classifier(by, known, terms)
    held = without(held, np.isin(digests(held.vectors), own), f"{known.path} has, too")
    made = fitted(classifier, held, terms, told)
    return replace(made, known=np.union1d(made.known, own))


def _alike(known: Held, rows: Held) -> tuple[Held, Held]:
    """Both under one card: a file, which says nothing of itself, is taken for the table's model's beside it."""
    if is_table(rows.path) and not is_table(known.path):
        known = _as(known, rows)
    elif is_table(known.path) and not is_table(rows.path):
        rows = _as(rows, known)
    known.card.check_fits(rows.card, (str(known.path), str(rows.path)))
    return known, rows


def _as(file: Held, table: Held) -> Held:
    """Rows of a file under a table's card."""
    if not file.card.maps:  # else it went through --map, as the table did
        check_unsaid(file.path, table.card, str(table.path))
    return file.turned(file.vectors, table.card)


def _classifier(by: By, known: Held, terms: Terms) -> Prototypes:
    from mrl.classify import Prototypes

    labels, names = _numbered(known)
    nesting, width = known.card.nesting, known.card.width
    if len(nesting) == 1:  # nothing says what was trained
        nesting = terms.nesting(nesting)
    if len(nesting) == 1:
        ladder = Nesting.halving(width, max(width // 8, 1))
        raise NestingError(f"{known.path} does not say which dims were trained; name levels with --dims, as {ladder}")
    about: Any = {"metric": known.card.metric, "classes": names, "fingerprint": known.card.fingerprint}
    if by.nearest:
        return Prototypes(nesting, known.vectors, labels, **about)
    return Prototypes.means(known.vectors, labels, nesting, **about)


def _numbered(known: Held) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """Labels and names of the classes that have rows."""
    labels = known.need_labels()
    if not known.label_names:
        return labels, ()
    there, numbers = np.unique(labels, return_inverse=True)
    return numbers.astype(np.int64), tuple(known.label_names[label] for label in there)
