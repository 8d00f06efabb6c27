"""Write an inspection's folder: rows, facts and figures first, the finished page last."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mrl.advise.energy import Energy
from mrl.advise.inspect import Inspection
from mrl.advise.measured import PCA, PLAIN
from mrl.disk import new_folder, write
from mrl.evaluation import write_rows
from mrl.report.figures import figure, png, svg
from mrl.report.inspection import ENERGY, TITLE, figures_of, inspection_page, shown
from mrl.report.look import COLOURS, PAPER, style
from mrl.report.writer import PAGE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROWS, FACTS = "rows.jsonl", "facts.json"


def write_inspection(path: str | Path, found: Inspection, title: str = TITLE) -> list[Path]:
    """Write figures, `rows.jsonl`, `facts.json` and `report.html` into the new folder `path`; their paths, page last.

    A folder that has a `report.html` is complete. MissingError without matplotlib, ExistsError if `path` holds
    anything: nothing is overwritten.
    """
    drawn = {plot: figure(shown(found.rows, plot), plot, found.rows) for plot in figures_of(found)}
    energy = None if found.facts.energy is None else energy_figure(found.facts.energy)
    every = {plot.name: each for plot, each in drawn.items()} | ({} if energy is None else {ENERGY: energy})
    drawings = {name: svg(each) for name, each in every.items()}
    files = {f"{name}.svg": drawing.encode() for name, drawing in drawings.items()}
    files |= {f"{name}.png": png(each) for name, each in every.items()}
    files[FACTS] = (json.dumps(document(found), indent=1) + "\n").encode()
    plotted = {plot: drawings[plot.name] for plot in drawn}
    files[PAGE] = inspection_page(found, title, drawings.get(ENERGY), plotted).encode()
    folder = new_folder(Path(path))
    write_rows(folder / ROWS, found.rows)
    for name, content in files.items():
        write(folder / name, content)
    return [folder / name for name in (ROWS, *files)]


def document(found: Inspection) -> dict[str, Any]:
    """Everything but the rows: facts, findings, contrasts and notes."""
    whole = found.to_json()
    return {name: value for name, value in whole.items() if name != "rows"}


def energy_figure(energy: Energy) -> Figure:
    """Share of the squared length within the first m dims, as they are and after PCA, on a log2 axis."""
    with style():
        from matplotlib.figure import Figure

        result = Figure()
        axes = result.add_subplot()
        for name, shares, colour in ((PLAIN, energy.plain, COLOURS[0]), (PCA, energy.pca, COLOURS[1])):
            axes.plot(
                energy.cuts,
                [share * 100 for share in shares],
                marker="o",
                markerfacecolor=PAPER,
                color=colour,
                label=name,
            )
        axes.set_xscale("log", base=2)
        axes.set_xticks(energy.cuts, [f"{dim:,}" for dim in energy.cuts])
        axes.set_xticks([], minor=True)
        axes.set_xlabel("dims of the vector")
        axes.set_ylim(0, 104)
        axes.yaxis.set_major_formatter("{x:g} %")
        axes.set_title("Energy: share of the squared length")
        result.legend(loc="outside lower left", ncols=2)
        return result
