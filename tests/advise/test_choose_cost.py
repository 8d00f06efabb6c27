"""Costs, by hand."""

import pytest

from mrl.advise.cost import Bill, Cost, gigabytes, said
from mrl.errors import InputError


def test_a_million_vectors_by_hand():
    bill = Bill(1_000_000, replicas=3, price=0.25)
    assert Cost.of(1024, "float32", bill) == Cost(4096, 12_288_000_000, 1024, 1_024_000_000, 3.072)
    assert Cost.of(64, "int8", bill) == Cost(64, 192_000_000, 64, 64_000_000, 0.048)
    assert Cost.of(100, "1bit", Bill(10)) == Cost(13, 130, 100, 1000, None)


def test_both_are_said_side_by_side():
    bill = Bill(1_000_000, replicas=3, price=0.25)
    assert said(Cost.of(64, "int8", bill), Cost.of(1024, "float32", bill), bill) == [
        "bytes per vector: 64, not 4,096",
        "memory for 1,000,000 vectors · 3 replicas, codes alone: 192.00 MB, not 12.29 GB",
        "multiply-adds per vector: 64, not 1,024",
        "multiply-adds per query, all scanned: 64,000,000, not 1,024,000,000",
        "a month at 0.25 per GB: 0.05, not 3.07",
    ]


def test_what_is_the_same_is_said_once_and_without_a_price_there_is_no_line_of_money():
    bill = Bill(1000)
    assert said(Cost.of(128, "int8", bill), Cost.of(128, "float32", bill), bill) == [
        "bytes per vector: 128, not 512",
        "memory for 1,000 vectors, codes alone: 128.00 kB, not 512.00 kB",
        "multiply-adds per vector: 128",
        "multiply-adds per query, all scanned: 128,000",
    ]
    assert "money" not in Cost.of(64, "int8", bill).to_json()


@pytest.mark.parametrize(
    ("count", "text"), [(999, "999 bytes"), (1000, "1.00 kB"), (2_500_000, "2.50 MB"), (10**10, "10.00 GB")]
)
def test_bytes_are_said_in_powers_of_a_thousand(count, text):
    assert gigabytes(count) == text


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"vectors": 2.5}, r"vectors must be an integer ≥ 1, got 2\.5"),
        ({"vectors": 0}, "vectors must be an integer ≥ 1, got 0"),
        ({"vectors": 5, "replicas": 0}, "replicas must be an integer ≥ 1, got 0"),
        ({"vectors": 5, "price": -1.0}, "price per GB and month must be ≥ 0 and finite, got -1.0"),
        ({"vectors": 5, "price": float("nan")}, "price per GB and month must be ≥ 0 and finite, got nan"),
    ],
)
def test_a_bill_that_cannot_be(values, text):
    with pytest.raises(InputError, match=text):
        Bill(**values)
