"""Do the leading coordinates tell more than any others would? Whether vectors look trained to nest.

In a model that was not trained to nest, coordinates have no order: its first m are one more random choice of m, and
find as many of the full width's neighbours as other choices do. In a nested model the first m find more. So the leading
coordinates are compared with random ones, a few times each; were they one more draw, they would lie within the
prediction interval of the next draw, mean ± t s √(1 + 1/draws), in 99 cases of 100.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mrl.advise.lengths import flushed
from mrl.evaluation.yardstick import KeptNeighbours
from mrl.nesting import Metric, Nesting, prefix

SHARES = (64, 32, 16, 8)  # parts of the width that are looked at, where that leaves 4 dims
NARROWEST = 4
DRAWS = 39
T = 2.7116  # Student's t of 38 degrees of freedom at 99.5 %
SMALL = 0.25  # an interval that ends below this lead and holds 0 counts as none; nested models have 0.12 to 2 and more
ASKED, AGAINST = 300, 8000  # rows that ask, and rows they are compared with
SORTED, UNCORRELATED = 0.9, 0.1  # rank correlation and root mean square correlation of coordinates ordered by energy

Vectors = npt.NDArray[np.floating[Any]]
Doubles = npt.NDArray[np.float64]
Verdict = Literal["nested", "by energy", "no", "cannot tell"]


@dataclass(frozen=True)
class Order:
    """The evidence, and what it says.

    verdict: `nested`: the leading coordinates find clearly more neighbours than random ones. `by energy`: they do, and
    they are uncorrelated and sorted by energy, as PCA leaves them. `no`: they do not. `cannot tell`: too few rows or
    dims, or between the two. dims: what was looked at. leading, random, last: recall@10 there of the first
    coordinates, of random ones on average, of the last ones. lead: how much larger the first's mean over the dims is
    than random ones', as a share of theirs. low, high: its 99 % prediction interval.
    """

    verdict: Verdict
    dims: tuple[int, ...] = ()
    leading: tuple[float, ...] = ()
    random: tuple[float, ...] = ()
    last: tuple[float, ...] = ()
    lead: float = 0.0
    low: float = 0.0
    high: float = 0.0

    def __str__(self) -> str:
        """The verdict as a sentence, with the figures it comes from."""
        if not self.dims:
            return "Whether they were trained to nest cannot be told: that takes more rows and at least 8 dims."
        said = {
            "nested": "They look trained to nest",
            "by energy": "Their coordinates are ordered by energy, as PCA leaves them",
            "no": "They do not look trained to nest",
            "cannot tell": "Whether they were trained to nest cannot be told",
        }[self.verdict]
        at = f"the first {self.dims[-1]} coordinates find {self.leading[-1] * 100:.1f} % of the 10 nearest, "
        return (
            f"{said}: {at}{self.dims[-1]} random ones {self.random[-1] * 100:.1f} %; over {_listed(self.dims)} dims "
            f"the first find {self.lead * 100:+.0f} % (99 %: {self.low * 100:+.0f} to {self.high * 100:+.0f})."
        )


def order(asked: Vectors, rows: Vectors, by: Metric, seed: int = 0) -> Order:
    """Compare leading coordinates with random and with last ones. asked: (q, d). rows: (n, d), none of them asked.

    The first 300 and 8,000 of them are used.
    """
    asked, rows, width = asked[:ASKED], rows[:AGAINST], rows.shape[1]
    cuts = narrow(width)
    if cuts is None or len(rows) < 50 or len(asked) < 10:
        return Order("cannot tell")
    stick = KeptNeighbours.of(asked, rows, 10, by)

    def kept(chosen: npt.NDArray[np.int64]) -> Doubles:
        own = tuple(flushed(np.ascontiguousarray(each[:, chosen]), cuts, by) for each in (asked, rows))
        return np.asarray(stick.values(own[0], own[1], cuts, by).mean(1))

    leading, last = kept(np.arange(cuts.width)), kept(np.arange(width)[::-1][: cuts.width])
    draws = np.random.default_rng(seed)
    random = np.stack([kept(draws.permutation(width)[: cuts.width]) for _ in range(DRAWS)])
    lead, low, high = leads(leading.mean(), random.mean(1))
    verdict = judged(low, high)
    return Order(
        "by energy" if verdict == "nested" and by_energy(rows) else verdict,
        cuts.dims,
        tuple(leading.tolist()),
        tuple(random.mean(0).tolist()),
        tuple(last.tolist()),
        lead,
        low,
        high,
    )


def narrow(width: int) -> Nesting | None:
    """The dims that are looked at; None for vectors too narrow to have any."""
    dims = sorted({width // share for share in SHARES if width // share >= NARROWEST}) or [width // 2]
    return Nesting(tuple(dims)) if dims[0] >= NARROWEST else None


def leads(first: float, random: Doubles) -> tuple[float, float, float]:
    """How far the first is above random draws (n,), as a share of their mean, with its prediction interval."""
    mean = float(random.mean()) or np.finfo(np.float64).tiny
    lead = (float(first) - mean) / mean
    half = T * float(random.std(ddof=1)) * np.sqrt(1 + 1 / len(random)) / mean
    return lead, lead - half, lead + half


def judged(low: float, high: float) -> Verdict:
    """What an interval of the lead says."""
    if low > 0:
        return "nested"
    return "no" if high < SMALL else "cannot tell"


def by_energy(rows: Vectors) -> bool:
    """Whether coordinates are sorted by energy and uncorrelated: about the origin, or about their mean.

    Correlations are those of the leading eighth, which has most of the energy; axes with hardly any are rounding.
    """
    leading = max(rows.shape[1] // 8, min(8, rows.shape[1]))
    for centre in (0.0, rows.mean(0, dtype=np.float64)):
        points = rows - centre
        energies = np.square(points, dtype=np.float64).sum(0)
        if _sorted(energies) >= SORTED and _correlation(prefix(points, leading).astype(np.float64)) <= UNCORRELATED:
            return True
    return False


def _sorted(energies: Doubles) -> float:
    """Spearman's correlation of place and falling energy; 1 if the largest come first."""
    ranks = np.argsort(np.argsort(-energies, kind="stable"))
    return float(np.corrcoef(np.arange(len(ranks)), ranks)[0, 1])


def _correlation(points: Doubles) -> float:
    """Root mean square of Σxy / √(Σx² Σy²) over all pairs of coordinates."""
    lengths = np.sqrt(np.square(points).sum(0))
    scaled = points / np.where(lengths > 0, lengths, 1.0)
    products = scaled.T @ scaled
    np.fill_diagonal(products, 0.0)
    count = len(products) * (len(products) - 1)
    return float(np.sqrt(np.square(products).sum() / count)) if count else 0.0


def _listed(dims: tuple[int, ...]) -> str:
    return str(dims[0]) if len(dims) == 1 else f"{', '.join(map(str, dims[:-1]))} and {dims[-1]}"
