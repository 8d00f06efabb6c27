"""A plan's page: what the pick promises, the frontier, every plan, how it was measured, and how to search by it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from shlex import quote

from mrl.disk import absent, new_folder, write
from mrl.report.figures import png, svg
from mrl.report.findings import ratio
from mrl.report.frontier_figure import ACROSS, cost_text, figure, shown
from mrl.report.frontier_table import plans, told
from mrl.report.markup import Markup, join, tag
from mrl.report.parts import drawn, opening, shell, unbroken
from mrl.report.series import TIMES, printable
from mrl.report.writer import PAGE
from mrl.retrieval.planner.planned import Planned
from mrl.retrieval.planner.points import EXACT, PROMISED, Point
from mrl.retrieval.planner.table import heading_of
from mrl.retrieval.planner.terms import Objective

__all__ = ["figure", "page", "write_frontier", "write_page"]

TITLE = "The cheapest search that keeps its promise"
TIED = "\u00a0"  # a space at which no line ends
INDEX = "INDEX"  # where nobody said which one
LESS: dict[Objective, str] = {"latency": "faster", "bytes": "smaller", "throughput": "faster"}
FILE = "planned.json"


def page(planned: Planned, heading: str = TITLE, where: str = INDEX) -> str:
    """The whole document. where: the index's folder, for the commands. MissingError without matplotlib."""
    return _page(planned, heading, where, {across: svg(figure(planned, across)) for across in _costs(planned)})


def write_page(path: str | Path, planned: Planned, heading: str = TITLE, where: str = INDEX) -> Path:
    """Write one HTML file that loads nothing. ExistsError if something is there, MissingError without matplotlib."""
    absent(Path(path))
    write(Path(path), page(planned, heading, where).encode())
    return Path(path)


def write_frontier(path: str | Path, planned: Planned, heading: str = TITLE, where: str = INDEX) -> list[Path]:
    """Write `planned.json`, figures and `report.html` into the new folder `path`; their paths, the page last.

    A folder that has a `report.html` is complete. MissingError without matplotlib, ExistsError if `path` holds
    anything: nothing is overwritten.
    """
    figures = {across: figure(planned, across) for across in _costs(planned)}
    drawings = {across: svg(each) for across, each in figures.items()}
    files = {f"{_slug(across)}.svg": drawing.encode() for across, drawing in drawings.items()}
    files |= {f"{_slug(across)}.png": png(each) for across, each in figures.items()}
    files[PAGE] = _page(planned, heading, where, drawings).encode()
    folder = new_folder(Path(path))
    planned.save(folder / FILE)
    for name, content in files.items():
        write(folder / name, content)
    return [folder / name for name in (FILE, *files)]


def _page(planned: Planned, heading: str, where: str, drawings: Mapping[Objective, str]) -> str:
    said = tag("ul", *(tag("li", told(_sentence(each))) for each in planned.sentences), class_="found")
    return shell(
        heading,
        opening(heading, _headline(planned), _facts(planned)),
        tag("h2", "What is promised"),
        tag("p", told(_promise(planned)), class_="promise"),
        *([tag("h2", "What was found"), said] if planned.sentences else []),
        tag("h2", "Quality against cost"),
        tag("div", *(_figure(planned, across, each) for across, each in drawings.items()), class_="figures"),
        tag("h2", "All plans"),
        plans(planned),
        _how(planned),
        tag("h2", "To search by it"),
        *_commands(planned, where),
    )


def _costs(planned: Planned) -> tuple[Objective, ...]:
    """What there are figures against: the objective, then memory, or time where memory was the objective."""
    objective = planned.terms.objective
    return objective, "latency" if objective == "bytes" else "bytes"


def _slug(across: Objective) -> str:
    return f"quality-by-{across}"


def _headline(planned: Planned) -> str:
    """The promise in one line, and what it saves."""
    terms, exact = planned.terms, _exact(planned)
    if planned.picked is None or planned.promise is None:
        return f"Nothing but the exact search is known to keep {terms.text}."
    cost = planned.picked.cost(terms.objective)
    kept = terms.text.replace(" ", TIED)
    said = f"With {100 * terms.confidence:g} % confidence {kept}, at {terms.cost_text(cost)}"
    if exact is None or (saved := exact.cost(terms.objective) / cost) < 1.1:
        return f"{said}."
    return f"{said}: {ratio(saved)}{TIMES} {LESS[terms.objective]} than the exact search."


def _exact(planned: Planned) -> Point | None:
    return next((point for point in planned.points if point.plan is None), None)


