"""`mrl choose`: the smallest vectors that keep a measure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mrl.cli.settings import Chosen, settings
from mrl.cli.sides import Asking, judged, sides
from mrl.cli.vectors import TRAINED, Reading
from mrl.errors import InputError
from mrl.nesting import Nesting
from mrl.options import option
from mrl.vectors import FORMATS, Described

if TYPE_CHECKING:
    from rich.table import Table

    from mrl.adapt import Map
    from mrl.advise import Bill, Choice, Terms
    from mrl.advise.choice import Finding
    from mrl.evaluation import Judgements
    from mrl.vectors import Source

LEGEND = "~ read, not trained"
FRONT = ("chosen", "promised", "not shown", "not reached")  # verdicts of what was worth a test


@dataclass(frozen=True)
class Measuring:
    """By what an answer is measured, and among how many rows."""

    measure: str | None = option(
        None,
        "recall@K: the share of the full width's nearest vectors that is kept. 1-NN: by labels. nDCG@K, MRR@K: by "
        "judgements. Without it nDCG@10 where there are judgements, 1-NN where there are labels, else recall@10.",
    )
    rows: int | None = option(
        None,
        "At most so many vectors are searched, drawn at random beside the judged ones; without it 100,000, and fewer "
        "of those that would take more than 512 MiB.",
    )


@dataclass(frozen=True)
class Asked:
    """What is promised, and among what is chosen."""

    tolerance: float = option(0.01, "How much of the measure may be lost against the full width in float32.")
    confidence: float = option(0.95, "How sure that is to be.")
    dims: str | None = option(
        None, "What may be chosen, as 64,128 or 8..1024; without it the trained ones and those between, or a ladder."
    )
    encodings: str = option("float32,float16,int12,int8,1bit", "How vectors may be stored.")
    seed: int = option(0, "Which rows are held out as queries, and which queries tune, calibrate and report.")

    def terms(self) -> Terms:
        from mrl.advise import Terms

        dims = None if self.dims is None else Nesting.parse(self.dims)
        names = tuple(name.strip() for name in self.encodings.split(","))
        return Terms(self.tolerance, self.confidence, dims, names, self.seed)


@dataclass(frozen=True)
class Paid:
    """What is to be stored, and at what price."""

    vectors: int | None = option(None, "How many vectors there are to be; without it, those of the file.")
    replicas: int = option(1, "How many copies of them.")
    price_per_gb_month: float | None = option(
        None, "What a GB (10⁹ bytes) costs a month, in your currency; without it nothing is said of money."
    )

    def bill(self, rows: int) -> Bill:
        from mrl.advise import Bill

        return Bill(rows if self.vectors is None else self.vectors, self.replicas, self.price_per_gb_month)


@settings(
    ("Promise", Asked, {}),
    ("Measure", Measuring, {}),
    ("Queries", Asking, {}),
    ("Cost", Paid, {}),
    ("Beside the vectors", Reading, {}),
    ("A file", Described, TRAINED),
)
def choose(
    where: Annotated[Path, typer.Argument(metavar="VECTORS", help=f"{FORMATS}.")],
    queries: Annotated[
        Path | None, typer.Option(help="Vectors that ask. Without them rows held out at random do, at most 2,000.")
    ] = None,
    by: Annotated[
        Path | None,
        typer.Option("--map", help="A map's folder, whose vectors would be stored. Needs queries that it never saw."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Show everything that was measured, not only what was worth a test.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Write the choice here, as .json, not to stdout.")] = None,
    *,
    chosen: Chosen,
) -> None:
    """Choose a dim and an encoding: the fewest bytes that keep a measure of your own data, with a promise.

    Some of the queries find what is worth a test, others test it, and the rest give the figures that are shown. Prints
    the choice as JSON, with everything that was measured.
    """
    from rich.console import Console

    terms, measuring, asking = (
        Asked(**chosen.of(Asked)).terms(),
        Measuring(**chosen.of(Measuring)),
        Asking(**chosen.of(Asking)),
    )
    _check(where, queries, by, out, themselves=asking.ignore_same_ids)
    judgements = judged(asking, queries)
    about, reading = Described(**chosen.of(Described, TRAINED)), Reading(**chosen.of(Reading))
    both = sides(where, queries, reading, asking, about)
    bill = Paid(**chosen.of(Paid)).bill(len(both[0]))
    measure = measuring.measure or _usual(both, judgements, labelled=reading.labels is not None)
    found = replace(_found(both, judgements, measure, measuring.rows, terms, by), bill=bill)
    Console(stderr=True).print(table(found, found.findings if everything else front(found)))
    typer.echo(str(found), err=True)
    _write(found, out)


def _found(
    both: tuple[Source, Source | None],
    judgements: Judgements | None,
    measure: str,
    rows: int | None,
    terms: Terms,
    by: Path | None,
) -> Choice:
    """The choice, from vectors that were not read yet."""
    from mrl.advise import choose as chosen_of
    from mrl.advise import drawn, yardstick
    from mrl.advise.asking import check_measure

    check_measure(measure, judgements)
    turn = None if by is None else _map(by, both[0])
    use = drawn(*both, measure, judgements, most=rows, seed=terms.seed)
    if turn is not None:
        use = use.without(turn.seen(use.queries.vectors), f"the map {by}")
    stick = yardstick(use.rows, use.queries, measure, judgements)
    turned = None if turn is None else (turn.turned(use.rows), turn.turned(use.queries, side="queries"))
    found = chosen_of(use.rows, use.queries, stick, terms, turned)
    return replace(found, notes=(*use.notes, *found.notes))


def _map(path: Path, database: Source) -> Map:
    """A map that fits these vectors."""
    from mrl.adapt import Map

    found = Map.load(path)
    found.check(database.card, str(database.path))
    return found


def _write(found: Choice, out: Path | None) -> None:
    if out is None:
        typer.echo(json.dumps(found.to_json()))
    else:
        found.save(out)
        typer.echo(out)


def _check(where: Path, queries: Path | None, by: Path | None, out: Path | None, *, themselves: bool) -> None:
    """Raise, before anything is read, for what cannot be promised or written."""
    from mrl.disk import absent

    if out is not None:
        absent(out)
    if queries is not None and queries.resolve() == where.resolve() and not themselves:
        raise InputError(
            f"queries and vectors are the same, {where}: every query would find itself; leave --queries out, and rows "
            "are held out to ask"
        )
    if by is not None and queries is None:
        raise InputError(
            f"rows held out of the vectors may be those that the map {by} was fitted on, which would promise too much; "
            "give --queries that it never saw"
        )


def _usual(both: tuple[Source, Source | None], judgements: Judgements | None, *, labelled: bool) -> str:
    """The measure where nobody named one. labelled: whether labels were given."""
    if judgements is not None:
        return "nDCG@10"
    known = all(side is None or side.labels is not None for side in both)
    return "1-NN" if labelled or known else f"recall@{min(10, len(both[0])) or 1}"


def front(choice: Choice) -> list[Finding]:
    """What was worth a test, and the full width as it is."""
    full = (choice.width, "float32")
    return [each for each in choice.findings if each.verdict in FRONT or (each.dim, each.encoding) == full]


def table(choice: Choice, findings: Iterable[Finding]) -> Table:
    """A line for each, most bytes first, to be printed with Rich."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    made = Table(box=SIMPLE_HEAD, caption=LEGEND, caption_justify="left", header_style="", pad_edge=False)
    made.collapse_padding = True
    for name in ("dim", "stored", "bytes", choice.measure, "gap", "95 %", "p", "verdict"):
        made.add_column(name, justify="left" if name in ("stored", "verdict") else "right", no_wrap=True)
    for each in findings:
        p = "" if each.p is None else "< .001" if each.p < 0.001 else f"{each.p:.3f}"
        between = f"{each.low:.3f} … {each.high:.3f}"
        figures = (f"{each.bytes:,}", f"{each.value:.4f}", f"{each.gap:.4f}", between, p)
        style = "bold" if each.verdict == "chosen" else "none"
        mark = "" if each.trained else "~"
        made.add_row(f"{mark}{each.dim}", each.encoding, *figures, each.verdict, style=style)
    return made
