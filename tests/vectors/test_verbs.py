"""Verbs of retrieval take vectors of every format."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from mrl.cli import app
from mrl.retrieval import Index
from vectors.written import LABELLED, NAMED_LABELS, WRITERS, ids, labels, vectors

ROWS, WIDTH = 60, 8


def done(*words):
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, (words, result.output, result.exception)
    return result


@pytest.mark.parametrize("name", WRITERS)
def test_an_index_of_every_format(name, tmp_path):
    v = vectors(ROWS, WIDTH)
    named = WRITERS[name](tmp_path / name, v)
    done("index", "build", tmp_path / name, "--out", tmp_path / "ix", "--map", "pca")
    index = Index.open(tmp_path / "ix")
    found = index.get(ids(ROWS) if named else np.arange(ROWS))
    np.testing.assert_allclose(found.vectors, v, atol=1e-6)
    if name in LABELLED:
        names = np.array(["ant", "bee", "cow"])[labels(ROWS)] if name in NAMED_LABELS else labels(ROWS)
        assert found.payload["label"].to_pylist() == names.tolist()
    lines = done("search", tmp_path / "ix", tmp_path / name, "-k", 1).stdout.splitlines()
    assert [json.loads(line)["ids"][0] for line in lines] == [json.loads(line)["query"] for line in lines]
    assert len(lines) == ROWS


def test_rows_are_added_after_those_there(tmp_path):
    WRITERS["plain.fvecs"](tmp_path / "v.fvecs", vectors(ROWS, WIDTH))
    done("index", "build", tmp_path / "v.fvecs", "--out", tmp_path / "ix")
    WRITERS["packed.hdf5"](tmp_path / "more.h5", vectors(5, WIDTH, seed=1))
    done("index", "add", tmp_path / "ix", tmp_path / "more.h5")
    np.testing.assert_array_equal(
        Index.open(tmp_path / "ix").get(np.arange(ROWS, ROWS + 5)).vectors, vectors(5, WIDTH, seed=1)
    )


def test_bad_rows_are_left_out_of_an_index_and_told(tmp_path):
    v = vectors(ROWS, WIDTH)
    v[7] = np.nan
    np.save(tmp_path / "v.npy", v)
    result = done("index", "build", tmp_path / "v.npy", "--out", tmp_path / "ix", "--drop-bad", "yes")
    assert f"{tmp_path / 'v.npy'}: 1 rows are left out, 1 with a NaN or an Inf: row 7\n" in result.stderr
    assert Index.open(tmp_path / "ix").rows == ROWS - 1
    refused = CliRunner().invoke(app, ["search", str(tmp_path / "ix"), str(tmp_path / "v.npy")])
    assert "query 7 has a NaN or an Inf (1 in all are such); leave these out" in str(refused.exception)


def test_labels_of_a_file_of_their_own_become_payload(tmp_path):
    np.save(tmp_path / "v.npy", vectors(3, WIDTH))
    (tmp_path / "labels.txt").write_text("ox\nape\nox\n")
    done("index", "build", tmp_path / "v.npy", "--labels", tmp_path / "labels.txt", "--out", tmp_path / "ix")
    assert Index.open(tmp_path / "ix").get([0, 1, 2]).payload["label"].to_pylist() == ["ox", "ape", "ox"]


def test_the_help_lists_the_formats():
    for words in (("index", "build"), ("index", "add"), ("search",)):
        text = done(*words, "--help").stdout
        for ending in (".npz", ".parquet", ".safetensors", ".fvecs"):
            assert ending in text
