"""Running a cascade: level by level, each computing only the rows still undecided."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.classify.answers import Answers
from mrl.classify.cascade import Cascade
from mrl.classify.signals import signals


def run(cascade: Cascade, vectors: npt.NDArray[Any]) -> Answers:
    """Answers for rows (n, width)."""
    return plain(cascade, vectors)


def plain(cascade: Cascade, vectors: npt.NDArray[Any]) -> Answers:
    """The slow twin: every level of every row from dim 0, then where each would have stopped. No rule `lossless`, and
    no `keep`."""
    told = signals(cascade.levels, vectors, cascade.temperatures)
    score = told.score(cascade.rule, cascade.gain)  # type: ignore[arg-type]
    leave = np.ones(score.shape, bool)
    leave[:-1] = score[:-1] >= np.array(cascade.thresholds, np.float32)[:, None]
    level = leave.argmax(0)
    rows = np.arange(len(vectors))
    found = (told.labels[level, rows], level, told.probability[level, rows])
    return Answers(*found, cascade.dims, cascade.tied, cascade.classes)
