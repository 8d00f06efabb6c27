"""How figures look: colours, markers and matplotlib's settings, the same on every machine."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from mrl.errors import MissingError
from mrl.report.series import FIXED, Curve, encoded_of

INK, FAINT, GRID, PAPER, BASELINE = "#1c2733", "#5b6673", "#e2e6ea", "#fffffe", "#3a4149"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe and Ito's, without yellow
# For series that share a colour.
DASHES: tuple[Any, ...] = ("-", "-.", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 1.2)), (0, (9, 2)))
PROBE = (0, (2.2, 1.6))
RING: dict[str, Any] = {
    "marker": "o",
    "linestyle": "",
    "markersize": 13,
    "markerfacecolor": "none",
    "markeredgecolor": INK,
    "markeredgewidth": 1.1,
}
STYLE: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Helvetica", "Arial"],
    "font.size": 10.5,
    "text.color": INK,
    "text.parse_math": False,  # a run may be called `$x$`
    "axes.labelcolor": FAINT,
    "axes.edgecolor": FAINT,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "axes.titlesize": 12.5,
    "axes.titleweight": "bold",
    "axes.titlepad": 12,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "ytick.major.size": 0,
    "figure.facecolor": PAPER,
    "figure.figsize": (5.6, 4.1),  # inches: text stays readable on a page 360 px wide
    "figure.constrained_layout.use": True,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "legend.handlelength": 2.2,
    "legend.columnspacing": 1.6,
    "lines.linewidth": 1.9,
    "lines.markersize": 6.5,
    "lines.markeredgewidth": 1.6,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "mrl",
    "savefig.facecolor": PAPER,
}


def style() -> AbstractContextManager[Any]:
    """matplotlib's own defaults with STYLE on top, whatever the user's matplotlibrc says, until the block ends."""
    try:
        import matplotlib.style
    except ImportError:
        raise MissingError("figures need matplotlib: pip install 'mrl[report]'") from None
    return matplotlib.style.context(["default", STYLE])


def colour(names: Sequence[str], name: str) -> str:
    """The colour of one of a report's series: the palette in order, near black for the fixed-feature baseline.

    Encodings of one series, such as `PCA, int8` of `PCA`, share its colour and differ in their lines.
    """
    return BASELINE if name == FIXED else COLOURS[_place(names, name)[0] % len(COLOURS)]


def look(names: Sequence[str], curve: Curve) -> dict[str, Any]:
    """Colour, line, marker and its size of a curve among a report's series, as matplotlib's keywords."""
    place, line = (0, 0) if curve.series == FIXED else _place(names, curve.series)
    turn = place // len(COLOURS) + line
    probe = curve.method == "probe"
    return {
        "color": colour(names, curve.series),
        "linestyle": PROBE if probe else DASHES[turn % len(DASHES)],
        "marker": "D" if probe else "o",
        "markersize": 5.6 if probe else 6.5,
    }


def _place(names: Sequence[str], name: str) -> tuple[int, int]:
    """(colour, line) of a series: its number among those that are no encoding of another, and its own among those."""
    base = encoded_of(names, name)
    first = [other for other in names if other != FIXED and encoded_of(names, other) == other]
    return first.index(base), [other for other in names if encoded_of(names, other) == base].index(name)
