"""Groups of rows and of classes, from files: slices and superclasses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mrl.cli.columns import Payload
from mrl.cli.contents import many
from mrl.errors import InputError
from mrl.vectors.beside import ENDINGS, read_columns

if TYPE_CHECKING:
    from mrl.classify import Classifier
    from mrl.cli.classified import Asked

NEEDED = ("class", "superclass")


def slices_of(path: Path, rows: Asked) -> dict[str, list[Any]]:
    """The columns of a file, for the rows that are measured: in the file's order, or joined on its column id."""
    _check_ending(path, "slices are")
    columns = Payload(path)
    if not columns.joined and columns.rows != rows.total:
        raise InputError(
            f"{path} has {many(columns.rows)} and {rows.held.path} {rows.total:,}; give one for each, or a column id"
        )
    found = columns.of(rows.held.ids, 0, rows.total)
    if not columns.joined:  # in the order of the file, whatever was left out of that
        found = found.take(rows.kept)
    return {name: found.column(name).to_pylist() for name in found.column_names}


def superclasses_of(path: Path, classifier: Classifier) -> tuple[str, ...]:
    """The superclass of each class of a classifier, in its order; classes without names are called by number."""
    _check_ending(path, "superclasses are")
    columns = read_columns(path, NEEDED)
    for name in NEEDED:
        if name not in columns.column_names:
            raise InputError(f"{path} has no column {name}; it has {', '.join(columns.column_names)}: rename one")
    names, kinds = (["" if cell is None else str(cell) for cell in columns.column(name).to_pylist()] for name in NEEDED)
    of = dict(zip(names, kinds, strict=True))
    if len(of) < len(names):
        twice = next(name for place, name in enumerate(names) if name in names[:place])
        raise InputError(f"class {twice!r} occurs twice in {path}; keep one row of each class")
    classes = classifier.classes or tuple(map(str, range(classifier.count)))
    gone = [name for name in classes if name not in of]
    if gone:
        many_such = f"{len(gone)} such class{'es' * (len(gone) != 1)}"
        raise InputError(f"{path} has no superclass for class {gone[0]!r} ({many_such}); name them all")
    return tuple(of[name] for name in classes)


def _check_ending(path: Path, what: str) -> None:
    if path.suffix not in ENDINGS:
        raise InputError(f"{what} read from {', '.join(ENDINGS)}, got {path}; write it as one of these")
