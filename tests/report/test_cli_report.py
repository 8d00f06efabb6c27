import pytest
import typer
from typer.testing import CliRunner

from mrl.cli.report import report
from mrl.errors import ExistsError
from mrl.evaluation import write_rows


@pytest.fixture
def app():
    app = typer.Typer()
    app.command()(report)
    return app


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_rows_of_several_files_become_one_page_whose_path_is_printed(app, rows, tmp_path, ending):
    files = [tmp_path / f"{name}.{ending}" for name in ("nested", "fixed")]
    for file, fixed in zip(files, (False, True), strict=True):
        write_rows(file, [row for row in rows if row.run.startswith("FF") == fixed])
    out = tmp_path / "out"
    result = CliRunner().invoke(app, [*map(str, files), "--out", str(out), "--title", "Both"])
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{out / 'report.html'}\n"
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "<title>Both</title>" in page
    assert "MRL, MRL-E, FF. 7 dims, 597 queries." in page


def test_an_existing_report_is_refused(app, rows, tmp_path):
    write_rows(tmp_path / "rows.jsonl", rows)
    result = CliRunner().invoke(app, [str(tmp_path / "rows.jsonl"), "--out", str(tmp_path)])
    assert isinstance(result.exception, ExistsError)


def test_the_folder_must_be_named(app, tmp_path):
    result = CliRunner().invoke(app, [str(tmp_path / "rows.jsonl")])
    assert result.exit_code == 2
