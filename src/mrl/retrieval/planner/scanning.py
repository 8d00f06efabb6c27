"""What proposes where nothing was built: a scan of the rows in one encoding, as `scan` runs it on an index."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.nesting import Metric
from mrl.retrieval import threads
from mrl.retrieval.best import ALL
from mrl.retrieval.encodings import Floats
from mrl.retrieval.engine import Engine
from mrl.retrieval.plan import REFERENCE
from mrl.retrieval.planner.memory import Memory
from mrl.retrieval.scan import scan

Positions = npt.NDArray[np.int64]


class Scanner:
    """Asked as a `Proposer` is, without an index of FAISS's behind it. One query keeps to its thread; more have all."""

    index: Any = None

    def __init__(self, memory: Memory, encoding: str, dim: int) -> None:
        self._reading = ("float32" if encoding == REFERENCE else encoding,)
        self._by: Metric = memory.by
        self._block: Any = memory.prefix(self._reading[0], dim)

    def asked(self, engine: Engine, queries: Floats, count: int) -> Positions:
        """(q, count) rows that the codes of this prefix put first, for queries (q, dim)."""
        with threads.alone() if len(queries) == 1 else nullcontext():
            return scan([self._block], self._reading, queries, count, self._by, [ALL]).positions

    def bound(self, engine: Engine, count: int) -> Callable[[Floats], Positions]:
        """The same with all but the queries."""
        return lambda queries: self.asked(engine, queries, count)
