"""`mrl search`: the nearest rows of an index."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mrl.cli.answers import Answer, Asked, check_columns, check_names, counted, lines, write_answers
from mrl.cli.progress import bar
from mrl.cli.settings import Chosen, settings
from mrl.cli.vectors import VECTORS, said
from mrl.errors import InputError
from mrl.options import option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mrl.retrieval import Index, Plan, Results
    from mrl.retrieval.snapshot import Snapshot

PLAN = (
    "The stages, dim:keep each, as 32:200,1024:10, or a plan's .json file; @int8 reads a coarser copy, /hnsw, "
    "/ivf or /rabitq asks an engine. Without one the search is exact."
)

WHERE = (
    "Only rows whose payload fulfils this, as 'price < 20 and not sold'. Known are == != < <= > >=, in [..], not in "
    "[..], is null, is not null, and, or, not and brackets; strings stand in quotes; `id` is the rows' ids; a column "
    'with an odd name is [["list price"]].'
)


@dataclass(frozen=True)
class Need:
    """What a search is to keep, or to cost: the best of the plans that `mrl plan` measured answers."""

    recall: float | None = option(
        None,
        "Which share of the exact search's rows is to be found, on average: by the cheapest plan that promises it.",
    )
    tolerance: float | None = option(
        None, "How much may be lost, on average, of the measure that was planned for: likewise."
    )
    budget_ms: float | None = option(
        None, "How many milliseconds one query may take: by the plan that finds most in them."
    )
    budget_bytes: float | None = option(
        None, "How many bytes of memory searches may read from: by the plan that finds most in them."
    )

    @property
    def given(self) -> dict[str, float]:
        """Those that were."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def __str__(self) -> str:
        return ", ".join(f"--{name.replace('_', '-')} {value:g}" for name, value in self.given.items())


@dataclass(frozen=True)
class How:
    """How it is searched, and among which rows."""

    plan: str | None = option(None, PLAN)
    exact: bool = option(False, "The full-width result; so it is without --plan.")
    where: str | None = option(None, WHERE)


@dataclass(frozen=True)
class Shown:
    """What is written, and what is said of it."""

    columns: str | None = option(None, "Columns of the payload to print, as name,price.")
    explain: bool = option(False, "Say on stderr what the plan costs, and what each stage did.")
    measure_recall: bool = option(False, "Search exactly, too; say on stderr which share of that the plan found.")
    out: Path | None = option(None, "Write here, .jsonl or .parquet, not to stdout.")


@settings(("How", How, {}), ("By need", Need, {}), ("What is said", Shown, {}))
def search(
    index: Annotated[Path, typer.Argument(metavar="INDEX", help="The index's folder.")],
    queries: Annotated[Path, typer.Argument(help=f"{VECTORS}.")],
    k: Annotated[int, typer.Option("-k", "--k", help="Rows found for each query.")] = 10,
    *,
    chosen: Chosen,
) -> None:
    """Print the nearest rows of each query as a JSON line: query, ids, scores (larger is nearer), columns.

    By a plan of yours, exactly, or, on an index that `mrl plan` has planned, by need: then the plan that was taken, and
    what it promises, are said on stderr.

    Scores are cosines or dot products, or minus the squared distance for l2. Rows of a .parquet are query, rank
    (from 1), id and score.
    """
    from mrl.retrieval import Index

    how, need, shown = How(**chosen.of(How)), Need(**chosen.of(Need)), Shown(**chosen.of(Shown))
    _check_out(shown.out)
    stages = _plan(how, need, compared=shown.measure_recall)
    opened = Index.open(index)
    names = _columns(opened, shown)
    asked, k = Asked(queries, opened), min(k, max(opened.rows, 1))  # no more can be found
    if shown.explain and not need.given:
        said(cost(opened.snapshot, stages, k))
    run = Run(opened, k, stages or need, how.where, compared=shown.measure_recall)
    _write(run, asked, names, shown.out)
    for line in run.said(explain=shown.explain):
        said(line)


def _columns(opened: Index, shown: Shown) -> tuple[str, ...]:
    """The columns that were asked for; InputError for those that cannot be written."""
    names = check_columns(opened, shown.columns)
    if shown.out is not None and shown.out.suffix == ".parquet":
        check_names(names)
    return names


def _write(run: Run, asked: Asked, names: tuple[str, ...], out: Path | None) -> None:
    """Search, and write or print what is found as it comes."""
    with bar(shown=out is not None or not sys.stdout.isatty()) as told:
        answers = counted(run.answers(asked, names), lambda done: told("queries", done, len(asked)))
        if out is not None:
            write_answers(out, answers)
        else:
            for line in lines(answers):
                typer.echo(line)
    if out is not None:
        typer.echo(out)


