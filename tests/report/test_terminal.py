import io
from dataclasses import replace

import pytest
from rich.console import Console

from mrl.errors import InputError
from mrl.report import table


def _printed(rows, width=100):
    out = io.StringIO()
    Console(file=out, width=width, color_system=None).print(table(rows))
    return out.getvalue()


def _cell(rows, line, column):
    return list(table(rows).columns[column].cells)[line]


def test_three_runs_and_three_measures_fit_in_a_hundred_columns(rows):
    printed = _printed(rows)
    assert max(len(line.rstrip()) for line in printed.splitlines()) <= 100
    assert "…" not in printed
    for row in rows:
        if row.measure in ("top-1", "1-NN", "mAP@10"):
            mark, star = "" if row.trained else "~", "*" if row.method == "probe" else ""
            assert f"{mark}{row.value * 100:.1f}{star}" in printed


def test_columns_are_measures_by_series_and_lines_are_dims(rows):
    result = table(rows)
    heads = [str(column.header).split("\n") for column in result.columns[1:]]
    assert heads == [[m, s] for m in ("top-1", "1-NN", "mAP@10") for s in ("MRL", "MRL-E", "FF")]
    assert list(result.columns[0].cells) == ["8", "12", "16", "24", "32", "48", "64"]


def test_read_dims_are_dim_and_marked_and_the_best_is_bold(rows):
    assert (str(_cell(rows, 1, 1)), _cell(rows, 1, 1).style) == ("~89.8*", "bold dim")
    assert (str(_cell(rows, 0, 2)), _cell(rows, 0, 2).style) == ("78.0", "none")
    assert _cell(rows, 0, 1).style == "bold"
    assert _cell(rows, 1, 3) == ""


def test_a_head_stands_before_a_probe(rows):
    head = [row for row in rows if row.measure == "top-1" and row.run == "MRL-E"]
    probed = [replace(row, method="probe", value=0.1) for row in head]
    assert str(_cell([*head, *probed], 0, 1)) == str(_cell([*probed, *head], 0, 1)) == "78.0"


def test_names_are_no_markup(ladder):
    assert "[red]x[/red]" in _printed(ladder(0.5, 0.6, run="[red]x[/red]"))


def test_no_rows_are_refused():
    with pytest.raises(InputError, match="no rows to report"):
        table([])
