"""What verbs that read images or texts share: the options that say which, and what is said about them."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mrl.cli.settings import Chosen
from mrl.errors import InputError
from mrl.training.opening import Opening, Rows, TextOpening

if TYPE_CHECKING:
    from mrl.training import ImageData, Stream, TextData

DATA = (
    "Images: a folder with one sub-folder a class, or an .npz; images or texts: a .parquet, .csv or .jsonl file, a "
    "quoted pattern of such files, or a data set's name"
)
SIZES = range(4, 4097)  # pixels of a side
TABLES = "Rows of tables"  # heading of the options of `Rows`
COLUMNS = {
    "image": "image_column",
    "text": "text_column",
    "label": "label_column",
    "score": "score_column",
    "id": "id_column",
}


def rows(chosen: Chosen) -> Rows:
    """Which rows and columns were asked for; classes are named in a file, one a line."""
    values = chosen.of(Rows, COLUMNS)
    if "count" in chosen.given and not values["stream"]:
        raise InputError("--count is the length of a stream; give --stream too, or leave --count out")
    texts = tuple(name.strip() for name in values["text"].split(",")) if values["text"] else ()
    return Rows(**{**values, "text": texts, "classes": class_names(values["classes"])})


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


def read(source: str, how: Opening | TextOpening) -> Any:
    """Open data and say on stderr what they are."""
    from mrl.training import open_data, open_texts

    data: Any = open_texts(source, how) if isinstance(how, TextOpening) else open_data(source, how)
    tell(source, data)
    return data


def tell(source: str | Path, data: ImageData | Stream | TextData) -> None:
    """Say on stderr what was read, and what was left out."""
    from mrl.training import ImageData, TextData

    if isinstance(data, TextData):
        classes = f", {len(data.classes)} classes" if data.classes else ""
        scores = "" if data.scores is None else f", scores from {data.scores.min():g} to {data.scores.max():g}"
        say(f"{source}: {len(data)} rows of texts ({', '.join(data.columns)}){classes}{scores}")
    else:
        count = f"{len(data)} images" if isinstance(data, ImageData) else "a stream of images"
        say(f"{source}: {count}, {len(data.classes)} classes, {' x '.join(map(str, data.shape))}")
    if data.skipped:
        what = "rows with an empty text" if isinstance(data, TextData) else "files that cannot be decoded"
        say(f"skipped {len(data.skipped)} {what}: {some(data.skipped)}")


def tell_cut(encoder: Any, before: int = 0) -> None:
    """Say on stderr how many texts were cut, of an encoder that cuts any."""
    cut = getattr(encoder, "cut_texts", 0) - before
    if cut:
        say(f"{cut} texts were longer than {encoder.max_length} tokens and were cut to these")


def tell_unknown(data: ImageData | Stream | TextData) -> None:
    """Say on stderr which classes a run does not know."""
    if data.unknown:
        say(f"{len(data.unknown)} classes that the run does not know: {some(data.unknown)}")


def some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