def _check_out(out: Path | None) -> None:
    """Raise, before anything is searched, unless answers can be written there."""
    from mrl.disk import absent

    if out is not None and out.suffix not in (".jsonl", ".parquet"):
        raise InputError(f"answers are written as .jsonl or .parquet, got {out.suffix or 'no ending'} in {out}")
    if out is not None:
        absent(out)


def _plan(how: How, need: Need, *, compared: bool) -> Plan | None:
    """The plan, from its text or its file; InputError where one is given and not wanted, or the other way round."""
    from mrl.retrieval import Plan

    text, exact = how.plan, how.exact
    if text is None and not need.given and compared:
        raise InputError("--measure-recall compares a plan with the exact search, and there is no --plan; give one")
    if need.given and (exact or text is not None):
        other = "--exact" if exact else f"--plan {text}"
        raise InputError(f"{need} takes one of the plans that were measured, and so does not go with {other}; give one")
    if text is not None and exact:
        raise InputError(f"--exact needs no --plan, got {text}; leave one of the two out")
    if text is None:
        return None
    return Plan.load(text) if text.endswith(".json") else Plan.parse(text)


def cost(snapshot: Snapshot, plan: Plan | None, k: int) -> str:
    """What a plan costs one query by arithmetic, a line for each stage."""
    from mrl.retrieval import funnel

    if plan is None:
        products = snapshot.rows * snapshot.card.width
        return f"exact: at most {products / 1e6:,.3f} M multiply-adds for a query, fewer where the first dims decide"
    plan = plan.at_k(k)
    funnel.check(snapshot, plan)
    head = f"{'one query, by arithmetic':24} {'candidates':>12} {'M mult-adds':>12} {'MB':>10}"
    ends = dict(zip(snapshot.layout.cuts.dims, snapshot.layout.reference, strict=True))
    costs = plan.cost(max(snapshot.rows, 1), ends)
    rows = []
    for stage, each in zip(plan.stages, costs, strict=True):
        if each.candidates is None or each.macs is None or each.bytes is None:
            rows.append(f"{stage!s:24} {'an engine, known only afterwards':>36}")
        else:
            rows.append(f"{stage!s:24} {each.candidates:12,} {each.macs / 1e6:12,.3f} {each.bytes / 1e6:10,.3f}")
    return "\n".join([head, *rows])


class Run:
    """One search of many queries, batch by batch, and what is known of it at the end."""

    def __init__(self, index: Index, k: int, how: Plan | Need, where: str | None, *, compared: bool) -> None:
        self._index, self._k, self._where, self._compared = index, k, where, compared
        self._needs, plan = (how.given, None) if isinstance(how, Need) else ({}, how)
        self._how: dict[str, Any] = self._needs or {"plan": plan}
        self._last: Results | None = None
        self._notes: dict[str, None] = {}
        self._hits = self._wanted = 0

    def answers(self, asked: Asked, columns: tuple[str, ...]) -> Iterator[Answer]:
        """The answers, a batch of queries at a time."""
        for names, queries in asked.batches():
            found = self._index.search(queries, self._k, where=self._where, **self._how)
            self._note(found)
            if self._compared:
                self._compare(found, self._index.search(queries, self._k, where=self._where))
            yield Answer.of(names, found, self._index, columns)

    def _note(self, found: Results) -> None:
        """Add up the work of the batches."""
        before = self._last.work if self._last else ()
        old = before or tuple(work._replace(candidates=0, bytes=0, seconds=0.0) for work in found.work)
        pairs = zip(old, found.work, strict=True)
        summed = tuple(
            b._replace(candidates=a.candidates + b.candidates, bytes=a.bytes + b.bytes, seconds=a.seconds + b.seconds)
            for a, b in pairs
        )
        self._last = replace(found, work=summed)
        self._notes |= dict.fromkeys(found.notes)

    def _compare(self, found: Results, truth: Results) -> None:
        for mine, wanted, count in zip(found.ids, truth.ids, truth.counts.tolist(), strict=True):
            self._hits += len(set(mine.tolist()) & set(wanted[:count].tolist()))
            self._wanted += count

    def said(self, *, explain: bool) -> Iterator[str]:
        """What is to be told at the end."""
        if self._needs and self._last is not None:
            exactly = self._last.plan == "exact"
            yield "searched exactly: nothing is lost" if exactly else f"searched by {self._last.plan}"
            yield from [self._last.promise] if self._last.promise else []
        yield from self._notes
        if explain and self._last is not None:
            yield self._last.explain()
        if self._compared:
            share = self._hits / self._wanted if self._wanted else 1.0
            yield f"recall@{self._k} {share:.4f}: {self._hits:,} of the {self._wanted:,} rows of the exact search"
