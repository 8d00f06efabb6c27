"""Adaptive classification: narrow heads first, stop when sure, with a promise (arXiv 2205.13147 §4.2.1).

    cascade = Cascade.fit(head, held_out_rows, Terms(tolerance=0.005))
    cascade.predict(vectors).labels

No torch: a head as arrays, or prototypes, and vectors in memory or on disk.
"""

from mrl.classify.answers import Answers
from mrl.classify.cascade import Cascade
from mrl.classify.levels import Classifier, Levels
from mrl.classify.prototypes import Prototypes
from mrl.classify.signals import Signals
from mrl.classify.terms import Terms

__all__ = ["Answers", "Cascade", "Classifier", "Levels", "Prototypes", "Signals", "Terms"]
