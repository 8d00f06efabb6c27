"""Rows as a real evaluation gives them: two nested runs with in-between dims, and fixed-feature models."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from mrl.evaluation.rows import Row

MEASURES = {"top-1": 0.0, "top-5": 0.03, "1-NN": -0.011, "10-NN": -0.006, "mAP@10": -0.05, "P@10": -0.03}
TRAINED = (8, 16, 32, 64)


def _row(run: str, measure: str, dim: int, value: float, method: str) -> Row:
    half = 1.96 * math.sqrt(value * (1 - value) / 597)
    linear = measure.startswith("top")
    return Row(
        run=run,
        measure=measure,
        dim=dim,
        trained=dim in TRAINED,
        value=value,
        low=value - half,
        high=value + half,
        interval="bootstrap" if "@" in measure else "wilson",
        method=method,
        queries=597,
        bytes=4 * dim,
        macs=10 * dim if linear else 1200 * dim,
    )


def _run(run: str, top: float, drop: float, dims: tuple[int, ...]) -> list[Row]:
    rows = []
    for dim in dims:
        for measure, offset in MEASURES.items():
            probed = run == "MRL" and dim not in TRAINED
            linear = "probe" if probed else "head"
            method = linear if measure.startswith("top") else "neighbours"
            rows.append(_row(run, measure, dim, top + offset - drop * (8 / dim) ** 1.4, method))
    return rows


@pytest.fixture(scope="session")
def rows() -> tuple[Row, ...]:
    between = (8, 12, 16, 24, 32, 48, 64)
    fixed = [row for dim in TRAINED for row in _run(f"FF-{dim}", 0.948, 0.12, (dim,))]
    return (*_run("MRL", 0.955, 0.10, between), *_run("MRL-E", 0.95, 0.17, between), *fixed)


@pytest.fixture
def ladder():
    """A function: the values of one measure at trained dims 8, 16, … as rows of one run."""

    def make(*values: float, run: str = "MRL", measure: str = "1-NN") -> list[Row]:
        rows = [_row(run, measure, 8 * 2**level, value, "neighbours") for level, value in enumerate(values)]
        return [replace(row, trained=True) for row in rows]

    return make
