"""Judgements: every form of file gives the same value, and what cannot be meant is refused with its line."""

from __future__ import annotations

import gzip
import json

import pyarrow
import pyarrow.parquet
import pytest

from mrl.errors import InputError, StorageError
from mrl.evaluation import Judgements

TRIPLES = [("1", "d3", 2.0), ("1", "d1", 0.0), ("x y", "007", 1.0), ("2", "d1", -1.0)]
EXPECTED = {"1": {"d3": 2, "d1": 0}, "x y": {"007": 1}, "2": {"d1": -1}}
NAMES = ("query-id", "corpus-id", "score")


def plain(judgements):
    return {query: dict(graded) for query, graded in judgements.grades.items()}


def separated(by, header=NAMES):
    rows = ([header] if header else []) + [(q, d, f"{g:g}") for q, d, g in TRIPLES]
    return "".join(by.join(row) + "\n" for row in rows)


def objects(names=NAMES):
    return "".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in TRIPLES)


FORMS = {
    "beir.tsv": separated("\t"),
    "bare.tsv": separated("\t", None),
    "beir.csv": separated(","),
    "windows.csv": "\ufeff" + separated(",").replace("\n", "\r\n"),
    "beir.jsonl": objects() + "\n",
    "msmarco.tsv": "".join(f"{q}\t0\t{d}\t{g:g}\n" for q, d, g in TRIPLES),
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_of_text_says_the_same(tmp_path, name):
    (tmp_path / name).write_text(FORMS[name], newline="")
    assert plain(Judgements.read(tmp_path / name)) == EXPECTED
    (tmp_path / f"{name}.gz").write_bytes(gzip.compress(FORMS[name].encode()))
    assert plain(Judgements.read(tmp_path / f"{name}.gz")) == EXPECTED


@pytest.mark.parametrize("name", ["qrels", "qrels.txt", "qrels.test.tsv.trec"])
def test_trec_qrels(tmp_path, name):
    (tmp_path / name).write_text("1 0 d3 2\n1  0\td1 0\n\n2 Q0 d1 -1\n3 d9 1\n")
    assert plain(Judgements.read(tmp_path / name)) == {"1": {"d3": 2, "d1": 0}, "2": {"d1": -1}, "3": {"d9": 1}}


def test_parquet_and_integer_ids(tmp_path):
    columns = {"query-id": [1, 1, 2], "corpus-id": [30, 10, 10], "score": [2, 0, 1]}
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "j.parquet")
    assert plain(Judgements.read(tmp_path / "j.parquet")) == {"1": {"30": 2, "10": 0}, "2": {"10": 1}}


def test_columns_can_be_named(tmp_path):
    names = ("q", "d", "g")
    (tmp_path / "j.jsonl").write_text(objects(names))
    (tmp_path / "j.csv").write_text(separated(",", names))
    for file in ("j.jsonl", "j.csv"):
        assert plain(Judgements.read(tmp_path / file, names)) == EXPECTED
    with pytest.raises(InputError, match=r"j.csv has no column query-id, only q, d, g; name the columns"):
        Judgements.read(tmp_path / "j.csv")
    with pytest.raises(
        InputError, match=r"judgements need three columns, .* got q, d; name them as in query-id,corpus"
    ):
        Judgements.read(tmp_path / "j.csv", names[:2])


def test_said_twice_alike_is_said_once(tmp_path):
    (tmp_path / "j").write_text("1 0 a 1\n1 0 a 1.0\n")
    assert plain(Judgements.read(tmp_path / "j")) == {"1": {"a": 1}}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("j", "1 0 a 1\n1 0 a 2\n", r"j:2 gives document 'a' of query '1' the grade 2, and one before it gave 1; keep"),
        ("j", "1 0 a 1\n1 0 a x\n", r"j:2 has the grade 'x'; give a finite number"),
        ("j", "1 0 a nan\n", r"j:1 has the grade 'nan'; give a finite number"),
        ("j", "1 0 a 1e999\n", r"j:1 has the grade '1e999'; give a finite number"),
        ("j", "1 0 a 1\n1 0 a b 1\n", r"j:2 has 5 columns; a judgement is `query 0 document grade`"),
        ("j", "\n", "j has no judgements; give at least one"),
        ("j.tsv", "query-id\tcorpus-id\tscore\n", "has no judgements"),
        ("j.tsv", "query-id\tcorpus-id\tscore\n1\ta\n", r"j.tsv:2 has 2 columns and the header 3; correct"),
        ("j.csv", "query-id,corpus-id,score\n,a,1\n", r"j.csv:2 has the id ''; ids are integers or texts"),
        ("j.csv", "", r"j.csv has no column query-id, nothing at all"),
        ("j.jsonl", '{"query-id": 1.5, "corpus-id": 1, "score": 1}', r"j.jsonl:1 has the id 1.5; ids are integers"),
        ("j.jsonl", '{"query-id": true, "corpus-id": 1, "score": 1}', r"has the id True"),
        ("j.jsonl", '{"query-id": 1, "corpus-id": 1, "score": null}', r"j.jsonl:1 has the grade None"),
        ("j.jsonl", '{"query-id": 1, "score": 1}', r"j.jsonl:1 has no column corpus-id, only query-id, score"),
        ("j.jsonl", "[1]", r"j.jsonl:1 is list, no object; write one object a line"),
        ("j.jsonl", "{", r"j.jsonl:1 is no JSON: .*; write one object a line"),
        ("j.parquet", "PAR1", r"j.parquet is no Parquet: .*; write it again"),
        ("j.tsv.gz", "1\t2\t1", r"j.tsv.gz is no gzip: .*; write it again, or name it without .gz"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        Judgements.read(tmp_path / name)


def test_no_text_and_no_file(tmp_path):
    (tmp_path / "j.tsv").write_bytes(b"1\t\xff\t1\n")
    with pytest.raises(InputError, match=r"j.tsv is no text: .*; write it in UTF-8"):
        Judgements.read(tmp_path / "j.tsv")
    (tmp_path / "j.jsonl").write_bytes(b'{"query-id": "\xff"}\n')
    with pytest.raises(InputError, match=r"j.jsonl is no text: .*; write it in UTF-8"):
        Judgements.read(tmp_path / "j.jsonl")
    with pytest.raises(StorageError, match="cannot read"):
        Judgements.read(tmp_path / "nowhere")


def test_made_in_memory_and_frozen():
    made = Judgements.of([(1, 30, 2), ("1", "10", 0)])
    assert plain(made) == {"1": {"30": 2, "10": 0}}
    assert len(made) == 1
    with pytest.raises(TypeError):
        made.grades["1"]["30"] = 5
    with pytest.raises(InputError, match=r"judgement 1 gives document '2' of query '1' the grade 0"):
        Judgements.of([(1, 2, 1), (1, 2, 0)])
    with pytest.raises(InputError, match="there are no judgements"):
        Judgements({})


def test_relevant_is_above_zero_and_never_oneself_if_that_is_said():
    grades = {"a": {"a": 1, "b": 2, "c": 0, "d": -1}}
    assert Judgements(grades).relevant("a") == {"a": 1, "b": 2}
    assert Judgements(grades, ignore_same_ids=True).relevant("a") == {"b": 2}
    assert Judgements(grades).relevant("z") == {}
