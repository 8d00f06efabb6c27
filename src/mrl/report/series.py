"""How rows become series, curves and cells: what every figure and table of a report agrees on."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from mrl.errors import InputError
from mrl.evaluation.rows import Row

FIXED = "FF"
TIMES = "\u00d7"
_FIXED_RUN = re.compile(r"FF-(\d+)")


@dataclass(frozen=True)
class Family:
    """Measures that differ only in k. title, noun: with `{}` for k. main: shown in figures, by its smallest k.

    share: whether values are shares of something, told in percent; a correlation is not.
    """

    pattern: re.Pattern[str]
    title: str
    noun: str
    main: bool
    share: bool = True

    def k(self, measure: str) -> int | None:
        """The k of a measure of this family, 0 where the family has none; None for another's."""
        found = self.pattern.fullmatch(measure)
        return int(found[1] if self.pattern.groups else 0) if found else None


FAMILIES = (
    Family(re.compile(r"top-(\d+)"), "Linear accuracy (top-{})", "top-{} accuracy", True),
    Family(re.compile(r"(\d+)-NN"), "{}-NN accuracy", "{}-NN accuracy", True),
    Family(re.compile(r"mAP@(\d+)"), "Mean average precision (mAP@{})", "mAP@{}", True),
    Family(re.compile(r"nDCG@(\d+)"), "Ranking quality (nDCG@{})", "nDCG@{}", True),
    Family(re.compile(r"MRR@(\d+)"), "Mean reciprocal rank (MRR@{})", "MRR@{}", True),
    Family(re.compile(r"recall@(\d+)"), "Recall (recall@{})", "recall@{}", True),
    Family(re.compile(r"AP@(\d+)"), "Average precision (AP@{})", "AP@{}", False),
    Family(re.compile(r"P@(\d+)"), "Precision (P@{})", "P@{}", False),
    Family(re.compile("Spearman"), f"Spearman correlation {TIMES} 100", "Spearman correlation", True, share=False),
    Family(re.compile("Pearson"), f"Pearson correlation {TIMES} 100", "Pearson correlation", False, share=False),
)


@dataclass(frozen=True)
class Curve:
    """One line of a figure: a series, a measure and a method; rows by dim, narrowest first."""

    series: str
    measure: str
    method: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Plot:
    """What one figure shows, and the name of its files: a measure of every series against dim or against bytes."""

    name: str
    measure: str
    across: Literal["dim", "bytes"]


def plots(rows: Iterable[Row]) -> list[Plot]:
    """The figures of a report: every main measure against dim, then the last of them against bytes per vector."""
    shown = main_measures(rows)
    wanted: list[tuple[str, Literal["dim", "bytes"]]] = [*((name, "dim") for name in shown), (shown[-1], "bytes")]
    found: dict[str, Plot] = {}
    for measure, across in wanted:
        name = f"{_slug(measure)}-by-{across}"
        while name in found:  # two measures whose names differ in punctuation only
            name += "-again"
        found[name] = Plot(name, measure, across)
    return list(found.values())


def check(rows: Sequence[Row]) -> None:
    """Raise InputError when there is nothing to report, when a row cannot be drawn, or when two claim one place."""
    if not rows:
        raise InputError("no rows to report; give rows that `mrl evaluate --out` wrote")
    seen: set[tuple[str, str, str, int]] = set()
    for row in rows:
        if not (math.isfinite(row.value) and row.dim >= 1 and row.bytes >= 1):
            raise InputError(
                f"{row.measure} of {row.run} at dim {row.dim} has value {row.value} and {row.bytes} bytes; a report "
                "needs finite values and at least one dim and one byte, so measure it again or leave the row out"
            )
        place = (series_of(row), row.measure, row.method, row.dim)
        if place in seen:
            raise InputError(
                f"two rows give {row.measure} ({row.method}) of {place[0]} at dim {row.dim}; "
                "give each file once, and each run a name of its own"
            )
        seen.add(place)


def series_of(row: Row) -> str:
    """The series that a row belongs to: its run. Runs `FF-<dim>`, read at their own dim, share the series `FF`."""
    fixed = _FIXED_RUN.fullmatch(row.run)
    return FIXED if fixed and int(fixed[1]) == row.dim else row.run


def series(rows: Iterable[Row]) -> list[str]:
    """Names of the series in order of appearance, the fixed-feature baseline last."""
    names = dict.fromkeys(series_of(row) for row in rows)
    return sorted(names, key=lambda name: name == FIXED)


def encoded_of(names: Sequence[str], name: str) -> str:
    """The series that `name` is an encoding of, as `PCA, int8` is of `PCA` where that is there too; else itself."""
    from mrl.retrieval.encodings import ENCODINGS  # here, as it brings in Numba

    base, _, encoding = name.rpartition(", ")
    return base if encoding in ENCODINGS and base in names else name


def measures(rows: Iterable[Row]) -> list[str]:
    """Names of the measures: known families in their order, by k, then the others in order of appearance."""
    return sorted(dict.fromkeys(row.measure for row in rows), key=_rank)


def main_measures(rows: Iterable[Row]) -> list[str]:
    """The measures worth a figure: the smallest k of each main family, and those of no known family; else all."""
    names = measures(rows)
    smallest = {_rank(name)[0]: name for name in reversed(names)}
    main = [name for name in names if _family(name) is None or (_main(name) and smallest[_rank(name)[0]] == name)]
    return main or names


def title(measure: str) -> str:
    """A measure's readable title; unknown ones keep their own name."""
    family = _family(measure)
    return family.title.format(family.k(measure)) if family else measure


def noun(measure: str) -> str:
    """What a measure is called within a sentence."""
    family = _family(measure)
    return family.noun.format(family.k(measure)) if family else measure


def is_share(measure: str) -> bool:
    """Whether a measure's values are shares, which are told in percent."""
    family = _family(measure)
    return family is None or family.share


def curves(rows: Iterable[Row], measure: str) -> list[Curve]:
    """All curves of one measure, series by series; `head` before `probe`."""
    mine = [row for row in rows if row.measure == measure]
    methods = sorted(dict.fromkeys(row.method for row in mine), key=lambda method: method == "probe")
    found = []
    for name in series(mine):
        for method in methods:
            chosen = [row for row in mine if series_of(row) == name and row.method == method]
            if chosen:
                found.append(Curve(name, measure, method, tuple(sorted(chosen, key=lambda row: row.dim))))
    return found


def best(rows: Iterable[Row]) -> set[Row]:
    """The highest row of each measure and dim, where at least two series were measured; ties are all best."""
    places: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        places.setdefault((row.measure, row.dim), []).append(row)
    rivals = [here for here in places.values() if len(series(here)) > 1]
    return {row for here in rivals for row in here if row.value == max(other.value for other in here)}


def printable(name: str) -> str:
    """A run's name as it can be drawn: control characters and lone surrogates are replaced."""
    return "".join(c if c.isprintable() else "\ufffd" for c in name)


def digits(rows: Iterable[Row]) -> int:
    """Decimals of a percentage: two when every value comes from 10,000 queries or more, else one."""
    return 2 if all(row.queries >= 10_000 for row in rows) else 1


def _slug(measure: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", measure.lower()).strip("-") or "measure"


def _family(measure: str) -> Family | None:
    return next((family for family in FAMILIES if family.k(measure) is not None), None)


def _rank(measure: str) -> tuple[int, int]:
    family = _family(measure)
    return (FAMILIES.index(family), family.k(measure) or 0) if family else (len(FAMILIES), 0)


def _main(measure: str) -> bool:
    family = _family(measure)
    return family is not None and family.main
