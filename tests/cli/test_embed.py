import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from mrl.cli.embed import embed
from mrl.errors import ExistsError
from mrl.training import train
from mrl.vectors import Table
from training.pictures import TINY, folder, tiny


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train(TINY, tiny(), tmp_path_factory.mktemp("runs") / "run", quiet=True)


def invoke(*arguments):
    app = typer.Typer()
    app.command()(embed)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_folder_becomes_a_table(run, tmp_path):
    folder(tmp_path / "images", {"wide": 2, "extra": 1}, size=(30, 20), mode="RGB")
    result = invoke(run.path, tmp_path / "images", "--out", tmp_path / "table")
    assert result.exit_code == 0
    assert result.stdout == f"{tmp_path / 'table'}\n"
    assert "1 classes that the run does not know: extra" in result.stderr
    table = Table.open(tmp_path / "table")
    assert table.ids.tolist() == ["extra/0.png", "wide/0.png", "wide/1.png"]
    assert table.labels.tolist() == [3, 2, 2]
    paths = [tmp_path / "images" / name for name in table.ids]
    np.testing.assert_allclose(table.vectors, run.encoder.encode(paths, raw=True), atol=1e-5)


def test_images_without_labels(run, tmp_path):
    (folder(tmp_path, {"images": 3}) / "images").rename(tmp_path / "loose")
    assert invoke(run.path, tmp_path / "loose", "--out", tmp_path / "table").exit_code == 0
    table = Table.open(tmp_path / "table")
    assert table.labels is None
    assert table.rows == 3


def test_nothing_is_overwritten(run, tmp_path):
    folder(tmp_path / "images", {"wide": 1})
    (tmp_path / "table").mkdir()
    (tmp_path / "table" / "mine").touch()
    with pytest.raises(ExistsError, match="already exists"):
        raise invoke(run.path, tmp_path / "images", "--out", tmp_path / "table").exception
