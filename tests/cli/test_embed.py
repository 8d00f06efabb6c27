import json

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from encoders.tiny_text import saved
from encoders.wire import serving
from mrl.cli.embed import embed
from mrl.encoders import EncoderSpec
from mrl.errors import CardError, ExistsError, InputError, StorageError
from mrl.training import TrainSpec, embedding, train
from mrl.vectors import Table
from training.phrases import NESTING, pairs
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


def test_what_a_folder_got_since_is_added(run, tmp_path):
    root, out = folder(tmp_path / "images", {"wide": 2, "fine": 1}), tmp_path / "table"
    first = invoke(run.path, root, "--out", out)
    assert f"embedded 3 images, 0 were there already; {out} has 3 rows\n" in first.stderr
    folder(root, {"extra": 2})
    second = invoke(run.path, root, "--out", out, "--add")
    assert second.exit_code == 0
    assert second.stdout == f"{out}\n"
    assert f"embedded 2 images, 3 were there already; {out} has 5 rows\n" in second.stderr
    table = Table.open(out)
    assert table.ids.tolist() == ["fine/0.png", "wide/0.png", "wide/1.png", "extra/0.png", "extra/1.png"]
    assert [table.label_names[label] for label in table.labels] == ["fine", "wide", "wide", "extra", "extra"]
    again = invoke(run.path, root, "--out", out, "--add")
    assert f"embedded 0 images, 5 were there already; {out} has 5 rows\n" in again.stderr


def test_an_interrupted_table_is_gone_on_with(run, tmp_path, monkeypatch):
    monkeypatch.setattr(embedding, "BLOCK", 2)
    root, out = folder(tmp_path / "images", {"wide": 3, "fine": 3}), tmp_path / "table"
    assert invoke(run.path, root, "--out", tmp_path / "once", "--batch-size", 1).exit_code == 0
    once = Table.open(tmp_path / "once")
    Table.create(out, run.card, run.classes).add(once.vectors[:2], once.ids[:2], once.labels[:2])
    (out / ".tmp-0123456789ab-000001.vectors.npy").write_bytes(b"half")
    result = invoke(run.path, root, "--out", out, "--batch-size", 1)
    assert isinstance(result.exception, ExistsError)
    assert "it is unfinished, after 2 rows: go on with --resume, or choose another --out" in str(result.exception)
    result = invoke(run.path, root, "--out", out, "--batch-size", 1, "--resume")
    assert result.stdout == f"{out}\n"
    assert f"embedded 4 images, 2 were there already; {out} has 6 rows\n" in result.stderr
    blocks = sorted(file.name for file in (tmp_path / "once").glob("0*"))
    assert [(out / name).read_bytes() for name in blocks] == [(once.path / name).read_bytes() for name in blocks]
    assert blocks == sorted(file.name for file in out.iterdir() if file.name != ".lock" and not file.match("manifest*"))
    result = invoke(run.path, root, "--out", out, "--resume")
    assert f"embedded 0 images, 6 were there already; {out} has 6 rows\n" in result.stderr


def test_what_cannot_be_done_is_said_before_the_data_are_read(run, tmp_path):
    out, nothing = tmp_path / "table", tmp_path / "nothing"
    folder(tmp_path / "images", {"wide": 1})
    assert invoke(run.path, tmp_path / "images", "--out", out).exit_code == 0
    for options, error, said in (
        ((), ExistsError, "it is finished, with 1 rows: embed what it lacks with --add, or choose another --out"),
        (("--resume", "--add"), InputError, "a table is either resumed or added to, got both"),
    ):
        result = invoke(run.path, nothing, "--out", out, *options)
        assert isinstance(result.exception, error)
        assert said in str(result.exception)
    result = invoke(run.path, nothing, "--out", tmp_path / "other", "--add")
    assert isinstance(result.exception, StorageError)
    assert "is no table, so nothing can be added to it; leave --add out to begin one" in str(result.exception)


def test_files_that_cannot_be_decoded_are_left_out_and_come_with_add(run, tmp_path):
    root, out = folder(tmp_path / "images", {"wide": 2, "fine": 1}), tmp_path / "table"
    bad = root / "wide" / "1.png"
    good = bad.read_bytes()
    bad.write_bytes(good[:40])
    assert invoke(run.path, root, "--out", out, "--skip-corrupt").exit_code == 0
    assert Table.open(out).ids.tolist() == ["fine/0.png", "wide/0.png"]
    bad.write_bytes(good)
    assert invoke(run.path, root, "--out", out, "--add").exit_code == 0
    assert Table.open(out).ids.tolist() == ["fine/0.png", "wide/0.png", "wide/1.png"]


@pytest.mark.parametrize(("option", "said"), [(("--best",), "--best"), (("--device", "cpu"), "--device cpu")])
def test_what_an_endpoint_cannot_be_told(tmp_path, option, said):
    with pytest.raises(InputError, match=f"^{said} is of encoders that run here, and --endpoint asks one elsewhere"):
        raise invoke(
            "m", "t.csv", "--out", tmp_path / "table", "--endpoint", "http://127.0.0.1:9/v1", *option
        ).exception


def test_a_batch_of_no_rows_is_refused(run, tmp_path):
    folder(tmp_path / "images", {"wide": 1})
    with pytest.raises(InputError, match="batch_size must be at least 1, got 0"):
        raise invoke(run.path, tmp_path / "images", "--out", tmp_path / "table", "--batch-size", 0).exception


def texts(path, **columns):
    rows = (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_table_is_of_one_model_behind_an_endpoint(tmp_path):
    """Of which no fingerprint tells."""
    first, more = (texts(tmp_path / f"{n}.jsonl", id=[n], text=["a man"]) for n in ("x", "y"))
    with serving() as server:
        there = ("--out", tmp_path / "table", "--id-column", "id", "--endpoint", server.url)
        assert invoke("one", first, *there).exit_code == 0
        with pytest.raises(CardError, match="has vectors of one, got two; embed these texts into another table"):
            raise invoke("two", more, *there, "--add").exception
        assert invoke("one", more, *there, "--add").exit_code == 0
    assert Table.open(tmp_path / "table").ids.tolist() == ["x", "y"]


def test_prompts_that_were_not_asked_for_are_told(tmp_path):
    prompts = EncoderSpec(str(saved(tmp_path / "tiny")), query_prompt="query : ")
    run = train(TrainSpec(NESTING, task="pairs", encoder=prompts, epochs=1), pairs(), tmp_path / "run", quiet=True)
    asked = texts(tmp_path / "t.jsonl", text=["a man"])
    plain = invoke(run.path, asked, "--out", tmp_path / "plain")
    assert "nothing was put before these texts; tiny-pairs-16 has prompts for query: see --prompt" in plain.stderr
    told = invoke(run.path, asked, "--out", tmp_path / "told", "--prompt", "query")
    assert told.exit_code == 0
    assert "nothing was put" not in told.stderr
