"""`mrl inspect`: what vectors are, and how far they can be cut."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mrl.cli.progress import bar
from mrl.cli.settings import Chosen, settings
from mrl.cli.sides import Asking, judged, sides
from mrl.cli.vectors import TRAINED, Reading
from mrl.nesting import Nesting
from mrl.options import option
from mrl.vectors.described import Described

if TYPE_CHECKING:
    from rich.table import Table

    from mrl.advise.facts import Facts
    from mrl.advise.inspect import Inspection
    from mrl.advise.look import Look


@dataclass(frozen=True)
class Beside:
    """What of a file is read with its vectors, and what is in other files; bad rows are left out in any case."""

    ids: Path | None = option(None, "Ids of the vectors: an .npy, a column id, or a text with one a line.")
    labels: Path | None = option(
        None, "Labels of the vectors, for 1-NN: an .npy, a column label, or a text with one a line."
    )
    key: str | None = option(None, "The array or column of the vectors, where a file has several.")


@dataclass(frozen=True)
class Sampled:
    """How much of it is looked at."""

    dims: str | None = option(
        None, "What to measure, as 8,16,32; without it the width halved down to 8, and trained dims."
    )
    k: int = option(10, "How many neighbours count.")
    rows: int = option(100_000, "At most so many rows are compared, drawn at random.")
    asked: int = option(1_000, "At most so many queries ask, drawn at random.")
    seed: int = option(0, "Which rows are drawn.")

    def look(self) -> Look:
        from mrl.advise.look import Look

        dims = None if self.dims is None else Nesting.parse(self.dims)
        return Look(dims=dims, k=self.k, rows=self.rows, queries=self.asked, seed=self.seed)


@settings(
    ("Queries", Asking, {}),
    ("Sample", Sampled, {}),
    ("Beside the vectors", Beside, {}),
    ("A file", Described, TRAINED),
)
def inspect(
    vectors: Annotated[Path, typer.Argument(help="A table's folder, or a file of vectors of any format.")],
    queries: Annotated[
        Path | None, typer.Option(help="Vectors that ask. Without them some rows do, and are not searched.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="A new folder for the report: report.html, figures, rows.jsonl, facts.json.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object with facts, findings and rows, not the rows alone.")
    ] = False,
    *,
    chosen: Chosen,
) -> None:
    """Say what vectors are, whether they look trained to nest, and what every prefix keeps.

    Plain and after PCA, stored as float32, float16, int12, int8 and one bit. Damaged rows are counted, named and left
    out. Prints one JSON line per measure, version and dim; with --out the report's path.
    """
    from mrl.advise.inspect import inspect as looked_at
    from mrl.disk import absent

    asking, look = Asking(**chosen.of(Asking)), Sampled(**chosen.of(Sampled)).look()
    if out is not None:
        absent(out)
    judgements = judged(asking, queries)
    reading, about = Reading(**chosen.of(Beside)), Described(**chosen.of(Described, TRAINED))
    database, asks = sides(vectors, queries, reading, asking, about)
    with bar() as progress:
        found = looked_at(database, asks, judgements, look, progress)
    _say(found)
    if out is not None:
        from mrl.report.inspection_writer import write_inspection

        typer.echo(write_inspection(out, found)[-1])
    elif as_json:
        typer.echo(json.dumps(found.to_json()))
    elif found.rows:
        typer.echo("\n".join(json.dumps(asdict(row)) for row in found.rows))


def _say(found: Inspection) -> None:
    """Facts, figures and findings, on stderr."""
    from rich.console import Console

    from mrl.report import table

    console = Console(stderr=True)
    console.print(facts_table(found.facts))
    if found.rows:
        from mrl.report.inspection import short

        for rows in short(found):
            console.print(table(rows))
    for sentence in (*found.findings, *found.notes):
        typer.echo(sentence, err=True)


def facts_table(facts: Facts) -> Table:
    """What the vectors are, a line for each fact, to be printed with Rich."""
    from rich.table import Table

    made = Table(box=None, show_header=False, pad_edge=False)
    for name, value in _facts(facts):
        made.add_row(name, value)
    return made


def _facts(facts: Facts) -> Iterable[tuple[str, str]]:
    sound, shape, energy = facts.soundness, facts.shape, facts.energy
    yield "vectors", f"{sound.rows:,} × {sound.width:,} {sound.dtype}, {facts.sampled:,} looked at"
    yield "lengths", f"{sound.shortest:.4g} to {sound.longest:.4g}, median {sound.median:.4g}"
    yield "NaN or Inf", str(sound.not_finite)
    yield "of length 0", str(sound.zero)
    yield "repeated", str(sound.repeats)
    if shape is not None:
        yield "intrinsic dim", _number(shape.intrinsic, ".1f")
        yield "mean cosine", f"{_number(shape.cosine, '.3f')}, mean direction {shape.resultant:.3f}"
        yield "hubness", f"{_number(shape.hubness, '.2f')}, nobody's neighbour {_number(shape.orphans, '.1%')}"
    if energy is not None:
        cuts = zip(energy.cuts, energy.plain, energy.pca, strict=True)
        yield "energy", "  ".join(f"{dim}: {100 * plain:.0f} → {100 * pca:.0f} %" for dim, plain, pca in cuts)


def _number(value: float | None, form: str) -> str:
    return "cannot tell" if value is None else format(value, form)
