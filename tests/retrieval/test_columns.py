"""A map's columns as whole numbers of a byte."""

from __future__ import annotations

import numpy as np
import pytest

from mrl.retrieval.columns import FEW, MOST, Columns

MATRIX = np.linalg.qr(np.random.default_rng(0).standard_normal((96, 96)))[0][:, :24].astype(np.float32)
QUERIES = np.random.default_rng(1).standard_normal((3 * FEW, 96)).astype(np.float32)


def test_each_number_is_off_by_half_a_step_at_most():
    steps = np.abs(MATRIX).max(axis=0) / MOST
    assert (np.abs(Columns(MATRIX).rounded - MATRIX) <= steps * 0.5001).all()


@pytest.mark.parametrize("count", [1, FEW, FEW + 1, 3 * FEW])
def test_few_and_many_queries_are_turned_alike(count):
    columns = Columns(MATRIX)
    leads = QUERIES[:count] @ columns
    assert leads.dtype == np.float32
    np.testing.assert_allclose(leads, QUERIES[:count] @ columns.rounded, rtol=1e-4, atol=1e-5)


def test_a_lead_is_off_by_little():
    exact = QUERIES @ MATRIX
    assert np.abs(QUERIES @ Columns(MATRIX) - exact).max() <= 0.03 * np.abs(exact).mean()


def test_a_column_of_zeros_stays_one():
    matrix = MATRIX.copy()
    matrix[:, 3] = 0
    assert not (QUERIES @ Columns(matrix))[:, 3].any()
