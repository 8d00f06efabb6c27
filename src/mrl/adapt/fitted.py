"""What a fit gives: the map, what the gate found, and every dim beside truncation and PCA."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.adapt.map import Map
from mrl.errors import GateError
from mrl.evaluation.rows import Row
from mrl.promise import Gate, gate
from mrl.promise.bootstrap import interval, paired

TRUNCATION, PCA = "truncation", "PCA"
Values = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class Fitted:
    """map: what was fitted. gate: whether it is surely better. rows: every dim of it and of the baselines, measured on
    the gate's queries. notes: what was left out, and what happened at full width, in words."""

    map: Map
    gate: Gate
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    def save(self, path: str | Path, *, force: bool = False) -> Path:
        """Write the map's folder. GateError, with what the gate found, where it did not pass, unless `force`."""
        if not (self.gate.passed or force):
            raise GateError(
                f"not saved: {self.gate.sentence} Truncate, turn by PCA (method pca), give more data, or keep it all "
                "the same (--force, force=True)"
            )
        return self.map.save(path)


@dataclass(frozen=True, eq=False)
class Compared:
    """The gate's queries under every version of the vectors. values: (dims, queries) of each. map: what was fitted.

    measure: what was measured. searched: among how many rows.
    """

    values: Mapping[str, Values]
    map: Map
    measure: str
    searched: int

    def gate(self, ours: str) -> Gate:
        """One comparison, fixed beforehand: the mean over the dims below the width, against every other version."""
        below = {name: each[:-1].mean(0) for name, each in self.values.items()}
        return gate(below.pop(ours), below)

    def unnamed(self, ours: str, which: npt.NDArray[np.bool_] | None) -> tuple[str, ...]:
        """How far ours is ahead where no pair that it learned from names an answer, in words. which: (queries,)."""
        if which is None or not 2 <= which.sum() < len(which):
            return ()
        below = {name: each[:-1, which].mean(0) for name, each in self.values.items()}
        mine = below.pop(ours)
        better = max(below, key=lambda name: float(below[name].mean()))
        lead = paired(mine, below[better])
        return (
            f"{which.sum():,} of the gate's {len(which):,} queries have answers that no pair learned from names; there "
            f"the lead over {better} is {lead.mean:.4f} [{lead.low:.4f}, {lead.high:.4f}] at the dims below the width",
        )

    def record(self, ours: str) -> dict[str, Any]:
        """What is kept of it with the map."""
        return {
            "gate": self.gate(ours).to_json(),
            "measure": self.measure,
            "rows": [asdict(row) for row in self.rows()],
            "full width": self.full_width(ours),
        }

    def rows(self) -> tuple[Row, ...]:
        """Every version at every dim, with its 95 % interval."""
        return tuple(row for name in self.values for row in self._rows(name))

    def _rows(self, name: str) -> Sequence[Row]:
        values = self.values[name]
        low, high, kind = interval(values)
        trained = (self.map.before if name == TRUNCATION else self.map).nesting
        blank = Row(name, self.measure, 0, False, 0, 0, 0, kind, "neighbours", values.shape[1], 0, 0)
        return [
            replace(
                blank,
                dim=dim,
                trained=trained.trained(dim),
                value=float(values[level].mean()),
                low=float(low[level]),
                high=float(high[level]),
                bytes=4 * dim,
                macs=dim * self.searched,
            )
            for level, dim in enumerate(self.map.nesting.dims)
        ]

    def full_width(self, ours: str) -> str:
        """What the full width lost or won, in words."""
        lead = paired(self.values[ours][-1], self.values[TRUNCATION][-1])
        before, after = self.values[TRUNCATION][-1].mean(), self.values[ours][-1].mean()
        change = "won" if lead.low > 0 else "lost" if lead.high < 0 else "changed by"
        amount = abs(lead.mean) if change != "changed by" else lead.mean
        return (
            f"full width ({self.map.nesting.width} dims): {self.measure} {before:.4f} before, {after:.4f} after; "
            f"{change} {amount:.4f} [{lead.low:.4f}, {lead.high:.4f}]"
        )
