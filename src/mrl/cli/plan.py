"""`mrl plan`: the cheapest search that keeps its promise, built."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mrl.cli.index import check_free
from mrl.cli.indexed import held, is_index
from mrl.cli.progress import bar
from mrl.cli.settings import Chosen, settings
from mrl.cli.sides import Asking, asks, judged, sides
from mrl.cli.vectors import TRAINED, Beside, Reading, of_source, said, with_payload
from mrl.disk import absent
from mrl.errors import InputError, MrlError
from mrl.options import option
from mrl.vectors import FORMATS, Described

if TYPE_CHECKING:
    from mrl.evaluation import Judgements
    from mrl.retrieval import Index, Plan
    from mrl.retrieval.planner import Draft, Planned, Terms
    from mrl.vectors import Held, Source

MEASURES = "recall, mAP, nDCG, MRR"
K = 10


@dataclass(frozen=True)
class Wanted:
    """What a search is to keep, and what is to be little."""

    recall: float | None = option(
        None, "Which share of the exact search's rows is to be found, on average; 0.98 where no --tolerance is given."
    )
    tolerance: float | None = option(
        None, "Instead of --recall: how much of the measure may be lost against the exact search, on average."
    )
    measure: str | None = option(
        None,
        "recall@K: of the exact search's rows. mAP@K: by labels. nDCG@K, MRR@K: by judgements. Without it nDCG@10 "
        "where there are judgements, else recall@10.",
    )
    k: int | None = option(None, "How many rows a search gives, where --measure does not say it; 10.")
    objective: str = option(
        "latency", "What is to be little: latency, of one query alone; bytes, of memory; throughput, time in batches."
    )
    confidence: float = option(0.95, "How sure the promise is to be.")
    seed: int = option(0, "Which rows are held out as queries, and which queries tune, calibrate and report.")

    def terms(self, *, judged: bool) -> Terms:
        """InputError for an unknown measure, or one at two k. judged: whether there are judgements."""
        from mrl.retrieval.planner import Terms

        name, k = _measure(self.measure or ("nDCG" if judged else "recall"))
        if k is not None and self.k not in (None, k):
            raise InputError(
                f"--measure {self.measure} and --k {self.k} are two numbers of rows; leave one of them out"
            )
        rest: dict[str, Any] = {"measure": name, "objective": self.objective}
        k = next(each for each in (k, self.k, K) if each is not None)
        return Terms(k, self.recall, self.tolerance, confidence=self.confidence, seed=self.seed, **rest)


def _measure(text: str) -> tuple[str, int | None]:
    """`nDCG@10` as (nDCG, 10); K may be left out."""
    found = re.fullmatch(r"(recall|mAP|nDCG|MRR)(?:@([1-9][0-9]{0,5}))?", text)
    if not found:
        raise InputError(f"unknown measure {text!r}; known are {MEASURES}, with a number of rows, as recall@10")
    return found[1], int(found[2]) if found[2] else None


@dataclass(frozen=True)
class Written:
    """Where what is planned goes."""

    out: Path | None = option(None, "The new index's folder. An INDEX is planned where it is if nothing is given here.")
    html: Path | None = option(None, "Write a page of what was measured here, one file.")


@settings(
    ("Written", Written, {}),
    ("Terms", Wanted, {}),
    ("Queries", Asking, {}),
    ("Beside the vectors", Beside, {}),
    ("A file", Described, TRAINED),
)
def plan(
    where: Annotated[Path, typer.Argument(metavar="VECTORS|INDEX", help=f"{FORMATS}. Or the folder of an index.")],
    queries: Annotated[
        Path | None,
        typer.Option(help="Vectors that ask. Without them a tenth of the rows does, and is not searched meanwhile."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print everything that was planned as one JSON object.")
    ] = False,
    *,
    chosen: Chosen,
) -> None:
    """Find the cheapest search that keeps a target on your vectors and this machine, and build the index for it.

    Engines, prefixes, maps and encodings are measured on some of the queries; others test what the pick promises, and
    the rest give the figures that are shown. Says on stderr what was measured and what is promised, and prints the
    index's path; searches by need, `mrl search INDEX --recall 0.95`, take a plan of what was measured.
    """
    written = Written(**chosen.of(Written))
    if written.html is not None:
        absent(written.html)
    order = Order.of(queries, written.out, chosen)
    index, planned = _of_index(where, order, chosen) if is_index(where) else _of_vectors(where, order, chosen)
    _say(planned)
    if written.html is not None:
        from mrl.report.frontier import write_page

        said(str(write_page(written.html, planned, where=str(index.path))))
    typer.echo(json.dumps({"path": str(index.path), **planned.to_json()}) if as_json else index.path)


@dataclass(frozen=True)
class Order:
    """What was asked for."""

    queries: Path | None
    out: Path | None
    asking: Asking
    terms: Terms
    judgements: Judgements | None

    @classmethod
    def of(cls, queries: Path | None, out: Path | None, chosen: Chosen) -> Order:
        asking, wanted = Asking(**chosen.of(Asking)), Wanted(**chosen.of(Wanted))
        judgements = judged(asking, queries)
        return cls(queries, out, asking, wanted.terms(judged=judgements is not None), judgements)

    def draft(self, database: Held, queries: Source | None) -> Draft:
        """Plan; what is measured just now is said on a terminal."""
        from rich.console import Console

        from mrl.retrieval.planner import plan as planned

        asked = None if queries is None else queries.held()
        with Console(stderr=True).status("reading") as status:
            return planned(database, asked, self.terms, self.judgements, status.update)


def _of_vectors(where: Path, order: Order, chosen: Chosen) -> tuple[Index, Planned]:
    """Plan for vectors, and build their index."""
    if order.out is None:
        raise InputError(f"{where} is no index, and a new one needs a place; give --out INDEX")
    check_free(order.out)
    reading, about = Beside(**chosen.of(Beside)), Described(**chosen.of(Described, TRAINED))
    database, queries = sides(where, order.queries, reading, order.asking, about)
    rows = with_payload(of_source(database), reading)
    draft = order.draft(database.held(), queries)
    with bar() as told:
        index = draft.build(order.out, rows, told)
    return index, index.planned or draft.planned  # as it was kept


def _of_index(where: Path, order: Order, chosen: Chosen) -> tuple[Index, Planned]:
    """Plan for the rows of an index, and add what the pick needs: to the index, or to a copy that has its layout."""
    from mrl.retrieval import BuildSpec, Index
    from mrl.retrieval.keeping import Begun

    _refuse(where, chosen)
    if order.out is not None:
        check_free(order.out)
    index = Index.open(where)
    _check_plain(index)
    if not index.rows:
        raise InputError(f"{where} has no rows; add some")
    begun, database = Begun.at(index.snapshot), held(index)
    queries = None if order.queries is None else asks(order.queries, database, Reading(), order.asking)
    draft = order.draft(database, queries)
    with bar() as told:
        if order.out is not None:
            index = index.relayout(order.out, BuildSpec(draft.layout(index.card.width)), told)
            begun = Begun.at(index.snapshot)
        draft = replace(draft, planned=_readable(index, draft.planned))
        draft.add(index, begun, told)
    return index, index.planned or draft.planned


def _readable(index: Index, planned: Planned) -> Planned:
    """What was planned, with the cheapest plan that keeps the terms of those whose dims and encodings the index has.

    InputError where it has those of none.
    """
    points = tuple(replace(point, ready=point.ready and _reads(index, point.plan)) for point in planned.points)
    if planned.pick is None or points[planned.pick].ready:
        return replace(planned, points=points)
    level = 1 - planned.terms.allowed
    others = (n for n, point in enumerate(points) if point.ready and point.plan is not None and point.keeps(level))
    pick = next(others, None)
    if pick is None:
        raise InputError(
            f"{planned.picked} is the cheapest, and {index.path} has not all the cuts and encodings that it reads; "
            f"plan into a copy that has: mrl plan {index.path} --out NEW"
        )
    said = f"{index.path} has not all that it reads, so {points[pick]} was taken in its place"
    promise = planned.promise_for(points[pick], level)
    return replace(planned, points=points, pick=pick, promise=promise, sentences=(*planned.sentences, said))


def _reads(index: Index, plan: Plan | None) -> bool:
    """Whether the index has the cuts and encodings that a plan reads."""
    layout = index.snapshot.layout
    try:
        for stage in plan.stages[bool(plan.map) :] if plan is not None else ():
            layout.reading(stage.dim, stage.encoding)
    except MrlError:
        return False
    return True


def _refuse(where: Path, chosen: Chosen) -> None:
    """InputError for options that speak of a file of vectors."""
    names = {field.name for field in fields(Beside)}
    names |= {TRAINED.get(field.name, field.name) for field in fields(Described)}
    if given := sorted(f"--{name.replace('_', '-')}" for name in names & chosen.given):
        raise InputError(f"{where} is an index, which has all that goes with its vectors; leave {', '.join(given)} out")


def _check_plain(index: Index) -> None:
    """InputError for an index that a map turned as a whole: plans find maps of their own."""
    if index.snapshot.contents.map:
        raise InputError(
            f"{index.path} went through {index.snapshot.card.maps[-1]} as a whole, and a plan finds a map of its own; "
            "plan the vectors: mrl plan VECTORS --out NEW"
        )


def _say(planned: Planned) -> None:
    """What is promised, was found, and was measured, on stderr."""
    promise = () if planned.promise is None else (planned.promise.sentence, "")
    for line in (*promise, *planned.sentences, "", *planned.table()):
        said(line)
