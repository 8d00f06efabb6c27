"""`mrl evaluate`: what every prefix is worth."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mrl.cli.settings import Chosen, settings
from mrl.errors import CardError, InputError
from mrl.nesting import Nesting
from mrl.options import option

if TYPE_CHECKING:
    from mrl.evaluation.per_query import PerQuery
    from mrl.evaluation.similarity import PerPair
    from mrl.vectors import Table

K = 10


@dataclass(frozen=True)
class Judged:
    """Which documents answer which query."""

    judgements: Path | None = option(
        None,
        "Measure retrieval by this file instead of by labels: the first table is the documents. TREC's qrels (query 0 "
        "document grade), or a .csv, .tsv, .jsonl or .parquet with BEIR's columns query-id, corpus-id and score.",
    )
    judgement_columns: str | None = option(
        None, "The three columns of the judgements, as query,document,grade, where they are not BEIR's."
    )
    recall_at: str | None = option(
        None,
        "Where recall is measured, as 10,100. Without it: at k, and at 100 where there are as many documents.",
    )
    ignore_same_ids: bool = option(False, "A document with the query's own id is no answer: queries are documents.")


@dataclass(frozen=True)
class Paired:
    """How alike people found two things."""

    pairs: Path | None = option(
        None,
        "Correlate similarity with the scores in this .csv, .tsv, .jsonl or .parquet: one line for each row of both "
        "tables, in their order, or for each pair of ids.",
    )
    score_column: str = option("score", "The column of the pairs' scores.")
    id_columns: str | None = option(
        None, "The two columns of ids, as id1,id2: the first table's and the second's. Without them, row by row."
    )


@settings(("By judgements", Judged, {}), ("By scored pairs", Paired, {}))
def evaluate(
    database: Annotated[
        Path,
        typer.Argument(help="The table that is searched and that a probe is fitted on; or a side of pairs."),
    ],
    queries: Annotated[Path, typer.Argument(help="The table that is classified and searched for, or the other side.")],
    head: Annotated[
        Path | None,
        typer.Option(help="A run, a map, or a head's file. Without one, linear accuracy comes from a probe."),
    ] = None,
    best: Annotated[
        bool, typer.Option("--best", help="Of a run, take the head of its best epoch, not of its last.")
    ] = False,
    dims: Annotated[
        str | None, typer.Option(help="What to measure, as 8,16,32.", show_default="trained dims and those between")
    ] = None,
    k: Annotated[int | None, typer.Option(help="Length of the lists that are looked at.", show_default=str(K))] = None,
    name: Annotated[str, typer.Option(help="The run's name in rows and report.", show_default="the model's")] = "",
    out: Annotated[Path | None, typer.Option(help="Write the rows here, .jsonl or .parquet, not to stdout.")] = None,
    *,
    chosen: Chosen,
) -> None:
    """Measure every dim of two tables from vectors embedded once; prints one JSON line per measure and dim.

    By labels: linear accuracy, k-NN, mAP and precision. With --judgements: nDCG, MRR, recall, AP and precision. With
    --pairs: Spearman's and Pearson's correlation.
    """
    from rich.console import Console

    from mrl.disk import absent
    from mrl.evaluation import write_rows
    from mrl.evaluation.rows import check_ending
    from mrl.report import table
    from mrl.vectors import Table

    judged, paired = Judged(**chosen.of(Judged)), Paired(**chosen.of(Paired))
    _check_mixture(judged, paired, chosen.given, {"head": head is not None, "best": best, "k": k is not None})
    if out is not None:
        check_ending(out)
        absent(out)
    tables = Table.open(database), Table.open(queries)
    how: dict[str, Any] = {"dims": None if dims is None else Nesting.parse(dims), "run": name}
    near = {"k": K if k is None else k, **how}
    if judged.judgements is not None:
        found: PerQuery | PerPair = _by_judgements(judged.judgements, judged, tables, near)
    elif paired.pairs is not None:
        found = _by_pairs(paired.pairs, paired, tables, how)
    else:
        found = _by_labels(head, best, tables, near)
    rows = found.rows()
    for note in found.notes:
        typer.echo(note, err=True)
    Console(stderr=True).print(table(rows))
    if out is None:
        typer.echo("\n".join(json.dumps(asdict(row)) for row in rows))
    else:
        write_rows(out, rows)
        typer.echo(out)


def _by_labels(head: Path | None, best: bool, tables: tuple[Table, Table], how: dict[str, Any]) -> PerQuery:
    from mrl.evaluation import per_query
    from mrl.heads import IN_MAP, HeadWeights

    if head is not None and (head / IN_MAP).is_file():
        _check_map(head, tables[0])
    return per_query(*tables, None if head is None else HeadWeights.load(head, best=best), **how)


def _check_map(where: Path, table: Table) -> None:
    """CardError unless the table went through the map whose head it is."""
    from mrl.adapt import Map

    found = Map.load(where)
    if str(found) not in table.card.maps:
        through = ", ".join(table.card.maps) or "no map"
        raise CardError(
            f"the head of {where} classifies what went through {found}, and {table.path} went through {through}; map "
            "the vectors with mrl adapt apply, or give the head of their own map"
        )


def _by_judgements(file: Path, judged: Judged, tables: tuple[Table, Table], how: dict[str, Any]) -> PerQuery:
    from mrl.evaluation import Judgements, per_query_judged

    columns = None if judged.judgement_columns is None else judged.judgement_columns.split(",")
    judgements = Judgements.read(file, columns, ignore_same_ids=judged.ignore_same_ids)
    return per_query_judged(*tables, judgements, recall_at=_lengths(judged.recall_at), **how)


def _by_pairs(file: Path, paired: Paired, tables: tuple[Table, Table], how: dict[str, Any]) -> PerPair:
    from mrl.evaluation import ScoredPairs, per_pair

    ids = None if paired.id_columns is None else paired.id_columns.split(",")
    return per_pair(*tables, ScoredPairs.read(file, paired.score_column, ids), **how)


def _lengths(text: str | None) -> list[int] | None:
    """`10,100` as numbers."""
    parts = [] if text is None else text.split(",")
    if not all(part.strip().isascii() and part.strip().isdigit() for part in parts):
        raise InputError(f"cannot read lengths from {text!r}; write them as 10,100")
    return [int(part) for part in parts] or None


def _check_mixture(judged: Judged, paired: Paired, given: frozenset[str], own: dict[str, bool]) -> None:
    """Raise InputError for options that belong to different ways of measuring."""
    if judged.judgements is not None and paired.pairs is not None:
        raise InputError("--judgements and --pairs measure different things; give one at a time")
    if judged.judgements is not None:
        _refuse([name for name in ("head", "best") if own[name]], "to labels, and --judgements measures without")
    if paired.pairs is not None:
        _refuse([name for name in own if own[name]], "to labels and neighbours, and --pairs has neither")
    for way, needed in ((judged, "judgements"), (paired, "pairs")):
        if getattr(way, needed) is None:
            _refuse([each.name for each in fields(way) if each.name in given], f"to --{needed}, which is not there")


def _refuse(names: list[str], whose: str) -> None:
    if names:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in names)
        one = len(names) == 1
        raise InputError(f"{options} {'belongs' if one else 'belong'} {whose}; leave {'it' if one else 'them'} out")
