import json

import numpy as np
import pytest
from typer.testing import CliRunner

from encoders.test_image import encoder as image_encoder
from encoders.tiny_text import NESTING, TEXTS, encoder
from mrl.cli import app
from mrl.disk import Folder
from mrl.encoders import load
from mrl.encoders.encoder import RUN_KIND
from mrl.errors import ExistsError, InputError, StorageError
from mrl.evaluation.rows import Row, write_rows


def invoke(*arguments):
    return CliRunner().invoke(app, ["export", *(str(argument) for argument in arguments)])


@pytest.fixture
def run(tmp_path):
    """The folder of a run with two states, whose best one is the first."""
    best, last = (encoder(tmp_path / name, pooling=name) for name in ("cls", "mean"))
    folder = Folder.create(tmp_path / "run", RUN_KIND)
    files = {"encoder-1.safetensors": best.sealed(), "encoder-2.safetensors": last.sealed()}
    states = {"encoder": "encoder-2.safetensors", "best": {"encoder": "encoder-1.safetensors"}}
    folder.commit(files, states, keep=lambda name: True)
    return folder.path, best, last


def test_a_run_is_exported_as_it_ended_or_at_its_best(run, tmp_path):
    path, best, last = run
    result = invoke(path, "--out", tmp_path / "out")
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path / 'out'}\n")
    assert invoke(path, "--out", tmp_path / "top", "--best").exit_code == 0
    for name, model in (("out", last), ("top", best)):
        np.testing.assert_array_equal(load(tmp_path / name).encode(TEXTS), model.encode(TEXTS))
        assert load(tmp_path / name).card.nesting == NESTING
    np.testing.assert_array_equal(load(path, best=True).encode(TEXTS), best.encode(TEXTS))


def test_an_encoders_own_file_and_its_rows(tmp_path):
    encoder(tmp_path / "model").save(tmp_path / "encoder.safetensors")
    rows = tmp_path / "rows.jsonl"
    write_rows(rows, [Row("mine", "nDCG@10", 4, True, 0.5, 0.4, 0.6, "bootstrap", "neighbours", 10, 16, 4)])
    assert invoke(tmp_path / "encoder.safetensors", "--out", tmp_path / "out", "--rows", rows).exit_code == 0
    assert "| 4 | 0.5000 (0.4000 to 0.6000) |\n" in (tmp_path / "out" / "README.md").read_text()
    assert json.loads((tmp_path / "out" / "config.json").read_text())["matryoshka_dimensions"] == [4, 8, 16]


def test_what_cannot_be_exported(run, tmp_path):
    path, *_ = run
    image_encoder().save(tmp_path / "images.safetensors")
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "mine").touch()
    for arguments, error, said in (
        ((tmp_path / "images.safetensors", "--out", tmp_path / "out"), InputError, "tiny encodes images, and"),
        (
            (path / "encoder-1.safetensors", "--best", "--out", tmp_path / "out"),
            InputError,
            "of which there is no best",
        ),
        ((path, "--out", tmp_path / "there"), ExistsError, "already exists and is not overwritten"),
        ((path, "--out", tmp_path / "out", "--rows", tmp_path / "none.jsonl"), StorageError, "cannot read"),
        ((tmp_path / "there", "--out", tmp_path / "out"), StorageError, "is no mrl-run: it has no manifest.json"),
    ):
        result = invoke(*arguments)
        assert isinstance(result.exception, error)
        assert said in str(result.exception)
    assert not (tmp_path / "out").exists()
