"""The table of what was planned, for a terminal of a hundred columns: the ready plans about the pick."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields

from mrl.retrieval.engine import Engine, Scan, engine_text, of_build
from mrl.retrieval.plan import Plan, Stage
from mrl.retrieval.planner.points import EXACT, LOSES, PROMISED, Point
from mrl.retrieval.planner.terms import Terms

ACROSS = 100  # columns
ROWS = 10  # at most
MORE = "--html or `mrl report` shows them"
COLUMNS = ("ms", "queries/s", "MB")  # after the plan, the mean, its interval and what is promised
GAP = "  "


def lines(points: Sequence[Point], pick: int | None, terms: Terms, measure: str) -> list[str]:
    """What the short plans leave out, the table, what its marks mean, and how many more were measured.

    points: cheapest first. pick: the place of the one that is starred.
    """
    ready = [point for point in points if point.ready]
    picked = None if pick is None else points[pick]
    shown = _around(ready, picked)
    heading = heading_of(terms)
    return [
        *_above(shown),
        *_table(shown, picked, heading, measure),
        *_beneath(picked, heading, terms),
        *_missing(points, len(ready) - len(shown)),
    ]


def heading_of(terms: Terms) -> str:
    """Of what is promised: a recall is promised as it is, of other measures how much is lost at most."""
    return PROMISED if terms.measure == "recall" else LOSES


def _around(ready: Sequence[Point], picked: Point | None) -> list[Point]:
    """At most `ROWS` of them: those next to the pick, and the exact search."""
    others = [point for point in ready if point.plan is not None]
    exact = [point for point in ready if point.plan is None]
    room = ROWS - len(exact)
    at = others.index(picked) if picked in others else len(others)
    first = max(min(at - room // 2, len(others) - room), 0)
    kept = (*others[first : first + room], *exact)
    return [point for point in ready if point in kept]


def _above(shown: Sequence[Point]) -> Iterator[str]:
    """The map and the engine whole: of these the plans in the table have the names alone."""
    plans = [point.plan for point in shown if point.plan is not None]
    for name in dict.fromkeys(plan.map for plan in plans if plan.map):
        yield f"{_kind(name)} is {name}"
    built = {_built(plan): point.build_s for point in shown if (plan := point.plan) and _built(plan)}
    for text, seconds in built.items():
        name = text.partition("+")[0].rpartition("/")[2]
        yield f"{name} is {text}, built in {seconds:.1f} s"


def _kind(name: str) -> str:
    """`pca` of pca:07e5f755a801."""
    return name.partition(":")[0]


def _built(plan: Plan) -> str:
    """`128/hnsw+codes=int8+m=16`, or nothing where the plan begins with a scan."""
    first = plan.stages[0]
    return "" if isinstance(first.engine, Scan) else f"{first.dim}/{engine_text(of_build(first.engine))}"


def _table(shown: Sequence[Point], picked: Point | None, heading: str, measure: str) -> list[str]:
    names = {"mean": measure, "95 %": "95 %", heading: heading, **dict.fromkeys(COLUMNS)}
    rows = [[point.cells(heading)[name] for name in names] for point in shown]
    titles = [title or name for name, title in names.items()]
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    room = ACROSS - sum(len(GAP) + width for width in widths)
    plans = [_broken(point, room - 2) for point in shown]
    first = max(len(line) for plan in (["plan"], *plans) for line in plan)
    cells = [GAP.join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in (titles, *rows)]
    table = [f"  {'plan':{first}}{GAP}{cells[0]}"]
    for point, (top, *rest), figures in zip(shown, plans, cells[1:], strict=True):
        table.append(f"{'*' if point is picked else ' '} {top:{first}}{GAP}{figures}")
        table.extend(f"  {line}" for line in rest)
    return table


def _broken(point: Point, room: int) -> list[str]:
    """The short plan in lines of at most so many letters, where its stages are no longer."""
    if point.plan is None:
        return [EXACT]
    begin = [_kind(point.plan.map)] if point.plan.map else []
    parts, text = [*begin, *map(_stage, point.plan.stages)], []
    line = parts[0]
    for part in parts[1:]:
        if len(line) + len(part) + 3 > room:
            text.append(line)
            line = f"  → {part}"
        else:
            line = f"{line} → {part}"
    return [*text, line]


def _stage(stage: Stage) -> str:
    """Without the knobs that the engine was built with."""
    if isinstance(stage.engine, Scan):
        return str(stage)
    text, _, _ = str(stage).partition("/")
    return f"{text}/{_asked(stage.engine)}"


def _asked(engine: Engine) -> str:
    """`hnsw+ef=64`: the name and the knobs of a search."""
    name, *_ = engine_text(engine).split("+")
    knobs = (knob.name for knob in fields(engine) if "build" not in knob.metadata)
    return name + "".join(f"+{knob}={getattr(engine, knob)}" for knob in knobs)


def _beneath(picked: Point | None, heading: str, terms: Terms) -> Iterator[str]:
    """What the star, and what is promised, mean."""
    star = "" if picked is None else "* is the pick; "
    kept = "at least so much is kept" if heading == PROMISED else f"at most so much of {terms.name} is lost"
    yield f"{star}{heading}: {kept} on average, with {100 * terms.confidence:g} % confidence"


def _missing(points: Sequence[Point], left_out: int) -> Iterator[str]:
    """How many more were measured."""
    others = sum(not point.ready and point.promised is None for point in points)
    unread = sum(not point.ready and point.promised is not None for point in points)
    said = [
        *([f"{left_out} more plan{'s' * (left_out != 1)} that can be searched by"] if left_out else []),
        *([f"{_plans(unread)} that the index has not all for"] if unread else []),
        *([f"{_plans(others)} with {'another engine' if others == 1 else 'other engines'}"] if others else []),
    ]
    if said:
        one = left_out + unread + others == 1
        yield f"{' and '.join(said)} {'was' if one else 'were'} measured, too; {MORE}"


def _plans(count: int) -> str:
    return f"{count} plan{'s' * (count != 1)}"
