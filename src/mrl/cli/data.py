"""What verbs that read images share: the options that say which, and what is said about them."""

from __future__ import annotations

import os
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
TABLES = "Images in tables"  # heading of the options of `Rows`
COLUMNS = {"image": "image_column", "label": "label_column", "id": "id_column"}


def rows(chosen: Chosen) -> Rows:
    """Which rows and columns were asked for; classes are named in a file, one a line."""
    values = chosen.of(Rows, COLUMNS)
    if "count" in chosen.given and not values["stream"]:
        raise InputError("--count is the length of a stream; give --stream too, or leave --count out")
    return Rows(**{**values, "classes": class_names(values["classes"])})


def class_names(path: str) -> tuple[str, ...]:
    """The names in a file, one a line, by label; () for no file."""
    names = tuple(Path(path).read_text(encoding="utf-8").rstrip("\n").split("\n")) if path else ()
    blank = next((number for number, name in enumerate(names, 1) if not name.strip()), None)
    if blank is not None:
        raise InputError(f"{path}:{blank} has no name; each line names the class of the label that it is")
    return names


def main_process() -> bool:
    """Whether this is the process of a team that speaks; a single one is."""
    return os.environ.get("RANK", "0") == "0"


def say(text: str) -> None:
    """A line on stderr."""
    if main_process():
        typer.echo(text, err=True)


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
    say(f"{source}: {count}, {len(data.classes)} classes, {' x '.join(map(str, data.shape))}")
    if data.skipped:
        say(f"skipped {len(data.skipped)} files that cannot be decoded: {some(data.skipped)}")


def tell_unknown(data: ImageData | Stream) -> None:
    """Say on stderr which classes a run does not know."""
    if data.unknown:
        say(f"{len(data.unknown)} classes that the run does not know: {some(data.unknown)}")


def some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
