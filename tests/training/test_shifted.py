"""Shifted test sets in the form in which they are given out, on a model's own classes."""

import numpy as np
import pytest

from mrl.errors import InputError
from mrl.heads import HeadWeights
from mrl.nesting import Nesting
from mrl.training import Opening, Rows
from mrl.training.shifted import open_shifted
from training.pictures import folder, own_cache, parquet, records  # noqa: F401

CLASSES = ("n03", "n01", "n12", "n02", "n05", "n04", "n11", "n08", "n07", "n10", "n09", "n06")  # as a model may have


def test_numbers_are_positions_in_the_sorted_list(tmp_path):
    folder(tmp_path, {str(i): 1 for i in range(12)})
    data, subset = open_shifted(tmp_path, CLASSES)
    assert subset == data.classes == CLASSES
    for name, label in zip(data.ids, data.labels, strict=True):
        assert data.classes[label] == sorted(CLASSES)[int(name.split("/")[0])]


def test_numbers_may_leave_some_out(tmp_path):
    data, subset = open_shifted(folder(tmp_path, {"2": 1, "10": 2}), CLASSES)
    assert subset == ("n03", "n11")
    assert [(name, subset[label]) for name, label in zip(data.ids, data.labels, strict=True)] == [
        ("10/0.png", "n11"), ("10/1.png", "n11"), ("2/0.png", "n03"),
    ]  # fmt: skip


def test_names_are_the_models_own_in_its_order(tmp_path):
    folder(tmp_path, {"n01": 2, "n12": 1, "n03": 1})
    (tmp_path / "README.txt").write_text("what this is")
    data, subset = open_shifted(tmp_path, CLASSES, Opening((4, 4), 3, labelled=False))
    assert (subset, data.shape) == (("n03", "n01", "n12"), (4, 4, 3))
    assert [subset[label] for label in data.labels] == [name.split("/")[0] for name in data.ids]


def test_a_model_whose_classes_are_numbers_knows_them_by_name(tmp_path):
    data, subset = open_shifted(folder(tmp_path, {"7": 1, "3": 1}), ("3", "5", "7"))
    assert subset == ("3", "7")
    assert [subset[label] for label in data.labels] == ["3", "7"]


def test_a_table_will_do(tmp_path):
    data, subset = open_shifted(parquet(tmp_path / "a.parquet", records(4)), ("wide", "fine", "coarse", "middle"))
    assert subset == ("wide", "fine", "middle")
    assert data.labels.tolist() == [1, 2, 0, 1]


def test_a_head_of_the_subset_fits(tmp_path):
    data, subset = open_shifted(folder(tmp_path, {"1": 1, "10": 2}), CLASSES)
    weights = np.arange(12, dtype=np.float32)[:, None] * np.ones((12, 4), np.float32)
    head = HeadWeights(Nesting((2, 4)), True, (weights,), (), CLASSES).only(subset)
    assert head.logits(np.ones((1, 4), np.float32), 4).shape == (1, len(data.classes))
    assert [CLASSES[int(row[0])] for row in head.weights[0]] == list(data.classes)


@pytest.mark.parametrize(
    ("folders", "rule"),
    [
        (
            ("n01", "n99", "ant"),
            "2 classes of .* are none of the model's 12: ant, n99; rename their folders",
        ),
        (("0", "12"), "folder 12 of .* is beyond the last of 12 classes, which are numbered from 0"),
        (("01", "2"), "2 classes of .* are none of the model's 12: 01, 2"),
        (("1", "n01"), "1 classes of .* are none of the model's 12: 1; "),
    ],
)
def test_folders_that_stand_for_no_class(tmp_path, folders, rule):
    with pytest.raises(InputError, match=rule):
        open_shifted(folder(tmp_path, dict.fromkeys(folders, 1)), CLASSES)


def test_a_stream_is_refused(tmp_path):
    rows = Rows(stream=True, classes=("fine", "middle", "wide"))
    with pytest.raises(InputError, match="is a stream, whose classes are not known before all is read; open"):
        open_shifted(parquet(tmp_path / "a.parquet", records(4)), CLASSES, Opening(rows=rows))
