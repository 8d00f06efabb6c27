"""Rank and product-moment correlation with gold scores, and their bootstrap, for several systems at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mrl.promise.bootstrap import DRAWS, Difference, check_paired, counts, ends

BLOCK = 1 << 15  # values that are ranked at once, 256 KiB an array

Values = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


def spearmans_rho(x: npt.ArrayLike, y: npt.ArrayLike) -> Values:
    """Spearman's ρ of x (..., n) with y (n,): Pearson's r of their ranks, equal values sharing the mean of theirs.

    In [−1, 1]; 0 where either is constant, and so ranks nothing.
    """
    rho, _ = next(_correlations(x, y, None))
    return np.asarray(rho[0])


def pearsons_r(x: npt.ArrayLike, y: npt.ArrayLike) -> Values:
    """Pearson's r of x (..., n) with y (n,), in [−1, 1]; 0 where either is constant."""
    _, r = next(_correlations(x, y, None))
    return np.asarray(r[0])


def resampled(x: npt.ArrayLike, y: npt.ArrayLike, seed: int = 0) -> tuple[Values, Values]:
    """Spearman's ρ and Pearson's r of bootstrap draws of the pairs, (draws, ...) each.

    Every draw is ranked anew. The same pairs are drawn for all of x, and by the same seed for any other x with as many
    pairs, so differences stay paired.
    """
    rho, r = zip(*_correlations(x, y, np.random.default_rng(seed)), strict=True)
    return np.concatenate(rho), np.concatenate(r)


def paired_spearman(a: npt.ArrayLike, b: npt.ArrayLike, gold: npt.ArrayLike, seed: int = 0) -> Difference:
    """Spearman's ρ of a (..., n) with gold (n,) less that of b (..., n), by the paired bootstrap over the n pairs."""
    left, right = np.asarray(a, np.float64), np.asarray(b, np.float64)
    check_paired(left, right)
    lead = resampled(left, gold, seed)[0] - resampled(right, gold, seed)[0]
    return Difference(spearmans_rho(left, gold) - spearmans_rho(right, gold), *ends(lead))


def _correlations(
    x: npt.ArrayLike, y: npt.ArrayLike, draws: np.random.Generator | None
) -> Iterator[tuple[Values, Values]]:
    """ρ and r, (draws, ...) each, of the pairs as they are, or of their draws, some at a time."""
    left, right = np.asarray(x, np.float64), np.asarray(y, np.float64)
    n = left.shape[-1]
    rows, gold = left.reshape(-1, n), right[None]
    ties, gold_ties = Ties.of(rows), Ties.of(gold)
    for times in [np.ones((1, 1, n))] if draws is None else _drawn(draws, n, left.size):
        rho, varies = _product_moment(ties.ranks(times), gold_ties.ranks(times), times)
        r = np.where(varies, _product_moment(rows, gold, times)[0], 0.0)
        yield rho.reshape(-1, *left.shape[:-1]), r.reshape(-1, *left.shape[:-1])


def _drawn(draws: np.random.Generator, n: int, size: int) -> Iterator[Values]:
    """How often each of n pairs is drawn, (some, 1, n) at a time."""
    some = max(1, BLOCK // size)
    for start in range(0, DRAWS, some):
        yield np.stack([counts(draws, n)[None] for _ in range(start, min(start + some, DRAWS))])


@dataclass(frozen=True, eq=False)
class Ties:
    """Where values lie among each other, so that any draw of them is ranked without sorting again.

    order: (v, n) sorts them. first, after: (v, n), of each value in its own place: where those equal to it begin, and
    where they end, in sorted order.
    """

    order: Rows
    first: Rows
    after: Rows

    @classmethod
    def of(cls, values: Values) -> Ties:
        """values: (v, n), each row by itself."""
        n = values.shape[1]
        order = np.argsort(values, axis=1, kind="stable")
        ascending = np.take_along_axis(values, order, axis=1)
        new = np.ones((len(values), n + 1), bool)  # whether a run of equal values begins at this place
        new[:, 1:-1] = ascending[:, 1:] != ascending[:, :-1]
        place = np.arange(n + 1)
        begin = np.maximum.accumulate(np.where(new, place, 0), axis=1)[:, :-1]
        end = np.minimum.accumulate(np.where(new, place, n)[:, ::-1], axis=1)[:, ::-1][:, 1:]
        first, after = np.empty_like(order), np.empty_like(order)
        np.put_along_axis(first, order, begin, axis=1)
        np.put_along_axis(after, order, end, axis=1)
        return cls(order, first, after)

    def ranks(self, times: Values) -> Values:
        """(draws, v, n): the mean rank, from 1, of each value where it occurs times (draws, 1, n) over."""
        v, n = self.order.shape
        before = np.zeros((len(times), v, n + 1))
        np.cumsum(times[:, 0][:, self.order], axis=-1, out=before[..., 1:])
        first, after = (np.take_along_axis(before, places[None], axis=-1) for places in (self.first, self.after))
        ranks: Values = (first + after + 1) / 2
        return ranks


def _product_moment(x: Values, y: Values, times: Values) -> tuple[Values, npt.NDArray[np.bool_]]:
    """Pearson's r of x (..., v, n) with y (..., 1, n), pairs `times` over, and where both vary; 0 elsewhere."""
    dx, dy = _centred(x, times), _centred(y, times)
    counted = dy * times
    together = _dots(dx, counted)
    spread = np.sqrt(_dots(dx * dx, times)) * np.sqrt(_dots(dy, counted))
    r = np.divide(together, spread, out=np.zeros(together.shape), where=spread > 0)
    return np.clip(r, -1.0, 1.0), spread > 0


def _centred(values: Values, times: Values) -> Values:
    centred: Values = values - (_dots(values, times) / times.sum(-1))[..., None]
    return centred


def _dots(x: Values, y: Values) -> Values:
    dots: Values = np.einsum("...n,...n->...", x, y)
    return dots
