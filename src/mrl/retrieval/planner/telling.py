"""What a selection says in plain words."""

from __future__ import annotations

from collections.abc import Iterator

from mrl.retrieval.planner.selection import Figure, Seen, Selection
from mrl.retrieval.planner.terms import Terms


def told(selection: Selection, seen: Seen, terms: Terms) -> tuple[str, ...]:
    """What was picked or why nothing was, and what more queries would tell.

    seen: what was selected from, for its names and costs.
    """
    return (*_found(selection, seen, terms), *_step(selection, seen, terms), *_least(selection, terms))


def _found(selection: Selection, seen: Seen, terms: Terms) -> Iterator[str]:
    exact = f"the exact search costs {terms.cost_text(seen.costs[seen.exact])}"
    if selection.outcome == "picked":
        yield (
            f"take {_named(selection.pick, seen, terms)}: {terms.text} with {100 * terms.confidence:g} % confidence; "
            f"{exact}"
        )
    elif min(seen.costs) == seen.costs[seen.exact]:
        yield f"take the exact search, {terms.cost_text(seen.costs[seen.exact])}: nothing that was measured is cheaper"
    elif selection.outcome == "out of reach":
        yield f"nothing but the exact search reaches {terms.text}; {_best(selection, seen, terms)}{exact}"
    else:
        yield f"nothing but the exact search is known to keep {terms.text}; {_best(selection, seen, terms)}{exact}"


def _step(selection: Selection, seen: Seen, terms: Terms) -> Iterator[str]:
    if selection.step is not None:
        queries = f"{sum(selection.queries):,} {_kind(terms)}queries"
        named = _named(selection.step.number, seen, terms)
        enough = f"about {selection.step.enough:,} would do"
        yield f"not enough queries to tell whether {named}, keeps {terms.text}: {queries}; {enough}"


def _least(selection: Selection, terms: Terms) -> Iterator[str]:
    """That so few queries could not show it of anything; what is not known for want of queries is a step."""
    queries = sum(selection.queries)
    if selection.outcome == "out of reach" and selection.least > queries:
        yield (
            f"{queries:,} {_kind(terms)}queries cannot show {terms.text} of anything, even if nothing is lost; "
            f"about {selection.least:,} would do"
        )


def _kind(terms: Terms) -> str:
    return "" if terms.measure == "recall" else "judged "


def _best(selection: Selection, seen: Seen, terms: Terms) -> str:
    """The best that something cheaper than the exact search promises."""
    if not (others := selection.figures[1:]):
        return "nothing that was measured is cheaper; "
    best = max(others, key=lambda figure: (figure.promised, -seen.costs[figure.number]))
    return f"the best that is promised is {_level(best, terms)}: {_named(best.number, seen, terms)}; "


def _level(best: Figure, terms: Terms) -> str:
    if terms.measure == "recall":
        return f"{terms.name} ≥ {best.promised:.4f}"
    return f"{terms.name} within {1 - best.promised:.4f}"


def _named(number: int, seen: Seen, terms: Terms) -> str:
    return f"{seen.names[number]}, {terms.cost_text(seen.costs[number])}"
