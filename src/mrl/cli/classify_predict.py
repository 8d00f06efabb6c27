"""`mrl classify predict`: answers for vectors of any number, in a stream."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import numpy.typing as npt
import typer

from mrl.cli.classified import NAMES, Turning, answered, loaded, opened
from mrl.cli.classify_paths import check_new
from mrl.cli.classify_stages import later
from mrl.cli.contents import many
from mrl.cli.progress import bar
from mrl.cli.settings import Chosen, settings
from mrl.cli.vectors import VECTORS, Reading, said
from mrl.errors import InputError
from mrl.options import option
from mrl.vectors import Drop

if TYPE_CHECKING:
    from mrl.classify import Answers, Cascade

    Batch = tuple[npt.NDArray[Any], Answers]  # ids, and what was answered

DIGITS = 6  # of a confidence in JSON; float32 has no more to say


@dataclass(frozen=True)
class Beside:
    """What of a file is read with its vectors, and what is in other files."""

    ids: Path | None = option(
        None, "Ids of the vectors: an .npy, a column id, or a text with one a line. Without them rows are numbered."
    )
    key: str | None = option(None, "Which array or column has the vectors, if it is not called vectors or embeddings.")
    drop_bad: Drop = option(
        "no", "Rows that are left out and named: no, none; yes, those with a NaN or an Inf; zero, zero vectors too."
    )


@settings(("Vectors", Turning, NAMES), ("Beside the vectors", Beside, {}))
def predict(
    where: Annotated[Path, typer.Argument(metavar="CASCADE", help="The folder that `mrl classify fit` made.")],
    vectors: Annotated[Path, typer.Argument(metavar="VECTORS", help=f"{VECTORS}.")],
    out: Annotated[Path | None, typer.Option(help="Write here, .jsonl or .parquet, not to stdout.")] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say on stderr how many rows stopped at each level, and how sure.")
    ] = False,
    *,
    chosen: Chosen,
) -> None:
    """Classify vectors of any number, in a stream; prints a JSON line for each: id, label, dim, confidence.

    label is the class's name, where it has one; dim the last one that was looked at; confidence the calibrated
    probability of the label there. What it cost is said on stderr.
    """
    _check_out(out)
    cascade, by = loaded(where), Turning(**chosen.of(Turning, NAMES)).map()
    source = opened(cascade, vectors, Reading(**chosen.of(Beside)), by)
    tally = Tally(cascade)
    quiet = out is None and sys.stdout.isatty()  # the answers show how far it is
    with bar(shown=not quiet) as told, later(f"classifying {many(len(source))}", shown=not quiet):
        _write(tally.counted(answered(cascade, source, by), lambda done: told("rows", done, len(source))), out)
    said(tally.sentence)
    for line in tally.lines() if explain else ():
        said(line)
    if out is not None:
        typer.echo(out)


def _check_out(out: Path | None) -> None:
    """Raise, before anything is read, unless answers can be written there."""
    if out is not None and out.suffix not in (".jsonl", ".parquet"):
        raise InputError(f"answers are written as .jsonl or .parquet, got {out.suffix or 'no ending'} in {out}")
    if out is not None:
        check_new(out, "--out")


class Tally:
    """What the answers of a cascade cost, added up over batches."""

    def __init__(self, cascade: Cascade) -> None:
        from mrl.classify.answers import last_dims

        self._last = self._read = last_dims(cascade.dims)
        self._rows = np.zeros(len(cascade.dims), np.int64)
        self._sure = np.zeros(len(cascade.dims))

    def counted(self, batches: Iterable[Batch], done: Callable[[int], object]) -> Iterator[Batch]:
        """The batches, as they come; done: is told how many rows were dealt with."""
        from mrl.classify.answers import read_dims

        for ids, answers in batches:
            self._read = read_dims(answers.dims, answers.tied, answers.looked)
            self._rows += np.bincount(answers.levels, minlength=len(self._rows))
            self._sure += np.bincount(answers.levels, answers.confidence, len(self._sure))
            yield ids, answers
            done(self.rows)

    @property
    def rows(self) -> int:
        return int(self._rows.sum())

    @property
    def sentence(self) -> str:
        """What one row cost on average, and how many stopped at each level."""
        shares = self._rows / self.rows
        stopped = ", ".join(f"{dim}: {100 * share:.1f} %" for dim, share in zip(self._last, shares, strict=True))
        return (
            f"{many(self.rows)}: the last dim used is {shares @ self._last:,.1f} of {self._last[-1]:,} on average, and "
            f"{shares @ self._read:,.1f} were read; stopped at {stopped}"
        )

    def lines(self) -> Iterator[str]:
        """A table of the levels."""
        yield f"{'dim':>8} {'dims read':>10} {'rows':>12} {'share':>8} {'confidence':>11}"
        for dim, read, rows, sure in zip(self._last, self._read, self._rows, self._sure, strict=True):
            mean = f"{sure / rows:.3f}" if rows else "-"
            yield f"{dim:8,} {read:10,} {rows:12,} {100 * rows / self.rows:6.1f} % {mean:>11}"


def _write(batches: Iterable[Batch], out: Path | None) -> None:
    """Write whole or not at all, or print as they come."""
    from mrl.disk import write

    if out is None:
        for batch in batches:
            typer.echo("\n".join(_lines(batch)))
    elif out.suffix == ".jsonl":
        write(out, lambda file: _as_lines(file, batches))
    else:
        write(out, lambda file: _as_parquet(file, batches))


def _lines(batch: Batch) -> Iterator[str]:
    """One JSON object a row."""
    ids, answers = batch
    names = map(str if ids.dtype.kind in "iu" else json.dumps, ids.tolist())
    labels = {label: _middle(answers, label) for label in np.unique(answers.labels).tolist()}
    columns = (answers.labels.tolist(), answers.last.tolist(), answers.confidence.tolist())
    for name, label, dim, sure in zip(names, *columns, strict=True):
        yield f'{{"id": {name}{labels[label]}{dim}, "confidence": {round(sure, DIGITS)!r}}}'


def _middle(answers: Answers, label: int) -> str:
    """What all rows of a label have in common."""
    return f', "label": {json.dumps(answers.classes[label] if answers.classes else label)}, "dim": '


def _as_lines(file: Any, batches: Iterable[Batch]) -> None:
    for batch in batches:
        file.write("\n".join([*_lines(batch), ""]).encode())


def _as_parquet(file: Any, batches: Iterable[Batch]) -> None:
    import pyarrow
    from pyarrow import parquet

    writer = None
    for ids, answers in batches:
        columns = {"id": ids, "label": answers.names, "dim": answers.last, "confidence": answers.confidence}
        table = pyarrow.table({name: pyarrow.array(values) for name, values in columns.items()})
        writer = writer or parquet.ParquetWriter(file, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()
