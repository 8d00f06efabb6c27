"""Texts as data: rows of columns, from Python and from tables."""

import json

import numpy as np
import pytest

from mrl.errors import InputError, StorageError
from mrl.training import Opening, Rows, TextOpening, from_texts, open_texts


def table(path, **columns):
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def opened(path, purpose, skip_empty=False, **rows):
    return open_texts(path, TextOpening(purpose, skip_empty=skip_empty, rows=Rows(**rows)))


def test_rows_from_python():
    data = from_texts(["a", "b", "a"], ["c", "a", "c"], scores=[0, 0.5, 1], ids=["x", "y", "z"])
    assert (len(data), data.views, data.classes) == (3, (("a", "b", "a"), ("c", "a", "c")), ())
    assert data.scores.tolist() == [0, 0.5, 1]
    assert data.keys[0].tolist() == data.keys[2].tolist()  # the same texts, the same keys
    assert data.keys[1, 1] == data.keys[0, 0]
    part = data.part(np.array([2, 0]))
    assert (part.views[0], part.ids.tolist(), part.scores.tolist()) == (("a", "a"), ["z", "x"], [1, 0])


def test_labels_are_mapped_by_name():
    data = from_texts(["a", "b"], labels=[0, 1], classes=("cat", "dog"))
    named = data.named(("dog", "cow"))
    assert (named.labels.tolist(), named.classes, named.unknown) == ([2, 0], ("dog", "cow", "cat"), ("cat",))


def test_the_fingerprint_tells_texts_order_labels_and_scores():
    base = from_texts(["a", "b"], labels=[0, 1])
    others = [
        from_texts(["a", "c"], labels=[0, 1]),
        from_texts(["b", "a"], labels=[0, 1]),
        from_texts(["a", "b"], labels=[1, 0]),
        from_texts(["a", "b"], labels=[0, 1], classes=("x", "y")),
        from_texts(["a", "b"], labels=[0, 1], ids=[1, 0]),
        from_texts(["ab", " b"], labels=[0, 1]),
        from_texts(["a", "b"], scores=[0, 1]),
    ]
    prints = {data.fingerprint() for data in (base, *others)}
    assert len(prints) == len(others) + 1
    assert base.fingerprint() == from_texts(["a", "b"], labels=[0, 1]).fingerprint()


@pytest.mark.parametrize(
    ("views", "more", "message"),
    [
        ((), {}, "there are no texts; give at least one column with at least one row"),
        (([],), {}, "there are no texts; give at least one column with at least one row"),
        ((["a"], ["b", "c"]), {}, "the columns have 1, 2 texts; a row has one text of each column"),
        ((["a", ""],), {}, "text 1 of column 0 is empty; give each row a text, or leave it out"),
        ((["a"], ["  \n"]), {}, "text 0 of column 1 is only white space; give each row a text, or leave it out"),
        ((["a", "\ud83d"],), {}, "text 1 of column 0 is cut within a character; give each row a text, or leave it out"),
        ((["a", None],), {}, "text 1 of column 0 is a NoneType; give each row a text, or leave it out"),
        ((["a"],), {"labels": [0.5]}, r"labels must be 1 integers, one a row, got float64 of shape \(1,\)"),
        ((["a"],), {"labels": [-1]}, "labels must be 0 or more, got -1; leave unlabelled rows out"),
        ((["a"],), {"labels": [3], "classes": ["x"]}, "label 3 has no name among 1 classes; name every class"),
        ((["a"],), {"scores": [1, 2]}, r"scores must be 1 numbers, one a row, got int64 of shape \(2,\)"),
        ((["a", "b"],), {"scores": [1, np.nan]}, "score 1 is nan; every row needs a finite one"),
        ((["a"],), {"ids": [1, 2]}, r"1 rows have ids of shape \(2,\); give each row one id"),
    ],
)
def test_rows_that_cannot_be_used(views, more, message):
    with pytest.raises(InputError, match=f"^{message}$"):
        from_texts(*views, **more)


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
def test_tables_of_every_kind(tmp_path, ending):
    columns = {"id": ["p", "q", "r"], "title": ["NA", "two words", "007"], "tag": ["b", "a", "b"]}
    path = tmp_path / f"t.{ending}"
    if ending == "jsonl":
        table(path, **columns)
    elif ending == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table(columns), path)
    else:
        separator = "," if ending == "csv" else "\t"
        lines = [separator.join(columns), *(separator.join(row) for row in zip(*columns.values(), strict=True))]
        path.write_text("\n".join(lines) + "\n")
    data = opened(path, "classify", text=("title",), label="tag", id="id")
    assert data.views == (("NA", "two words", "007"),)
    assert (data.labels.tolist(), data.classes, data.ids.tolist()) == ([1, 0, 1], ("a", "b"), ["p", "q", "r"])
    assert data.origin.to_json()["how"]["purpose"] == "classify"


def test_columns_are_found_where_nothing_is_in_doubt(tmp_path):
    path = table(tmp_path / "t.jsonl", question=["a", "b"], answer=["c", "d"], source=["x", "y"])
    assert opened(path, "pairs").views == (("a", "b"), ("c", "d"))
    path = table(tmp_path / "s.jsonl", left=["a"], right=["b"], score=[0.5])
    assert opened(path, "scored-pairs").scores.tolist() == [0.5]
    path = table(tmp_path / "e.jsonl", text=["a"], url=["b"])
    assert opened(path, "embed").views == (("a",),)


