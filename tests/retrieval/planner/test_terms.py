import pytest

from mrl.errors import InputError
from mrl.retrieval.planner import Terms


def test_what_is_asked_for_without_a_word():
    terms = Terms()
    assert (terms.name, terms.text, terms.allowed) == ("recall@10", "recall@10 ≥ 0.98", 0.02)


@pytest.mark.parametrize(
    ("terms", "allowed", "text"),
    [
        (Terms(recall=0.95, k=5), 0.05, "recall@5 ≥ 0.95"),
        (Terms(recall=1.0), 0.0, "recall@10 ≥ 1"),
        (Terms(tolerance=0.01), 0.01, "recall@10 ≥ 0.99"),
        (Terms(tolerance=0.02, measure="nDCG"), 0.02, "nDCG@10 within 0.02"),
        (Terms(tolerance=0.001, measure="mAP", k=3), 0.001, "mAP@3 within 0.001"),
    ],
)
def test_terms_say_what_may_be_lost(terms, allowed, text):
    assert terms.allowed == allowed
    assert terms.text == text
    assert Terms(**terms.to_json()) == terms


@pytest.mark.parametrize(
    ("objective", "cost", "text"),
    [
        ("latency", 0.09512, "0.0951 ms a query"),
        ("bytes", 12_345_678, "12.3 MB"),
        ("throughput", 1 / 5000, "5,000 queries a second"),
    ],
)
def test_costs_in_words(objective, cost, text):
    assert Terms(objective=objective).cost_text(cost) == text


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"k": 0}, "k must be an integer ≥ 1, got 0"),
        ({"recall": 0.98, "tolerance": 0.02}, "are two targets; give one, as a tolerance of 0.02 is a recall of 0.98"),
        ({"recall": 1.2}, "recall must be > 0 and ≤ 1, got 1.2; 0.95 asks for 95 of 100 rows"),
        ({"recall": 0.0}, "recall must be > 0"),
        ({"tolerance": 1.0}, "tolerance must be ≥ 0 and < 1, got 1.0; 0.02 allows two hundredths to be lost"),
        ({"tolerance": -0.1}, "tolerance must be ≥ 0 and < 1"),
        ({"measure": "nDCG"}, "nDCG@10 has no target of its own; give a tolerance"),
        ({"measure": "nDCG", "recall": 0.9}, "nDCG@10 has no target of its own"),
        ({"measure": "F1", "tolerance": 0.1}, "unknown measure 'F1'; known are recall, mAP, nDCG, MRR"),
        ({"objective": "joy"}, "unknown objective 'joy'; known are latency, bytes, throughput"),
        (
            {"confidence": 1.0},
            "confidence must be ≥ 0.5 and < 1, got 1.0; 0.95 is wrong at most five times in a hundred",
        ),
        ({"seed": -1}, "seed must be an integer ≥ 0"),
    ],
)
def test_terms_that_mean_nothing(wrong, text):
    with pytest.raises(InputError, match=text):
        Terms(**wrong)
