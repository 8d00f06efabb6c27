"""What a fit says in plain words."""

from dataclasses import replace

import pytest

from mrl.classify.sentences import beyond, part_of_width, points, promised, rows, sentences
from mrl.promise import Estimate, Parts, Promise

PROMISE = Promise(
    "the cascade over 8 … 64",
    "accuracy",
    0.005,
    0.95,
    Estimate(0.002, -0.01, 0.014),
    Parts(50, 1200, 300),
    "held",
    2000,
    "x",
    calibrated=0.0013,
    unit="rows",
)
FOUND = {
    "policy": "promise",
    "score": "margin",
    "scores": {"probability": 7.25, "margin": 6.68, "gain": None},
    "terms": {"target": None, "tolerance": 0.005},
    "parts": {"tune": 50, "calibrate": 1200, "report": 300},
    "measured": 300,
    "width": 64,
    "last": 6.68,
    "read": 9.0,
    "accuracy": {"mean": 0.8956, "low": 0.85, "high": 0.92},
    "full": {"mean": 0.8976, "low": 0.85, "high": 0.92},
    "lost": {"mean": 0.002, "low": -0.01, "high": 0.014},
    "oracle": {"accuracy": 0.946, "last": 7.9},
    "notes": ["a note"],
    "reached": {"accuracy": 0.9012, "full": 0.91},
}


def told(**changes):
    return list(sentences({**FOUND, **changes}, None))


def test_all_of_it():
    assert list(sentences(FOUND, PROMISE)) == [
        "A row stops by the lead of its largest probability over the second, which needed the least dims on the "
        "tune part "
        "(probability 7.2, margin 6.7).",
        "On 300 rows that had no part in the choice it uses 6.7 of 64 dims on average by the last dim used "
        "(1/9.6 of the "
        "width), and 9.0 when every dim read counts.",
        "It is right in 89.56 % of them, and the full width in 89.76 %: 0.20 points are lost [-1.00, 1.40] (95 "
        "%; betting, "
        "sure at any number of rows).",
        "An oracle that stops at the narrowest level that is right would reach 94.60 % at 7.9 dims, with the "
        "full width for "
        "rows that no level has right.",
        promised(PROMISE),
        "A note.",
    ]
    assert promised(PROMISE) == (
        "With 95 % confidence, the cascade over 8 … 64 loses at most 0.5 points of accuracy on average against "
        "the full "
        "width. On 300 rows that had no part in the choice 0.20 points are lost [-1.00, 1.40]; on the 1,200 "
        "others, which "
        "gave the promise, 0.13. It holds for rows like those of held (2,000)."
    )
    assert "; 1,200 others gave the promise. It holds" in promised(replace(PROMISE, calibrated=None))


def test_a_loss_beyond_the_promise():
    by_chance = replace(PROMISE, lost=Estimate(0.0096, -0.01, 0.03))
    assert list(sentences(FOUND, by_chance))[-2] == (
        "0.96 points are lost here, more than the 0.5 promised; by chance that may be, as the promise is of the "
        "mean of "
        "all such rows; mrl recheck tests it on new labelled rows."
    )
    assert "with 95 % confidence, not by chance" in next(beyond(Estimate(0.02, 0.006, 0.03), 0.005))
    assert list(beyond(Estimate(0.005, 0.001, 0.03), 0.005)) == []


def test_scores_that_kept_nothing_are_not_named():
    none = dict.fromkeys(FOUND["scores"])
    assert told(scores=none)[0] == "A row stops by the lead of its largest probability over the second."
    assert told(scores={"margin": 6.0})[0] == "A row stops by the lead of its largest probability over the second."
    assert "on the rows that chose (" in told(policy="target")[0]


def test_a_target_is_told_with_what_it_reached():
    chose = "and the 1,250 rows that chose reach 90.12 %, and the full width 91.00 %; that is no promise."
    terms = {"target": 0.9, "tolerance": 0.005}
    assert told(policy="target", terms=terms)[1] == f"The target is an accuracy of 90.00 %, {chose}"
    within = told(policy="target")[1]
    assert within == f"It is to lose at most 0.5 points against the full width, {chose}"


def test_more_dims_than_the_full_width_has_are_said_to_be():
    assert told(read=90.0)[1].endswith("counts, so that reading the full width alone would cost less.")
    assert told(last=64.0, read=64.0)[1].endswith("(all of the width), and 64.0 when every dim read counts.")


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (1, "all of the width"),
        (0.97, "nearly all of the width"),
        (0.5, "1/2.0 of the width"),
        (1 / 9.6, "1/9.6 of the"),
    ],
)
def test_parts_of_the_width(share, said):
    assert part_of_width(share).startswith(said)


def test_one_and_several():
    assert [rows(1), rows(1000), points(0.01), points(0.005)] == ["1 row", "1,000 rows", "1 point", "0.5 points"]
