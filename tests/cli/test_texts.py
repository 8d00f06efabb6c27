"""Texts on the command line: from a table to a run, vectors, measurements, an exported folder; and what is refused."""

import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from typer.testing import CliRunner

from encoders.tiny_text import saved
from encoders.wire import serving
from mrl import Table
from mrl.cli import app
from mrl.encoders import load
from mrl.errors import CardError, EndpointError, ExistsError, InputError, StorageError
from mrl.evaluation import read_rows
from mrl.training import Run
from training.phrases import TOPICS, phrases

DIMS = ("--dims", "4,8,16")


def invoke(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def done(*words):
    """The result of a command that must succeed."""
    result = invoke(*words)
    assert result.exit_code == 0, result.exception or result.output
    return result


def refused(error, said, *words):
    with pytest.raises(error, match=said):
        raise invoke(*words).exception


def written(path, **columns):
    """A table of these columns, in the form that the path's ending tells."""
    table = pa.table({name: list(values) for name, values in columns.items()})
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(table, path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    else:
        tabs = pyarrow.csv.WriteOptions(delimiter="\t" if path.suffix == ".tsv" else ",")
        pyarrow.csv.write_csv(table, path, tabs)
    return path


def paired(path, n=32, seed=0, negatives=()):
    """Anchors and positives of one topic, and negatives of the next one."""
    left, right, third = (phrases(n + 1, seed + i)[0] for i in range(3))
    return written(path, anchor=left[:n], positive=right[:n], **dict.fromkeys(negatives, third[1:]))


def scored(path, n=32, seed=0):
    """Every other pair is of one topic, and has the score 1."""
    left, right = phrases(n, seed)[0], phrases(n + 1, seed + 1)[0]
    second = [right[i + i % 2] for i in range(n)]
    return written(path, sentence1=left, sentence2=second, score=[1.0 - i % 2 for i in range(n)])


def labelled(path, n=32, seed=0):
    texts, labels = phrases(n, seed)
    names = list(TOPICS)
    keys = [f"{path.stem}{i}" for i in range(n)]
    return written(path, key=keys, text=texts, intent=[names[label] for label in labels])


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A Transformers folder."""
    return saved(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, model):
    """A sentence-transformers folder with prompts, as `mrl export` wrote it."""
    root = tmp_path_factory.mktemp("folders")
    prompts = ("--query-prompt", "query : ", "--document-prompt", "text : ")
    data = paired(root / "a.csv", 8)
    done("train", data, "--task", "pairs", "--network", model, *DIMS, "--epochs", 1, *prompts, "--out", root / "run")
    done("export", root / "run", "--out", root / "st")
    return root / "st"


def training(model, data, out, *more):
    return ("train", data, "--network", model, *DIMS, "--epochs", 1, "--batch-size", 16, "--out", out, *more)


# -------------------------------------------------------------------------------------------- what works


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
def test_pairs_from_any_table_to_judged_retrieval_and_an_exported_folder(tmp_path, model, ending):
    data, held_out = paired(tmp_path / f"a.{ending}"), paired(tmp_path / f"b.{ending}", seed=5)
    result = done(*training(model, data, tmp_path / "run", "--task", "pairs", "--validate", held_out))
    assert result.stdout == f"{tmp_path / 'run'}\n"
    assert f"a.{ending}: 32 rows of texts (anchor, positive)\n" in result.stderr
    assert re.search(r"^epoch 1/1 .* · validation MRR@10 4: \S+% 8: \S+% 16: \S+%$", result.stderr, re.MULTILINE)
    for column, prompt in (("anchor", "query"), ("positive", "document")):
        done("embed", tmp_path / "run", data, "--text-column", column, "--prompt", prompt, "--out", tmp_path / column)
    judgements = written(tmp_path / "judged.tsv", **{"query-id": range(32), "corpus-id": range(32), "score": [1] * 32})
    rows = tmp_path / "rows.jsonl"
    done("evaluate", tmp_path / "positive", tmp_path / "anchor", "--judgements", judgements, "--out", rows)
    assert {4, 8, 16} <= {row.dim for row in read_rows(rows) if row.measure == "nDCG@10"}
    assert done("report", rows, "--out", tmp_path / "report").stdout == f"{tmp_path / 'report' / 'report.html'}\n"
    done("export", tmp_path / "run", "--rows", rows, "--out", tmp_path / "st")
    texts = phrases(5)[0]
    np.testing.assert_array_equal(load(tmp_path / "st").encode(texts, 8), load(tmp_path / "run").encode(texts, 8))


def test_scored_pairs_are_validated_and_measured_by_rank(tmp_path, model):
    data, held_out = scored(tmp_path / "a.csv"), scored(tmp_path / "b.csv", seed=5)
    result = done(*training(model, data, tmp_path / "run", "--task", "scored-pairs", "--validate", held_out))
    assert "a.csv: 32 rows of texts (sentence1, sentence2), scores from 0 to 1\n" in result.stderr
    assert " · validation Spearman 4: " in result.stderr
    for column in ("sentence1", "sentence2"):
        done("embed", tmp_path / "run", held_out, "--text-column", column, "--out", tmp_path / column)
    sides = (tmp_path / "sentence1", tmp_path / "sentence2")
    result = done("evaluate", *sides, "--pairs", held_out, "--dims", "4,16")
    found = {(row["measure"], row["dim"]): row["value"] for row in map(json.loads, result.stdout.splitlines())}
    assert set(found) == {(measure, dim) for measure in ("Spearman", "Pearson") for dim in (4, 16)}
    validated = Run.open(tmp_path / "run").log[-1]["validation"]
    assert found["Spearman", 16] == pytest.approx(validated["16"], abs=1e-4)


def test_classes_of_texts_with_ids(tmp_path, model):
    data, held_out = labelled(tmp_path / "a.parquet"), labelled(tmp_path / "b.parquet", seed=5)
    how = ("--text-column", "text", "--label-column", "intent", "--id-column", "key")
    result = done(*training(model, data, tmp_path / "run", *how, "--head", "mrl-e", "--validate", held_out))
    assert "32 rows of texts (text), 3 classes\n" in result.stderr
    assert " · validation accuracy 4: " in result.stderr
    assert Run.open(tmp_path / "run").classes == tuple(sorted(TOPICS))
    for name, source in (("known", data), ("new", held_out)):
        done("embed", tmp_path / "run", source, *how, "--out", tmp_path / name)
    assert Table.open(tmp_path / "new").ids.tolist()[:2] == ["b0", "b1"]
    result = done("evaluate", tmp_path / "known", tmp_path / "new", "--head", tmp_path / "run")
    assert {json.loads(line)["measure"] for line in result.stdout.splitlines()} >= {"top-1", "1-NN", "mAP@10"}


def test_columns_of_negatives_are_hard_negatives(tmp_path, model):
    data = paired(tmp_path / "a.jsonl", negatives=("negative", "negative_2"))
    options = ("--symmetric", "--accumulate", 2, "--margin", 0.1)
    result = done(*training(model, data, tmp_path / "run", "--task", "pairs", *options))
    assert "rows of texts (anchor, positive, negative, negative_2)" in result.stderr
    named = ("--task", "pairs", "--text-column", "anchor,positive", "--loss", "siglip")
    assert "rows of texts (anchor, positive)\n" in done(*training(model, data, tmp_path / "two", *named)).stderr
    pairs = Run.open(tmp_path / "run").spec.pairs
    assert (pairs.symmetric, pairs.margin, Run.open(tmp_path / "two").spec.pairs.loss) == (True, 0.1, "siglip")


@pytest.mark.parametrize("tune", ["head", "last"])
def test_a_projection_cut_texts_and_what_is_tuned(tmp_path, model, tune):
    options = ("--task", "pairs", "--tune", tune, "--width", 24, "--max-length", 4)
    result = done(*training(model, paired(tmp_path / "a.csv"), tmp_path / "run", *options))
    assert " texts were longer than max_length and were cut" in result.stderr
    run = Run.open(tmp_path / "run")
    assert (run.encoder.card.width, run.encoder.max_length, run.spec.encoder.tune) == (24, 4, tune)


def test_a_run_that_is_there_is_gone_on_with_and_says_so(tmp_path, model):
    words = training(model, paired(tmp_path / "a.csv"), tmp_path / "run", "--task", "pairs")
    done(*words, "--resume")
    whole = Run.open(tmp_path / "run").encoder.encode(["a man"])
    done("train", "--out", tmp_path / "run", "--resume")
    np.testing.assert_array_equal(Run.open(tmp_path / "run").encoder.encode(["a man"]), whole)
    refused(InputError, "a resumed run keeps its settings, got --batch-size, --dims", *words, "--resume")
    refused(ExistsError, "already exists and is not overwritten", *words)


def test_a_folder_of_sentence_transformers_embeds_queries_and_documents(tmp_path, folder):
    data = written(tmp_path / "t.csv", key=["a", "b"], text=["a man", "the dog"])
    more = written(tmp_path / "u.csv", key=["b", "c"], text=["the dog", "short"])
    how = ("--text-column", "text", "--id-column", "key", "--out", tmp_path / "q")
    done("embed", folder, data, "--prompt", "query", *how)
    result = done("embed", folder, more, "--prompt", "query", *how, "--add")
    assert "embedded 1 texts, 1 were there already" in result.stderr
    table, encoder = Table.open(tmp_path / "q"), load(folder)
    assert table.ids.tolist() == ["a", "b", "c"]
    told = encoder.encode(["a man", "the dog", "short"], raw=True, prompt="query")
    np.testing.assert_allclose(table.vectors, told, atol=1e-6)
    assert not np.allclose(told, encoder.encode(["a man", "the dog", "short"], raw=True, prompt="document"))
    done("index", "build", tmp_path / "q", "--cuts", "8,16", "--out", tmp_path / "index")
    assert '"query": "c", "ids": ["c"' in done("search", tmp_path / "index", tmp_path / "q", "--k", 1).stdout


def test_vectors_of_an_endpoint(tmp_path, monkeypatch):
    monkeypatch.setenv("SOME_KEY", "secret")
    data = written(tmp_path / "t.csv", text=["a man", "the dog"])
    with serving() as server:
        how = ("--endpoint", server.url, "--key-variable", "SOME_KEY", "--dims", "4,16")
        done("embed", "some-model", data, *how, "--out", tmp_path / "t")
        assert {headers["authorization"] for headers in server.headers} == {"Bearer secret"}
    assert str(Table.open(tmp_path / "t").card.nesting) == "4,16"


# -------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("device", ["nosuch", "cuda:99"])
def test_devices_that_are_not_here(tmp_path, model, folder, device):
    data = paired(tmp_path / "a.csv")
    said = f"there is no device '{device}' here.*leave it out"
    refused(InputError, said, *training(model, data, tmp_path / "run", "--task", "pairs", "--device", device))
    how = ("--text-column", "anchor", "--device", device, "--out", tmp_path / "table")
    refused(InputError, said, "embed", folder, data, *how)
    refused(InputError, said, "embed", folder.parent / "run", data, *how)
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "table").exists()


def test_files_have_no_splits(tmp_path, model):
    """Or what is trained on would be validated on."""
    data = paired(tmp_path / "a.csv")
    words = training(model, data, tmp_path / "run", "--task", "pairs")
    said = "a.csv is read whole and has no split 'dev'; give the file of that split"
    refused(InputError, said, *words, "--validate", data, "--validate-split", "dev")
    refused(InputError, said, *words, "--split", "dev")
    pattern = tmp_path / "*.csv"
    refused(
        InputError,
        "has no split 'dev'",
        *training(model, pattern, tmp_path / "run", "--task", "pairs"),
        "--split",
        "dev",
    )


def test_what_datasets_saved_has_the_splits_that_it_was_saved_with(tmp_path, model):
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_dict({"anchor": phrases(8)[0], "positive": phrases(8, 1)[0]})
    rows.save_to_disk(tmp_path / "plain")
    datasets.DatasetDict({"dev": rows}).save_to_disk(tmp_path / "parts")
    dev = ("--task", "pairs", "--split", "dev")
    assert "8 rows of texts" in done(*training(model, tmp_path / "parts", tmp_path / "run", *dev)).stderr
    refused(InputError, "has no split 'dev'; it has train", *training(model, tmp_path / "plain", tmp_path / "x", *dev))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "t.csv has no rows; give a table that has some"),
        ("anchor,positive\n", "t.csv has no rows; give a table that has some"),
        ("anchor,positive\na, b,c\nd, e,f\n", "the first row of .*t.csv has 3 cells for 2 columns; put what holds a"),
        ("anchor,positive\na,b\nc, d,e\n", r"cannot read .*t.csv as csv: .*line 3.* and what holds a separator in"),
        (
            "anchor,positive\na,b\n,c\n",
            "row 1 of .* has no text in column 'anchor'; .* with skip_empty, --skip-corrupt",
        ),
        ("anchor,positive\na,b\n", "training needs at least two rows, got 1"),
        ("left,middle,right\na,b,c\nd,e,f\n", "pairs takes an anchor .*; name them with text, --text-column"),
        (b"\xff\xfe\x00anchor", "cannot read .*t.csv as csv"),
    ],
)
def test_tables_that_cannot_be_trained_on(tmp_path, model, capfd, content, said):
    path = tmp_path / "t.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    refused(InputError, said, *training(model, path, tmp_path / "run", "--task", "pairs"))
    assert not (tmp_path / "run").exists()
    assert capfd.readouterr().err == ""  # of the libraries below


def test_a_text_may_be_longer_than_csv_readers_take(tmp_path, model):
    data = written(tmp_path / "t.csv", text=["dog " * 40_000, "a man", "short", "food"], label=["a", "b", "a", "b"])
    assert "2 classes" in done(*training(model, data, tmp_path / "run", "--text-column", "text")).stderr


def test_options_that_do_not_go_together(tmp_path, model, folder):
    data, classes = paired(tmp_path / "a.csv"), labelled(tmp_path / "b.csv")
    out = tmp_path / "run"
    pairs = training(model, data, out, "--task", "pairs")
    texts = training(model, classes, out, "--text-column", "text")
    embedded = ("embed", folder, data, "--text-column", "anchor", "--out", out)
    for said, words in (
        ("label says nothing of texts for pairs; leave it out", (*pairs, "--label-column", "positive")),
        ("column 'text' of .*b.csv is named as text and as label", (*texts, "--label-column", "text")),
        ("a bert model, which takes no images; .* name their column with text", training(model, classes, out)),
        ("tune=head leaves no weight of .* to train", (*pairs, "--tune", "head")),
        ("--size is of images", (*pairs, "--size", "8x8")),
        ("no config.json, .* `mrl export` it first", training(folder.parent / "run", data, out, "--task", "pairs")),
        ("--key-variable FOO is of an endpoint, and there is none", (*embedded, "--key-variable", "FOO")),
        ("--dims 4 is of an endpoint's model", (*embedded, "--dims", "4")),
        ("there is no prompt named 'nosuch'; known are document, query", (*embedded, "--prompt", "nosuch")),
        ("trained to compare texts, so it has no classifiers", ("evaluate", out, out, "--head", folder.parent / "run")),
    ):
        if words[0] == "evaluate":
            done(*embedded)
        refused((InputError, StorageError), said, *words)
        assert words[0] == "evaluate" or not out.exists()


def test_what_is_not_there(tmp_path, model, folder):
    out, none = tmp_path / "out", tmp_path / "none.csv"
    said = r"there is no .*none\.csv; give \.csv, \.tsv, \.jsonl or \.parquet files"
    refused(StorageError, said, *training(model, none, out, "--task", "pairs"))
    refused(StorageError, said, "embed", folder, none, "--out", out)
    data = paired(tmp_path / "a.csv")
    said = "there is no .*nosuch; give a run, an encoder's file or a sentence-transformers folder"
    refused(StorageError, said, "embed", tmp_path / "nosuch", data, "--text-column", "anchor", "--out", out)
    refused(StorageError, said, "export", tmp_path / "nosuch", "--out", out)
    assert not out.exists()


def test_validation_that_tells_nothing(tmp_path, model):
    same = written(tmp_path / "same.csv", anchor=["a", "man", "dog"], positive=["food"] * 3)
    flat = written(tmp_path / "flat.csv", sentence1=["a", "man"], sentence2=["dog", "food"], score=[1, 1])
    pairs = training(model, paired(tmp_path / "a.csv"), tmp_path / "run", "--task", "pairs")
    refused(InputError, "among a single positive every anchor finds its own", *pairs, "--validate", same)
    scores = training(model, scored(tmp_path / "s.csv"), tmp_path / "run", "--task", "scored-pairs")
    refused(InputError, "all scores of the validation data are 1", *scores, "--validate", flat)
    assert not (tmp_path / "run").exists()


def test_a_table_that_could_not_be_begun_leaves_nothing(tmp_path, folder):
    twice = written(tmp_path / "t.csv", key=["a", "a"], text=["a man", "the dog"])
    how = ("--text-column", "text", "--out", tmp_path / "table")
    refused(InputError, "id 'a' occurs twice", "embed", folder, twice, "--id-column", "key", *how)
    assert not (tmp_path / "table").exists()

    def fewer(document):
        return {**document, "data": document["data"][:1]}

    with serving(change=fewer) as server:
        where = ("--endpoint", server.url, "--dims", "4,16")
        refused(EndpointError, "1 vectors came for 2 texts", "embed", "some-model", twice, *where, *how)
    assert not (tmp_path / "table").exists()
    done("embed", folder, twice, *how)


def test_tables_of_another_model_or_of_other_ids(tmp_path, folder):
    data = written(tmp_path / "t.csv", key=[f"a{i}" for i in range(12)], text=phrases(12)[0])
    how = ("--text-column", "text", "--id-column", "key")
    done("embed", folder, data, *how, "--out", tmp_path / "t")
    with serving() as server:
        done("embed", "other", data, *how, "--endpoint", server.url, "--dims", "4,16", "--out", tmp_path / "o")
    judged = written(tmp_path / "j.tsv", **{"query-id": ["x"], "corpus-id": ["a0"], "score": [1]})
    done("embed", folder, data, *how, "--out", tmp_path / "q")
    tables = (tmp_path / "t", tmp_path / "q")
    refused(InputError, "such as 'x', is an id of .*q, such as 'a0'", "evaluate", *tables, "--judgements", judged)
    refused(CardError, "do not belong together", "evaluate", tmp_path / "t", tmp_path / "o", "--judgements", judged)
    refused(InputError, "has no labels; .* or a table with a column of labels", "evaluate", *tables)


def test_what_is_said_stays_on_its_line(tmp_path, folder):
    """In logs, which are no terminals of eighty columns."""
    data = scored(tmp_path / "a.csv", 8)
    for column in ("sentence1", "sentence2"):
        done("embed", folder, data, "--text-column", column, "--out", tmp_path / column)
    sides = (tmp_path / "sentence1", tmp_path / "sentence2")
    said = done("evaluate", *sides, "--pairs", data, "--dims", "4").stderr.splitlines()
    assert any(line.startswith("values × 100") and line.endswith("bold: best at this dim") for line in said)
    words = training(folder, data, tmp_path / "run", "--task", "scored-pairs", "--level-weights", "1,1,1")
    said = done(*words, "--validate", scored(tmp_path / "b.csv", 8, seed=9)).stderr.splitlines()
    assert all(line.strip() for line in said)
    assert any(line.startswith("epoch 1/1") and " 16: " in line.partition("validation Spearman")[2] for line in said)
