"""What the dims that a row has not read yet can still change: the arithmetic of the lossless rule.

All levels share one classifier here, that of the full width: v_c = times_c · w_c, logit z_c = ⟨x, v_c⟩ + p_c. With ẑ
the sums over what was read, a beats c for good where

    ẑ_a − ẑ_c > Σ_s |x_s| · |(v_a − v_c)_s| + slack        s: the segments not read yet

for by Cauchy-Schwarz in each segment no x with these lengths changes z_a − z_c by more (segment by segment that is
never looser than one length for all of them). So c has a better rival whatever follows, and is left out from there on:
z_a > z_c holds for the full width, whether or not a stays in front. Rows cost one pass for their |x_s|: d operations,
where products with all classes cost d · classes.

*Slack.* Whatever the order of additions, a float32 sum of n products is off by at most γ_n Σ|x_i v_i| ≤ γ_n |x| |v|,
with γ_n = n u / (1 − n u), u = 2⁻²⁴ (Higham, Accuracy and Stability of Numerical Algorithms, §3.1). The slack is twice
that of both classes, so that a plain float32 product of the full width has the same answer too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from mrl.classify.levels import Floats, Labels, Levels
from mrl.errors import InputError

PAIR_BYTES = 64 << 20  # of lengths of all class differences: 1,365 classes at 9 levels; more have the triangle's bound
UNIT, UNIT64 = 2.0**-24, 2.0**-53
SMALL = 2.0**-126  # below it float32 is not relative any more, and may be taken for 0
ALIGNED = 0.25  # cosine of a row and a difference of two classes from which on it is worth a look
LARGE = 1e36  # what a score may come to before float32 cannot hold it

Doubles = npt.NDArray[np.float64]


class Tables(NamedTuple):
    """What is compared with, float32, rounded up; S segments, p prototypes.

    apart: (S, p, p), |(v_a − v_c)_s|; or (S, 1, p), of |(v_c − mean)_s|, where `extra` has that of a. extra: (S, p).
    slip, stay: (p,), the slack of a class is |x| · slip + stay. owner: (p,) int64, the class of each.
    """

    apart: Floats
    extra: Floats
    slip: Floats
    stay: Floats
    owner: Labels


class Hope(NamedTuple):
    """Least and largest share, (S,), that a segment has of any difference of two classes, and the largest share of it
    that the summands p are."""

    least: Doubles
    most: Doubles
    lift: float

    def levels(self, lengths: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """(n, S) lengths of a row's segments -> (n, S): whether it is worth looking which classes are beaten there.

        What was read sets two classes apart by Σ_s |x_s| |(v_a − v_c)_s| at most, and by no more than a quarter of that
        on most data. Nothing is wrong where it is more: the row is then looked at a level later.
        """
        read = ALIGNED * np.cumsum(lengths * self.most, axis=1)
        left = lengths * self.least
        unread = left.sum(1, keepdims=True) - np.cumsum(left, axis=1)
        hope: npt.NDArray[np.bool_] = read + self.lift > unread
        return hope


@dataclass(frozen=True, eq=False)
class Bounds:
    """weights: (p, width) float32, v. plus: (p,). reach: the largest |v_c|."""

    weights: Floats
    plus: Floats
    reach: float
    tables: Tables
    hope: Hope

    def safe(self, lengths: Doubles) -> npt.NDArray[np.bool_]:
        """(n,) lengths of rows -> (n,): whether float32 holds their scores."""
        return lengths * (1 + self.reach) + np.abs(self.plus).max() < LARGE  # type: ignore[no-any-return]


_known: WeakKeyDictionary[Levels, Bounds] = WeakKeyDictionary()


def bounds(levels: Levels) -> Bounds:
    """Those of a classifier, reckoned once: width · classes² operations with the pairs, else width · classes."""
    found = _known.get(levels)
    if found is None:
        found = _known[levels] = _bounds(levels)
    return found


def _bounds(levels: Levels) -> Bounds:
    exact = folded(levels, slice(None))
    plus = levels.plus[-1]
    reach = np.sqrt(np.einsum("pd,pd->p", exact, exact))
    if not (np.isfinite(reach).all() and np.isfinite(plus).all() and reach.max() < LARGE):
        worst = int(np.argmax(np.where(np.isfinite(reach), reach, np.inf)))
        raise InputError(
            f"class {levels.owner()[worst]} scores beyond what float32 holds (length {reach[worst]:.1e}); rescale the "
            "classifier, or take a rule with thresholds"
        )
    segments = [exact[:, a:b] for a, b in levels.dims.segments]
    pairs = 4 * len(segments) * len(exact) ** 2 <= PAIR_BYTES
    apart, extra = _pairs(segments) if pairs else _centred(segments)
    hope = _hope_of_pairs(apart, plus) if pairs else _hope_of_each(extra, plus)
    tables = _rounded_up(levels, apart, extra, reach)
    plain = bool((levels.times[-1] == 1).all())
    weights = levels.weights[-1] if plain else exact.astype(np.float32)
    return Bounds(np.ascontiguousarray(weights), plus, float(reach.max()), tables, hope)


def folded(levels: Levels, rows: Any) -> Doubles:
    """(some of p, width): v in float64, in which a product of two float32 numbers is exact."""
    found: Doubles = levels.weights[-1][rows].astype(np.float64) * levels.times[-1][rows, None].astype(np.float64)
    return found


def _pairs(segments: list[Doubles]) -> tuple[Doubles, Doubles]:
    """Lengths (S, p, p) of all differences, at least, and nothing to add."""
    count = len(segments[0])
    apart = np.empty((len(segments), count, count))
    for out, part in zip(apart, segments, strict=True):
        squares = np.einsum("pd,pd->p", part, part)
        both = squares[:, None] + squares
        lost = 4 * (part.shape[1] + 8) * UNIT64  # of both squares, what the difference below may be short of
        out[:] = np.sqrt(np.maximum(both * (1 + lost) - 2 * (part @ part.T), 0))
        np.fill_diagonal(out, 0)
    return apart, np.zeros((len(segments), count))


def _centred(segments: list[Doubles]) -> tuple[Doubles, Doubles]:
    """Lengths (S, 1, p) and (S, p) from the mean class: their sum is at least that of the difference."""
    extra = np.stack([np.linalg.norm(part - part.mean(0), axis=1) for part in segments])
    return extra[:, None, :], extra


def _rounded_up(levels: Levels, apart: Doubles, extra: Doubles, reach: Doubles) -> Tables:
    """apart, extra, slip and stay in float32, larger by all that float32 loses where they are added up."""
    width, count = levels.dims.width, len(levels.dims)
    n = width + count + 16  # additions in a score, and a few roundings of v, of p, and of scores by other factors
    gamma = n * UNIT / (1 - n * UNIT)
    tiny = 64 * width * SMALL
    up = 1 + (count + 32) * 2 * UNIT
    slip = 2 * gamma * reach + tiny
    stay = 2 * gamma * np.abs(levels.plus[-1].astype(np.float64)) + tiny * (1 + reach.max())
    parts = [(part * up).astype(np.float32) for part in (apart, extra, slip, stay)]
    return Tables(parts[0], parts[1], parts[2], parts[3], levels.owner().astype(np.int64))


def _hope_of_pairs(apart: Doubles, plus: Floats) -> Hope:
    whole = np.sqrt(np.einsum("sac,sac->ac", apart, apart))
    there = whole > 0
    if not there.any():
        return _hopeful(len(apart))
    shares = [line[there] / whole[there] for line in apart]
    lift = float(((plus[:, None] - plus)[there].astype(np.float64) / whole[there]).max())
    if (plus[:, None] != plus)[~there].any():
        return _hopeful(len(apart))  # differ in p alone
    return Hope(np.array([s.min() for s in shares]), np.array([s.max() for s in shares]), lift)


def _hope_of_each(extra: Doubles, plus: Floats) -> Hope:
    """A share that two classes have together lies between those that each has."""
    whole = np.sqrt((extra**2).sum(0))
    if not (whole > 0).all():
        return _hopeful(len(extra))
    shares = extra / whole
    lift = float(plus.max() - plus.min()) / float(2 * whole.min())
    return Hope(shares.min(1), shares.max(1), lift)


def _hopeful(count: int) -> Hope:
    return Hope(np.zeros(count), np.ones(count), np.inf)
