"""`mrl adapt`: maps that make frozen vectors nest."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mrl.adapt.spec import AdaptSpec
from mrl.cli.progress import bar
from mrl.cli.settings import Chosen, settings
from mrl.cli.vectors import TRAINED, VECTORS, Reading, check_undescribed, check_unsaid, said
from mrl.errors import InputError
from mrl.options import option
from mrl.vectors import Described, Source, is_table

if TYPE_CHECKING:
    from mrl.adapt import Map
    from mrl.adapt.map import Side
    from mrl.evaluation import Judgements
    from mrl.vectors import Held

adapt = typer.Typer(help="Fit maps that make frozen vectors nest; apply and export them.", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(metavar="MAP", help="The map's folder.")]
Vectors = Annotated[Path, typer.Argument(metavar="VECTORS", help=f"{VECTORS}.")]


@dataclass(frozen=True)
class Asking:
    """What asks, and what answers it."""

    queries: Path | None = option(
        None, "Vectors that ask, of any format; with labels they are what the gate asks by, beside those of VECTORS."
    )
    judgements: Path | None = option(
        None, "Which vectors answer which query, by their ids: BEIR's or TREC's form, as in `mrl evaluate`."
    )
    pairs: bool = option(False, "Row i of --queries belongs to row i of VECTORS; in place of judgements.")
    ignore_same_ids: bool = option(False, "A document with the query's own id is no answer: queries are documents.")
    query_ids: Path | None = option(None, "Ids of the queries.")
    query_key: str | None = option(None, "Which array or column of their file has the queries.")
    query_labels: Path | None = option(None, "Labels of the queries.")


@adapt.command("fit")
@settings(
    ("Learning", AdaptSpec, {}),
    ("Queries", Asking, {}),
    ("Beside the vectors", Reading, {}),
    ("A file", Described, TRAINED),
)
def fit(
    where: Vectors,
    out: Annotated[Path, typer.Option(help="The map's folder; it must not exist yet.")],
    force: Annotated[bool, typer.Option("--force", help="Keep the map though the gate did not let it pass.")] = False,
    rows: Annotated[
        Path | None, typer.Option(help="Write what was measured here, .jsonl or .parquet, for `mrl report`.")
    ] = None,
    *,
    chosen: Chosen,
) -> None:
    """Fit a map and keep it if it is surely better than truncation and PCA; prints its path.

    It learns from labels, from pairs or judgements, or, without either, to keep the neighbours of the full width. What
    it never saw decides, by one comparison that is fixed beforehand: the mean over the dims below the width.
    """
    from rich.console import Console

    from mrl.adapt import Map
    from mrl.disk import absent
    from mrl.evaluation import write_rows
    from mrl.evaluation.rows import check_ending
    from mrl.report import table

    spec, asking, reading = (
        AdaptSpec(**chosen.of(AdaptSpec)),
        Asking(**chosen.of(Asking)),
        Reading(**chosen.of(Reading)),
    )
    if rows is not None:
        check_ending(rows)
    for path in (out, *([rows] if rows is not None else [])):
        absent(path)
    _check(where, asking, reading)
    documents = _held(reading.source(where, _about(where, chosen)), spec, asking)
    documents, queries, judged = _paired(asking, documents, _queries(asking, documents, chosen))
    with bar() as told:
        found = Map.fit(documents, spec, queries=queries, judgements=judged, told=told)
    for note in found.notes:
        said(note)
    Console(stderr=True).print(table(found.rows))
    if found.gate.passed or force:
        said(found.gate.sentence)
    if rows is not None:
        write_rows(rows, found.rows)
    typer.echo(found.save(out, force=force))


def _check(where: Path, asking: Asking, reading: Reading) -> None:
    """Raise InputError for options that speak of queries which are not there, or contradict each other."""
    if asking.pairs and asking.judgements is not None:
        raise InputError("--pairs and --judgements both say what belongs together; leave one of them out")
    if asking.pairs and reading.drop_bad != "no":
        raise InputError(
            "--pairs goes by the rows' places, which --drop-bad would move; leave bad rows out of both files, or give "
            "--judgements, which go by ids"
        )
    if asking.queries is None:
        given = [each.name for each in fields(asking) if getattr(asking, each.name) not in (None, False)]
        if given:
            names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
            raise InputError(f"{names} speak of queries, and there are none; give --queries, or leave them out")
    elif asking.queries.resolve() == where.resolve() and not asking.ignore_same_ids:
        raise InputError(
            f"queries and vectors are the same, {where}: every query would find itself; leave --queries out, and rows "
            "are held out to ask, or give --judgements with --ignore-same-ids"
        )


def _about(path: Path, chosen: Chosen) -> Described | None:
    """What a file does not say of itself; None for a table, of which nothing may be said."""
    about = Described(**chosen.of(Described, TRAINED))
    check_undescribed(path, about)
    return None if is_table(path) else about


def _held(source: Source, spec: AdaptSpec, asking: Asking) -> Held:
    """The vectors in memory; of more than are fitted on, a sample by chance, unless pairs say which are needed."""
    import numpy as np

    if len(source) <= spec.sample or asking.judgements is not None or asking.pairs:
        return source.held()
    chosen = np.sort(np.random.default_rng(spec.seed).choice(len(source), spec.sample, replace=False))
    said(f"{spec.sample:,} of {len(source):,} rows of {source.path} were drawn")
    return source.picked(chosen)


def _queries(asking: Asking, documents: Held, chosen: Chosen) -> Held | None:
    """The queries; those of a file that says nothing of itself are taken for the documents' model's."""
    if asking.queries is None:
        return None
    own = {"ids": asking.query_ids, "labels": asking.query_labels, "key": asking.query_key}
    held = Reading(**{**chosen.of(Reading), **own}).source(asking.queries).held()
    if is_table(asking.queries):
        return held
    check_unsaid(asking.queries, documents.card, str(documents.path))
    return held.turned(held.vectors, documents.card)


def _paired(asking: Asking, documents: Held, queries: Held | None) -> tuple[Held, Held | None, Judgements | None]:
    """Both sides and what belongs together: by ids, or, of --pairs, row by row."""
    import numpy as np

    from mrl.evaluation import Judgements

    if asking.judgements is not None:
        judged = Judgements.read(asking.judgements, ignore_same_ids=asking.ignore_same_ids)
        return documents, queries, judged
    if not asking.pairs or queries is None:
        return documents, queries, None
    if len(documents) != len(queries):
        raise InputError(
            f"--pairs needs as many queries as vectors, got {len(queries)} in {asking.queries} and {len(documents)} in "
            f"{documents.path}; give a row for a row, or --judgements"
        )
    rows = np.arange(len(documents))
    judged = Judgements.of((row, row, 1) for row in rows.tolist())
    return replace(documents, ids=rows), replace(queries, ids=rows), judged


# ------------------------------------------------------------------------------------------------ using a map


SIDE = "Which side's map, where queries and documents have their own: documents or queries."


@adapt.command("apply")
@settings(("Beside the vectors", Reading, {}))
def apply(
    where: Folder,
    vectors: Vectors,
    out: Annotated[Path, typer.Option(help="The table to write; it must not exist yet.")],
    side: Annotated[str | None, typer.Option("--as", help=SIDE)] = None,
    dtype: Annotated[str, typer.Option(help="float32, or float16, which holds values up to 65,504.")] = "float32",
    block: Annotated[int | None, typer.Option(help="Rows mapped and committed together.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a table that an interruption left.")] = False,
    *,
    chosen: Chosen,
) -> None:
    """Map vectors of any number, in a stream, into a table; prints its path."""
    from mrl.adapt import Map, apply_stream
    from mrl.adapt.applying import Stored

    found = Map.load(where)
    turn = found.side(_side(found, side))
    about = None if is_table(vectors) else Described(found.before.model, found.before.metric)
    source = Reading(**chosen.of(Reading)).source(vectors, about)
    found.check(source.card, str(vectors))
    stored: Any = {"dtype": dtype, "block": block}
    with bar() as told:
        made = apply_stream(
            source, turn, out, found.card_of(source.card), stored=Stored(**stored), resume=resume, told=told
        )
    said(f"{len(made)} rows, mapped by {found}, for the dims {found.nesting}")
    typer.echo(made.path)


@adapt.command("export")
def export(
    where: Folder,
    out: Annotated[Path, typer.Option(help="What to write; it must not exist yet.")],
    to: Annotated[str, typer.Option(help="onnx, sentence-transformers, faiss or sql.")],
    dim: Annotated[int | None, typer.Option(help="Cut images to this dim for good.")] = None,
    model: Annotated[
        Path | None, typer.Option(help="The sentence-transformers folder that the map is appended to.")
    ] = None,
    side: Annotated[str | None, typer.Option("--as", help=SIDE)] = None,
) -> None:
    """Write a map in the words of another program; prints the path.

    onnx: a model that maps, cuts and rescales. sentence-transformers: a model's folder with the map as its last
    modules, which needs nothing of ours. faiss: a LinearTransform. sql: a function for PostgreSQL with pgvector.
    """
    from mrl.adapt import Map
    from mrl.adapt.exporting import ExportSpec, export_map

    found = Map.load(where)
    spec = ExportSpec(found.before.metric, found.nesting, dim, model)
    typer.echo(export_map(found.side(_side(found, side)), to, out, spec))


@adapt.command("info")
def info(
    where: Folder, as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, for machines.")] = False
) -> None:
    """Print what a map is, what it was fitted on, and what the gate found."""
    import json

    from rich.console import Console

    from mrl.adapt import Map
    from mrl.evaluation import Row
    from mrl.promise import Gate
    from mrl.report import table

    found = Map.load(where)
    if as_json:
        about = {"map": found.name, "before": found.before.to_json(), "card": found.card.to_json(), **found.record}
        typer.echo(json.dumps(about))
        return
    typer.echo(f"{found}: {found.width} to {found.card.width} dims, for vectors of {found.before.model}")
    typer.echo(f"fitted for {found.nesting}; metric {found.before.metric}")
    if found.keeps_scores:
        typer.echo("a rotation: full-width dot products, cosines and distances are what they were")
    if found.record:
        parts = found.record["queries"]
        typer.echo(
            f"learned by {found.record['spec']['objective']}: {parts['fit']:,} learned from, {parts['watch']:,} "
            f"watched by, {parts['gate']:,} at the gate; {found.record['seconds']:g} s"
        )
        Console().print(table([Row(**row) for row in found.record["rows"]]))
        typer.echo(found.record["full width"])
        typer.echo(Gate.from_json(found.record["gate"]).sentence)


def _side(found: Map, name: str | None) -> Side:
    """The side that was named; a map that has two wants a name."""
    if name is None and found.queries is not None:
        raise InputError(
            f"the map {found} treats queries and documents differently; say --as queries or --as documents"
        )
    side: Any = name or "documents"
    return side  # type: ignore[no-any-return]
