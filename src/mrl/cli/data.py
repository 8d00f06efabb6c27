"""What verbs that read images share: the options that say which, and what is said about them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mrl.cli.settings import Chosen
from mrl.errors import InputError
from mrl.training.opening import Opening, Rows

if TYPE_CHECKING:
    from mrl.training import ImageData, Stream

DATA = (
    "A folder with one sub-folder of images a class, an .npz, .parquet, .csv or .jsonl file, a quoted pattern of such "
    "files, or a data set's name"
)
SIZES = range(4, 4097)  # pixels of a side
COLUMNS = {"image": "image_column", "label": "label_column", "id": "id_column"}


def rows(chosen: Chosen) -> Rows:
    """Which rows and columns were asked for; classes are named in a file, one a line."""
    values = chosen.of(Rows, COLUMNS)
    classes = values["classes"]
    names = Path(classes).read_text(encoding="utf-8").splitlines() if classes else ()
    return Rows(**{**values, "classes": tuple(name for name in names if name.strip())})


def parse_size(text: str | None) -> tuple[int, int] | None:
    """`64x48` as (64, 48): height, then width."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d+) ?x ?(\d+)", text.strip())
    if not found:
        raise InputError(f"cannot read a size from {text!r}; write height x width, as 64x48")
    height, width = int(found[1]), int(found[2])
    if height not in SIZES or width not in SIZES:
        raise InputError(
            f"images have {SIZES.start} to {SIZES.stop - 1} pixels a side, got {text}; choose another size"
        )
    return height, width


def read(source: str, how: Opening) -> Any:
    """Open data and say on stderr what they are."""
    from mrl.training import open_data

    data = open_data(source, how)
    tell(source, data)
    return data


def tell(source: str | Path, data: ImageData | Stream) -> None:
    """Say on stderr what was read, and what was left out."""
    from mrl.training import ImageData

    count = f"{len(data)} images" if isinstance(data, ImageData) else "a stream of images"
    typer.echo(f"{source}: {count}, {len(data.classes)} classes, {' x '.join(map(str, data.shape))}", err=True)
    if data.skipped:
        typer.echo(f"skipped {len(data.skipped)} files that cannot be decoded: {some(data.skipped)}", err=True)


def tell_unknown(data: ImageData | Stream) -> None:
    """Say on stderr which classes a run does not know."""
    if data.unknown:
        typer.echo(f"{len(data.unknown)} classes that the run does not know: {some(data.unknown)}", err=True)


def some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
