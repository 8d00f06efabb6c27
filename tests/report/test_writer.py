import pytest

from mrl.errors import ExistsError, InputError
from mrl.report import write_report

FIGURES = ["top-1-by-dim", "1-nn-by-dim", "map-10-by-dim", "map-10-by-bytes"]


def test_a_report_is_a_page_and_its_figures(rows, tmp_path):
    paths = write_report(tmp_path / "new" / "report", rows, title="Digits")
    assert paths[-1] == tmp_path / "new" / "report" / "report.html"
    assert {path.name for path in paths} == {
        "report.html",
        *(f"{f}.{kind}" for f in FIGURES for kind in ("png", "svg")),
    }
    assert set(paths) == set((tmp_path / "new" / "report").iterdir())
    assert "<title>Digits</title>" in paths[-1].read_text(encoding="utf-8")


def test_the_page_is_written_last(rows, tmp_path):
    paths = write_report(str(tmp_path / "report"), rows)
    assert max(paths, key=lambda path: path.stat().st_mtime_ns).name == "report.html"


def test_two_reports_of_the_same_rows_are_the_same_bytes(rows, tmp_path):
    one, two = (write_report(tmp_path / name, rows) for name in ("one", "two"))
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]


def test_an_existing_folder_is_not_overwritten(rows, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ExistsError, match="already exists and is not overwritten; remove it or choose another --out"):
        write_report(tmp_path, rows)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_refused_rows_leave_no_folder(tmp_path):
    with pytest.raises(InputError, match="no rows to report"):
        write_report(tmp_path / "report", [])
    assert not (tmp_path / "report").exists()
