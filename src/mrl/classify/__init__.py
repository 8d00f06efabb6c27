"""Adaptive classification: narrow heads first, stop when sure, with a promise (arXiv 2205.13147 §4.2.1).

    cascade = Cascade.fit(head, held_out_rows, Terms(tolerance=0.005))
    cascade.predict(vectors).labels

Labelled rows are a table that was written with labels, or arrays: `mrl.vectors.held.Held.of(vectors, card, labels)`.
No torch: a head as arrays, or prototypes, and vectors in memory or on disk. Fitting, measuring and re-checking are
imported when they are asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mrl.classify.answers import Answers
from mrl.classify.cascade import Cascade
from mrl.classify.levels import Classifier, Levels
from mrl.classify.prototypes import Prototypes
from mrl.classify.signals import Signals
from mrl.classify.terms import Terms
from mrl.lazy import lazily

if TYPE_CHECKING:
    from mrl.classify.fitting import fit
    from mrl.classify.measured import Measured, measure
    from mrl.classify.rechecking import rechecked
    from mrl.classify.unseen import Unseen

__all__ = [
    "Answers",
    "Cascade",
    "Classifier",
    "Levels",
    "Measured",
    "Prototypes",
    "Signals",
    "Terms",
    "Unseen",
    "fit",
    "measure",
    "rechecked",
]

__getattr__ = lazily(
    __name__,
    {"Measured": "measured", "Unseen": "unseen", "fit": "fitting", "measure": "measured", "rechecked": "rechecking"},
)
