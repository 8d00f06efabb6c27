"""Many hypotheses in one order, paired gaps as losses, and three parts of the queries that never meet."""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.errors import InputError
from mrl.options import check_number
from mrl.promise.betting import Estimate, check_level, check_values, estimate
from mrl.promise.bootstrap import check_paired

Values = npt.NDArray[np.floating[Any]]
Numbers = npt.NDArray[np.intp]

SHARES = (0.3, 0.4, 0.3)
PARTS = ("tune", "calibrate", "report")
FEWEST = 10  # queries in a part


def fixed_sequence(p_values: Sequence[float], alpha: float) -> int:
    """How many hypotheses pass, tested in their order, each at the whole alpha, until the first that does not.

    The order must not come from the data that gave the p-values; then the chance that any wrong one passes is at most
    alpha (as in Learn-then-Test, arXiv 2110.01052), since the first wrong one would have to pass its own test.
    """
    check_level("alpha", alpha)
    for p in p_values:
        check_number("a p-value", p, 0, 1)
    failed = [p > alpha for p in p_values]
    return failed.index(True) if True in failed else len(failed)


def gap(full: Values, candidate: Values) -> Values:
    """What the candidate loses against the full width at each query, as a loss: (1 + full − candidate) / 2, (n,).

    Both are (n,) in [0, 1]; 1/2 is no loss. See `gap_bound`.
    """
    full, candidate = np.asarray(full), np.asarray(candidate)
    check_paired(full, candidate)
    return (1 + check_values(full, "values") - check_values(candidate, "values")) / 2


def gap_bound(tolerance: float) -> float:
    """The bound on a mean `gap` that says: at most `tolerance` lost on average."""
    check_number("the tolerance", tolerance, 0, 1, above=True)
    return (1 + tolerance) / 2


def difference(a: Values, b: Values, confidence: float = 0.95) -> Estimate:
    """How far a is above b on average, both (n,) in [0, 1] for the same queries, with its two-sided interval."""
    return Estimate(*(2 * end - 1 for end in estimate(gap(a, b), confidence)))


def split(n: int, seed: int, shares: Sequence[float] = SHARES) -> tuple[Numbers, ...]:
    """The numbers 0 … n − 1 in three parts at random, each in order: tune, calibrate, report.

    InputError where a part would have fewer than 10, or unless there are three positive shares of 1.
    """
    if len(shares) != len(PARTS) or not min(shares) > 0 or not abs(fsum(shares) - 1) < 1e-9:
        raise InputError(f"the shares of {', '.join(PARTS)} must be positive and add up to 1, got {tuple(shares)}")
    ends = np.rint(np.cumsum(shares) * n).astype(int)
    sizes = np.diff(ends, prepend=0)
    if sizes.min() < FEWEST:
        raise InputError(
            f"{n} queries leave {', '.join(map(str, sizes))} to {', '.join(PARTS)}, and each part needs {FEWEST}; "
            f"give at least {int(np.ceil(FEWEST / min(shares)))}"
        )
    return tuple(np.sort(part) for part in np.split(np.random.default_rng(seed).permutation(n), ends[:-1]))