def _promise(planned: Planned) -> str:
    if planned.promise is not None:
        return planned.promise.sentence
    return "Nothing is, as nothing is lost: the exact search finds the full width's result, whatever is asked."


def _facts(planned: Planned) -> str:
    kind = "rows held out as queries" if planned.held_out else "queries"
    return f"{printable(planned.data)}: {planned.rows:,} rows, {sum(planned.queries):,} {kind}."


def _sentence(text: str) -> str:
    """With a capital and a full stop, unless it begins with a name."""
    return f"{text[:1].upper()}{text[1:]}."


def _figure(planned: Planned, across: Objective, drawing: str) -> Markup:
    ends = _ends(planned, across)
    said = f"Scatter chart: {planned.measure} of {len(shown(planned))} searches against {ACROSS[across]}. {ends}"
    missing = len(planned.points) - len(shown(planned))
    left = f" {missing} far below what was asked are in the table alone." if missing else ""
    return drawn(_slug(across), drawing, said, f"{ends} Bars are 95 % intervals.{left}")


def _ends(planned: Planned, across: Objective) -> str:
    """The pick and the exact search, for those who cannot see them."""
    named = (("Picked", planned.picked), (EXACT.capitalize(), _exact(planned)))
    said = [f"{name}: {at.quality * 100:.2f} % at {cost_text(at, across)}." for name, at in named if at is not None]
    return " ".join(said)


def _commands(planned: Planned, where: str) -> Iterator[Markup]:
    """By need and by the very plan, in a shell and in Python."""
    k, point, folder = planned.terms.k, planned.picked, quote(where)
    if point is None or point.plan is None:
        yield from _command("", f"mrl search {folder} QUERIES -k {k}")
        return
    name, value = _need(planned)
    by_need = "By need: the cheapest plan of these that promises it. Say less, or a budget, and another one answers."
    yield from _command(by_need, f"mrl search {folder} QUERIES -k {k} --{name} {value}")
    yield from _command("From Python.", f"mrl.retrieval.Index.open({where!r}).search(queries, {k}, {name}={value}).ids")
    yield from _command("By this very plan.", f"mrl search {folder} QUERIES -k {k} --plan {point.plan.spec}")
    yield from _command("Does the promise still hold? New queries tell.", f"mrl recheck {folder} NEW_QUERIES")


def _command(said: str, text: str) -> Iterator[Markup]:
    if said:
        yield tag("p", said, class_="how")
    yield tag("pre", tag("code", text), tabindex="0")


def _need(planned: Planned) -> tuple[str, str]:
    """(recall, 0.98), or (tolerance, 0.02)."""
    allowed = planned.terms.allowed
    recall = planned.terms.measure == "recall"
    return ("recall", f"{round(1 - allowed, 10):g}") if recall else ("tolerance", f"{allowed:g}")


def _how(planned: Planned) -> Markup:
    """What was asked of what, and what the words of the table mean."""
    entries = (join(tag("dt", term), tag("dd", unbroken(text))) for term, text in _measured(planned))
    return tag("section", tag("h2", "How it was measured"), tag("footer", tag("dl", *entries)))


def _measured(planned: Planned) -> Iterator[tuple[str, str]]:
    queries, terms, sure = planned.queries, planned.terms, f"{100 * planned.terms.confidence:g} %"
    yield "asked", f"{terms.text} with {sure} confidence, at the least {terms.objective}; seed {terms.seed}"
    came = "Rows that were held out and not searched" if planned.held_out else "Given"
    parts = f"{queries.tune:,} chose the engine and the order, {queries.calibrate:,} tested what is promised"
    yield "queries", f"{came}: {parts}, {queries.report:,} gave the figures of what was tested."
    yield "vectors", f"{printable(planned.data)}, {planned.rows:,} rows, SHA-256 {planned.digest[:16]}."
    change = f"until more than {100 * planned.change:g} % of the rows change"
    yield "holds", f"For queries like these and k = {terms.k}, without a filter, {change}."
    yield planned.measure, "The mean, beneath it its 95 % interval; of what was only measured, over all queries."
    heading, surely = heading_of(terms), "mean loss against the exact search that is surely not exceeded"
    surely = f"1 minus the {surely}" if heading == PROMISED else f"The {surely}"
    loss = f"One level, fixed beforehand, is kept with {sure} confidence by all that promise as much"
    yield heading, f"{surely}. {loss}."
    yield "ms", "Median of one query alone. Queries/s: in batches, on all threads."
    yield "MB", "What searches read from: the engine, its map, and the encodings of the re-rank."
    about = "".join(f", {name} {value}" for name, value in planned.about.items())
    yield "machine", f"{planned.threads} thread{'s' * (planned.threads != 1)}{about}."
