"""What a dim and an encoding cost, by arithmetic that anyone can do by hand."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from mrl.options import check_count, check_number
from mrl.retrieval.encodings import bytes_per_row, check_encoding

GB = 10**9


@dataclass(frozen=True)
class Bill:
    """What is to be stored, and at what price.

    vectors: how many. replicas: copies of them. price: of one GB (10⁹ bytes) a month, in the user's currency; None
    where nobody said. InputError for less than one vector or copy, and for a price below 0.
    """

    vectors: int
    replicas: int = 1
    price: float | None = None

    def __post_init__(self) -> None:
        for name in ("vectors", "replicas"):
            check_count(name, getattr(self, name), 1)
        if self.price is not None:
            check_number("price per GB and month", self.price, 0, float("inf"))


@dataclass(frozen=True)
class Cost:
    """Codes of `dim` coordinates for every vector of a bill: without ids, lengths, scales per chunk and graphs.

    >>> Cost.of(64, "int8", Bill(1_000_000, price=0.25)).money
    0.016
    """

    bytes_per_vector: int
    bytes: int  # all vectors, all replicas
    macs_per_vector: int  # multiply-adds to compare one vector with a query
    macs_per_query: int  # to compare all of them
    money: float | None  # a month

    @classmethod
    def of(cls, dim: int, encoding: str, bill: Bill) -> Cost:
        """bytes = vectors · replicas · bytes of a row; money = bytes / 10⁹ · price."""
        row = bytes_per_row(check_encoding(encoding), dim)
        total = row * bill.vectors * bill.replicas
        money = None if bill.price is None else total / GB * bill.price
        return cls(row, total, dim, dim * bill.vectors, money)

    def to_json(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value is not None}


def said(chosen: Cost, full: Cost, bill: Bill) -> list[str]:
    """The two side by side, a line for each thing that is paid for; what is the same for both is said once."""
    copies = "" if bill.replicas == 1 else f" · {bill.replicas} replicas"

    def beside(mine: str, other: str) -> str:
        return mine if mine == other else f"{mine}, not {other}"

    lines = [
        f"bytes per vector: {beside(f'{chosen.bytes_per_vector:,}', f'{full.bytes_per_vector:,}')}",
        f"memory for {bill.vectors:,} vectors{copies}, codes alone: "
        f"{beside(gigabytes(chosen.bytes), gigabytes(full.bytes))}",
        f"multiply-adds per vector: {beside(f'{chosen.macs_per_vector:,}', f'{full.macs_per_vector:,}')}",
        f"multiply-adds per query, all scanned: {beside(f'{chosen.macs_per_query:,}', f'{full.macs_per_query:,}')}",
    ]
    if chosen.money is not None and full.money is not None:
        price = f"a month at {bill.price:g} per GB: "
        lines.append(price + beside(f"{chosen.money:,.2f}", f"{full.money:,.2f}"))
    return lines


def gigabytes(count: int) -> str:
    """Bytes as kB, MB or GB, powers of 1,000."""
    for size, unit in ((GB, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count >= size:
            return f"{count / size:,.2f} {unit}"
    return f"{count} bytes"
