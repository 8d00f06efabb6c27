"""Labels and classes that cannot be compared, and what are no labelled rows."""

from dataclasses import replace

import numpy as np
import pytest

from classify import made
from mrl import Card
from mrl.classify import Cascade, fit, measure, rechecked
from mrl.classify.labelled import renamed
from mrl.errors import InputError

NAMES = tuple("abcdefghij")
ROWS = made.table(200)


def cascade(head):
    return Cascade(head, Card("made", 32, made.ladder(32), metric="dot"), made.ladder(32))


def test_labels_are_those_of_the_classifier_by_name():
    head, rows = made.tied(classes=10), replace(ROWS, label_names=NAMES[::-1])
    np.testing.assert_array_equal(renamed(replace(head, classes=NAMES), rows), 9 - ROWS.labels)
    np.testing.assert_array_equal(renamed(head, ROWS), ROWS.labels)
    np.testing.assert_array_equal(renamed(head, replace(ROWS, labels=ROWS.labels + 8))[ROWS.labels > 1], -1)


def test_numbers_meet_classes_that_are_named_by_numbers():
    head, numbers = made.tied(classes=10), tuple(str(n) for n in (*range(10, 15), *range(5)))
    mine = renamed(replace(head, classes=numbers), ROWS)
    np.testing.assert_array_equal(mine, np.where(ROWS.labels < 5, ROWS.labels + 5, -1))
    theirs = renamed(head, replace(ROWS, label_names=tuple(map(str, range(9, -1, -1)))))
    np.testing.assert_array_equal(theirs, 9 - ROWS.labels)


@pytest.mark.parametrize("doing", ["fit", "measure", "unseen"])
def test_names_against_no_names_are_refused(doing):
    from mrl.classify.unseen import unseen

    do = {"fit": fit, "measure": lambda h, r: measure(cascade(h), r), "unseen": lambda h, r: unseen(cascade(h), r)}
    bare, named = made.tied(), made.tied(classes=10)
    named = replace(named, classes=NAMES)
    with pytest.raises(InputError, match=r"^the classifier names its classes \('a'\) and memory has no names, so they"):
        do[doing](named, ROWS)
    with pytest.raises(
        InputError, match=r"^memory names its labels \('a'\) and the classifier has no names, .*; give names to"
    ):
        do[doing](bare, replace(ROWS, label_names=NAMES))


def test_a_label_beyond_the_names_is_refused():
    head, labels = replace(made.tied(), classes=NAMES[::-1]), ROWS.labels.copy()
    labels[3] = 12
    with pytest.raises(InputError, match=r"^memory has the label 12 and only 10 label_names; name every label$"):
        fit(head, replace(ROWS, label_names=NAMES, labels=labels))


def test_what_are_no_labelled_rows():
    head = made.tied()
    for do in (lambda rows: Cascade.fit(head, rows), lambda rows: measure(cascade(head), rows)):
        with pytest.raises(
            InputError, match=r"^rows must be a table or Held.of\(vectors, card, labels\), got ndarray;"
        ):
            do(ROWS.vectors)
    with pytest.raises(InputError, match="nothing is promised"):
        rechecked(cascade(head), ROWS)