def test_the_sides_of_pairs_are_told_by_their_names(tmp_path):
    """Whichever comes first in the table: prompts stand before the right ones."""
    path = table(tmp_path / "t.jsonl", positive=["p"], anchor=["q"])
    assert opened(path, "pairs").views == (("q",), ("p",))
    path = table(tmp_path / "s.jsonl", right=["p"], left=["q"])
    assert opened(path, "pairs").views == (("p",), ("q",))


def test_hard_negatives_are_further_columns(tmp_path):
    path = table(tmp_path / "t.jsonl", q=["a"], p=["b"], n1=["c"], n2=["d"])
    assert opened(path, "pairs", text=("q", "p", "n1", "n2")).views == (("a",), ("b",), ("c",), ("d",))


def test_rows_with_an_empty_text_are_refused_or_left_out(tmp_path):
    path = table(tmp_path / "t.jsonl", id=[5, 6, 7], a=["x", " ", "z"], b=["u", "v", None], score=[1, 2, 3])
    with pytest.raises(InputError, match=r"row 1 of .* has no text in column 'a'; give it one, or leave .*\(1 of 3\)"):
        opened(path, "scored-pairs", text=("a", "b"), id="id")
    data = opened(path, "scored-pairs", skip_empty=True, text=("a", "b"), id="id")
    assert (data.views, data.scores.tolist(), data.ids.tolist()) == ((("x",), ("u",)), [1.0], [5])
    assert data.skipped == ("6", "7")


@pytest.mark.parametrize(
    ("purpose", "rows", "message"),
    [
        (
            "classify",
            {"text": ("nope",)},
            r"column 'nope' of .* is not there and cannot be a text; columns are a \(text\)",
        ),
        ("classify", {"text": ("n",), "label": "c"}, "column 'n' of .* is of kind number and cannot be a text"),
        ("classify", {"text": ("a",), "label": "nope"}, "column 'nope' of .* is not there and cannot be the label"),
        ("classify", {"text": ("a", "b"), "label": "n"}, "classify takes one text, got 2 columns of texts: a, b"),
        ("pairs", {"text": ("a",)}, "pairs takes an anchor and its positive .* got 1 columns of texts: a"),
        ("scored-pairs", {"text": ("a", "b")}, "has no column of scores among .*; name it with score, --score-column"),
        ("scored-pairs", {"text": ("a", "b"), "score": "c"}, "row 0 of .* has the score 'x' in column 'c'"),
    ],
)
def test_columns_that_cannot_be_used(tmp_path, purpose, rows, message):
    path = table(tmp_path / "t.jsonl", a=["x"], b=["y"], c=["x"], n=[1])
    with pytest.raises(InputError, match=message):
        opened(path, purpose, **rows)


def test_columns_that_are_in_doubt(tmp_path):
    path = table(tmp_path / "t.jsonl", left=["x"], middle=["y"], right=["z"])
    said = r"pairs takes an anchor and its positive .*; name them with text, --text-column"
    with pytest.raises(InputError, match=said):
        opened(path, "pairs")
    with pytest.raises(InputError, match="embed takes one text; name them with text"):
        opened(path, "embed")
    path = table(tmp_path / "s.jsonl", a=["x"], b=["y"], label=[1], score=[0.3])
    with pytest.raises(InputError, match="several columns that may be the scores: label, score; name one with score"):
        opened(path, "scored-pairs")
    assert opened(path, "scored-pairs", score="score").scores.tolist() == [0.3]


@pytest.mark.parametrize(
    ("purpose", "rows"),
    [
        ("pairs", {"label": "x"}),
        ("scored-pairs", {"classes": ("x", "y")}),
        ("classify", {"score": "x"}),
        ("embed", {"image": "x"}),
    ],
)
def test_columns_that_nobody_would_read_are_refused(purpose, rows):
    (name,) = rows
    with pytest.raises(InputError, match=f"^{name} says nothing of texts for {purpose}; leave it out$"):
        TextOpening(purpose, rows=Rows(**rows))


@pytest.mark.parametrize("rows", [{"text": ("x",)}, {"score": "x"}])
def test_columns_of_texts_are_refused_for_images(rows):
    (name,) = rows
    with pytest.raises(InputError, match=f"^{name} names columns of texts, and these data are opened as images"):
        Opening(rows=Rows(**rows))


def test_nothing_there_and_no_table(tmp_path):
    with pytest.raises(StorageError, match=r"there is no .*no\.csv; give \.csv, .* files, or hub:NAME"):
        opened(tmp_path / "no.csv", "embed")
    (tmp_path / "plain").mkdir()
    with pytest.raises(InputError, match=r"is no table; give texts as \.csv, \.tsv, \.jsonl or \.parquet files"):
        opened(tmp_path / "plain", "embed")
    with pytest.raises(InputError, match="texts are small and are held in memory, so they are no stream"):
        TextOpening("pairs", rows=Rows(stream=True))
    with pytest.raises(InputError, match="columns of texts must differ, got a, a; name each once"):
        Rows(text=("a", "a"))
