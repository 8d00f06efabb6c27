"""How many threads there may be. Needs Numba, whose setting it respects."""

from __future__ import annotations

import os
from typing import Any

import numba


def count() -> int:
    """The fewest of NUMBA_NUM_THREADS, OMP_NUM_THREADS and the processors that this process may run on."""
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    config: Any = numba.config
    most = int(config.NUMBA_NUM_THREADS)  # by default, those processors
    return min(most, int(asked)) if asked.isdecimal() and int(asked) else most
