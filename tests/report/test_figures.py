import io
import sys
from dataclasses import replace
from xml.etree import ElementTree

import matplotlib as mpl
import pytest
from PIL import Image

from mrl.errors import InputError, MissingError
from mrl.report.figures import figure, figures, png, svg
from mrl.report.look import BASELINE, COLOURS, PAPER, colour
from mrl.report.series import Plot, curves, series


def _axes(rows, measure, across="dim"):
    (axes,) = figure(rows, Plot("x", measure, across)).axes
    return axes


def _markers(axes):
    """(x, value, colour, marker, filled) of every point drawn, without the ring."""
    return {
        (x, round(y, 9), line.get_color(), line.get_marker(), line.get_markerfacecolor() != PAPER)
        for line in axes.lines
        if line.get_marker() in ("o", "D") and line.get_markerfacecolor() != "none"
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
    }


@pytest.mark.parametrize("across", ["dim", "bytes"])
@pytest.mark.parametrize("measure", ["top-1", "1-NN", "mAP@10", "P@10"])
def test_every_row_is_one_marker_filled_if_trained_and_a_diamond_if_probed(rows, measure, across):
    names = series(rows)
    expected = {
        (getattr(row, across), round(row.value * 100, 9), colour(names, curve.series), marker, row.trained)
        for curve in curves(rows, measure)
        for row in curve.rows
        for marker in ["D" if row.method == "probe" else "o"]
    }
    assert _markers(_axes(rows, measure, across)) == expected


def test_a_figure_exists_for_each_main_measure_there_is_and_one_for_bytes(rows):
    assert [plot.name for plot in figures(rows)] == ["top-1-by-dim", "1-nn-by-dim", "map-10-by-dim", "map-10-by-bytes"]
    only = [row for row in rows if row.measure in ("1-NN", "10-NN")]
    assert [plot.name for plot in figures(only)] == ["1-nn-by-dim", "1-nn-by-bytes"]


def test_figures_are_the_same_bytes_every_time_whatever_the_settings(rows):
    first = [(svg(drawn), png(drawn)) for drawn in figures(rows).values()]
    with mpl.rc_context({"font.size": 30, "svg.hashsalt": "other", "axes.grid": False, "lines.linewidth": 9}):
        before = dict(mpl.rcParams)
        again = [(svg(drawn), png(drawn)) for drawn in figures(rows).values()]
        assert dict(mpl.rcParams) == before
    assert first == again


def test_figures_carry_no_date_no_software_and_no_address(rows):
    for drawn in figures(rows).values():
        root = ElementTree.fromstring(svg(drawn))
        assert "metadata" not in svg(drawn)
        assert {value for node in root.iter() for value in node.attrib.values() if "://" in value} == set()
        with Image.open(io.BytesIO(png(drawn))) as image:
            assert set(image.info) <= {"dpi"}


def test_a_series_has_one_colour_in_all_figures_even_where_others_are_missing(rows):
    names = series(rows)
    assert [colour(names, name) for name in names] == [COLOURS[0], COLOURS[1], BASELINE]
    without = [row for row in rows if row.run != "MRL" or row.measure != "1-NN"]
    assert {marker[2] for marker in _markers(_axes(without, "1-NN"))} == {COLOURS[1], BASELINE}


def test_more_series_than_colours_differ_in_their_lines(ladder):
    rows = [row for number in range(14) for row in ladder(0.5, 0.6, run=f"run {number}")]
    lines = [
        line for line in _axes(rows, "1-NN").lines if line.get_marker() in ("", "None") and len(line.get_xdata()) == 2
    ]
    looks = {(line.get_color(), line.get_linestyle(), line._unscaled_dash_pattern) for line in lines}
    assert len(looks) >= 14


def test_the_ring_is_where_the_headline_says(ladder):
    (ring,) = [line for line in _axes(ladder(0.5, 0.9, 0.9), "1-NN").lines if line.get_markerfacecolor() == "none"]
    assert (list(ring.get_xdata()), list(ring.get_ydata())) == ([16], [90.0])


def test_dims_are_labels_in_between_ones_too_where_there_is_room(rows, ladder):
    assert [label.get_text() for label in _axes(rows, "1-NN").get_xticklabels()] == list(
        map(str, (8, 12, 16, 24, 32, 48, 64))
    )
    wide = [*ladder(*[0.5] * 9), *(replace(row, dim=row.dim * 3 // 2, trained=False) for row in ladder(*[0.5] * 8))]
    shown = [label.get_text() for label in _axes(wide, "1-NN").get_xticklabels()]
    assert shown == ["8", "16", "32", "64", "128", "256", "512", "1,024", "2,048"]


@pytest.mark.parametrize("name", ["$x$ _y^", "_hidden", "<b>&amp;", "名前", "a\x00b\ud800", "x" * 300, ""])
def test_any_run_name_can_be_drawn(ladder, name):
    drawn = figure(ladder(0.5, 0.6, run=name), Plot("x", "1-NN", "dim"))
    shown = "".join(ElementTree.fromstring(svg(drawn)).itertext())
    assert name[:10].replace("\x00", "\ufffd").replace("\ud800", "\ufffd") in shown
    assert png(drawn).startswith(b"\x89PNG")


def test_a_single_row_is_a_figure(ladder):
    axes = _axes(ladder(0.5), "1-NN")
    assert len(_markers(axes)) == 1
    assert len(axes.collections) == 2  # the band has no width; the interval is a line


def test_pyplot_is_not_touched(rows):
    before = "matplotlib.pyplot" in sys.modules
    figures(rows)
    assert ("matplotlib.pyplot" in sys.modules) == before


def test_no_rows_are_refused():
    with pytest.raises(InputError, match="no rows to report"):
        figures([])


def test_a_missing_matplotlib_is_named(rows, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.style", None)
    with pytest.raises(MissingError, match=r"pip install 'mrl\[report\]'"):
        figures(rows)
