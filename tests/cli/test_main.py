"""The command line as a whole: refusals, the demo, and evaluate's two ways out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from mrl import Card, Nesting, Table
from mrl.cli import app, main
from mrl.evaluation import read_rows
from mrl.training import Run


def invoke(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def said(monkeypatch, capsys, *words) -> tuple[int, str]:
    """Exit code and stderr of the real entry point."""
    monkeypatch.setattr(sys, "argv", ["mrl", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0), capsys.readouterr().err


@pytest.fixture
def tables(tmp_path):
    draws = np.random.default_rng(0)
    for name in ("db", "q"):
        labels = draws.integers(0, 3, 40)
        with Table.create(tmp_path / name, Card("clouds", 8, Nesting((2, 8))), ("a", "b", "c")) as table:
            table.add((np.eye(8)[labels] + draws.normal(size=(40, 8)) / 3).astype(np.float32), labels=labels)
    return tmp_path / "db", tmp_path / "q"


def test_evaluate_prints_rows_as_json_lines(tables):
    result = invoke("evaluate", *tables, "--k", 5, "--name", "mine")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert {row["run"] for row in rows} == {"mine"}
    assert {row["dim"] for row in rows} == {2, 5, 8}
    assert "1-NN" in result.stderr


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_evaluate_writes_rows(tables, tmp_path, ending):
    out = tmp_path / f"rows.{ending}"
    assert invoke("evaluate", *tables, "--out", out).stdout.strip() == str(out)
    assert {row.dim for row in read_rows(out)} == {2, 5, 8}


def test_evaluate_never_overwrites(tables, tmp_path, monkeypatch, capsys):
    out = tmp_path / "rows.jsonl"
    out.write_text("mine\n")
    code, error = said(monkeypatch, capsys, "evaluate", *tables, "--out", out)
    assert code == 2
    assert "already exists and is not overwritten" in error
    assert out.read_text() == "mine\n"


def test_a_refusal_is_one_sentence_and_no_traceback(tables, monkeypatch, capsys):
    code, error = said(monkeypatch, capsys, "evaluate", *tables, "--dims", "8,2")
    assert code == 2
    assert error.startswith("mrl: dims must be positive and strictly increasing, got (8, 2)")
    assert "Traceback" not in error


def test_a_missing_table_is_named(tmp_path, monkeypatch, capsys):
    code, error = said(monkeypatch, capsys, "evaluate", tmp_path / "nowhere", tmp_path / "nowhere")
    assert code == 2
    assert "nowhere is no mrl-table" in error


def test_the_demo_leaves_runs_tables_rows_and_report(tmp_path):
    out = tmp_path / "demo"
    result = invoke("demo", "--out", out, "--dims", "4,8", "--epochs", 2)
    assert result.exit_code == 0, result.output
    assert {path.name for path in (out / "runs").iterdir()} == {"MRL", "MRL-E", "FF-4", "FF-8"}
    assert (out / "report" / "report.html").is_file()
    assert {row.run for row in read_rows(out / "rows.jsonl")} == {"MRL", "MRL-E", "FF-4", "FF-8"}
    assert Run.open(out / "runs" / "MRL").epoch == 2
    assert len(result.stdout.split("Try next:")[1].strip().splitlines()) == 3
    again = invoke("demo", "--out", out)
    assert "already exists" in str(again.exception)


def test_the_demo_takes_ones_own_images(tmp_path):
    from PIL import Image

    for label in ("cat", "dog"):
        (tmp_path / "mine" / label).mkdir(parents=True)
        for i in range(12):
            Image.new("RGB", (16, 16), (i * 20, 0, 0 if label == "cat" else 255)).save(
                tmp_path / "mine" / label / f"{i}.png"
            )
    result = invoke("demo", "--data", tmp_path / "mine", "--out", tmp_path / "demo", "--dims", "4,8", "--epochs", 1)
    assert result.exit_code == 0, (result.output, result.exception)


def test_the_module_runs_as_the_command():
    done = subprocess.run([Path(sys.executable).with_name("mrl"), "--help"], capture_output=True, text=True, check=True)
    assert "mrl demo" in done.stdout
