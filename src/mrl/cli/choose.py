"""`mrl choose`: the smallest vectors that keep a measure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mrl.cli.settings import Chosen, settings
from mrl.errors import InputError
from mrl.nesting import Nesting
from mrl.options import option
from mrl.vectors import FORMATS, Described, is_table, open_vectors

if TYPE_CHECKING:
    from rich.table import Table

    from mrl.advise import Bill, Choice, Terms
    from mrl.advise.choice import Finding
    from mrl.evaluation import Judgements
    from mrl.vectors import Held

TRAINED = {"dims": "trained"}  # of Described; --dims are those that may be chosen
LEGEND = "~ read, not trained"
FRONT = ("chosen", "promised", "not shown", "not reached")  # verdicts of what was worth a test


@dataclass(frozen=True)
class Measuring:
    """By what an answer is measured."""

    measure: str | None = option(
        None,
        "recall@K: the share of the full width's nearest vectors that is kept. 1-NN: by labels. nDCG@K, MRR@K: by "
        "judgements. Without it nDCG@10 where there are judgements, 1-NN where there are labels, else recall@10.",
    )
    labels: Path | None = option(None, "Labels of the vectors: an .npy, a column label, or a text with one a line.")
    query_labels: Path | None = option(None, "Labels of the queries.")
    judgements: Path | None = option(None, "Which vectors answer which query, by their ids; as in `mrl evaluate`.")
    ids: Path | None = option(None, "Ids of the vectors: an .npy, a column id, or a text with one a line.")
    query_ids: Path | None = option(None, "Ids of the queries.")
    ignore_same_ids: bool = option(False, "A vector with the query's own id is no answer: queries are documents.")


@dataclass(frozen=True)
class Asked:
    """What is promised, and among what is chosen."""

    tolerance: float = option(0.01, "How much of the measure may be lost against the full width in float32.")
    confidence: float = option(0.95, "How sure that is to be.")
    dims: str | None = option(
        None, "What may be chosen, as 64,128 or 8..1024; without it the trained ones and those between, or a ladder."
    )
    encodings: str = option("float32,float16,int8,1bit", "How vectors may be stored.")
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


@settings(("Promise", Asked, {}), ("Measure", Measuring, {}), ("Cost", Paid, {}), ("A file", Described, TRAINED))
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

    from mrl.advise import choose as chosen_of
    from mrl.advise import yardstick

    terms, measuring = Asked(**chosen.of(Asked)).terms(), Measuring(**chosen.of(Measuring))
    _check(where, queries, by, out, themselves=measuring.ignore_same_ids)
    judgements = _judgements(measuring, queries)
    database, asking = _sides(where, queries, measuring, Described(**chosen.of(Described, TRAINED)), terms.seed)
    bill = Paid(**chosen.of(Paid)).bill(len(database) + (0 if queries else len(asking)))
    stick = yardstick(database, asking, measuring.measure or _usual(measuring, database, asking), judgements)
    turned = None if by is None else _mapped(by, database, asking)
    found = replace(chosen_of(database, asking, stick, terms, turned), bill=bill)
    Console(stderr=True).print(table(found, found.findings if everything else front(found)))
    typer.echo(str(found), err=True)
    _write(found, out)


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


def _judgements(measuring: Measuring, queries: Path | None) -> Judgements | None:
    from mrl.evaluation import Judgements

    if measuring.judgements is None and measuring.ignore_same_ids:
        raise InputError("--ignore-same-ids belongs to --judgements, which are not there; leave it out")
    if measuring.judgements is None:
        return None
    if queries is None:
        raise InputError("--judgements speak of queries, and there are none; give --queries")
    return Judgements.read(measuring.judgements, ignore_same_ids=measuring.ignore_same_ids)


def _sides(where: Path, queries: Path | None, measuring: Measuring, about: Described, seed: int) -> tuple[Held, Held]:
    """(database, queries), in memory. Queries of a file that says nothing of itself are taken for the same model's."""
    from mrl.advise import held_out

    database = _held(where, about, measuring.ids, measuring.labels)
    if queries is not None:
        asking = _held(queries, Described(), measuring.query_ids, measuring.query_labels)
        return database, asking if is_table(queries) else asking.turned(asking.vectors, database.card)
    for name in ("query_labels", "query_ids"):
        if getattr(measuring, name) is not None:
            raise InputError(f"--{name.replace('_', '-')} belongs to --queries, which are not there; leave it out")
    return held_out(database, seed=seed)


def _held(path: Path, about: Described, ids: Path | None, labels: Path | None) -> Held:
    if is_table(path) and about.given:
        given = ", ".join(f"--{TRAINED.get(name, name)}" for name in about.given)
        raise InputError(f"{path} is a table, whose card says what it is; leave {given} out")
    return open_vectors(path, about=about, ids=ids, labels=labels, note=_note).held()


def _note(text: str) -> None:
    typer.echo(text, err=True)


def _usual(measuring: Measuring, database: Held, queries: Held) -> str:
    """The measure where nobody named one."""
    if measuring.judgements is not None:
        return "nDCG@10"
    labelled = measuring.labels is not None or (database.labels is not None and queries.labels is not None)
    return "1-NN" if labelled else f"recall@{min(10, len(database))}"


def _mapped(by: Path, database: Held, queries: Held) -> tuple[Held, Held]:
    """Both sides as the map makes them."""
    from mrl.adapt import Map

    found = Map.load(by)
    return found.turned(database), found.turned(queries, side="queries")


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
