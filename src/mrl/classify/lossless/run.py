"""The rule `lossless`: a row stops as soon as nothing in the dims not read yet can change its answer.

The answer is that of the full width: the class with the largest logit Σ x_i v_ci + p_c in exact arithmetic over the
numbers of `Levels` (x as float32), the earlier class where two are equal. What proves it is in `bounds`.

Separate heads (MRL) are read as one: the widest head's own matrix, cut (`Levels.widest`). The logits of that continue,
those of the other heads do not, and nothing is known of the answer of the widest head from theirs.

Memory does not grow with the rows, but for the answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mrl.classify.answers import Answers
from mrl.classify.levels import Labels
from mrl.classify.lossless.bounds import bounds
from mrl.classify.lossless.tiles import Job, Out, run_tile, tile_rows
from mrl.classify.running import engine, taken

if TYPE_CHECKING:
    from mrl.classify.cascade import Cascade


@dataclass(frozen=True)
class Savings:
    """Multiply-adds of a run, and what the plain product of all rows and classes needs.

    rows, width, classes: of the job; classes: prototypes, where there are several a class. dims: the mean last dim.
    products: multiply-adds of scores. overhead: those of lengths and of comparisons. Lengths of class differences are
    reckoned once a classifier and not counted.
    """

    rows: int
    width: int
    classes: int
    dims: float
    products: int
    overhead: int

    @property
    def dims_saved(self) -> float:
        """The share of dims that rows do not read, from 0 to 1."""
        return 1 - self.dims / self.width

    @property
    def saved(self) -> float:
        """The share of multiply-adds that are not made, overhead and left-out classes included; negative for a loss."""
        return 1 - (self.products + self.overhead) / (self.rows * self.width * self.classes)


def run_lossless(cascade: Cascade, vectors: npt.NDArray[Any]) -> Answers:
    """Answers for rows (n, width); labels are those of the full width.

    confidence: the probability of the label by the classes' scores at the level where the row stopped and with its
    temperature; what the full width would say is not known there. Where a row has gone on with few classes, the others
    keep together the probability p that they had then, and the few share 1 − p by their scores; one of these that was
    beaten on the way keeps its last score. Separate heads have the scores of the widest head, cut.
    InputError where float32 does not hold the lengths of the classifier.
    """
    return _run(cascade, vectors)[0]


def measure_lossless(cascade: Cascade, vectors: npt.NDArray[Any]) -> Savings:
    """What the rule saves on rows (n, width)."""
    answers, work = _run(cascade, vectors)
    width, count = cascade.dims.width, cascade.levels.prototypes
    return Savings(len(answers), width, count, float(answers.last.mean()), *(int(part) for part in work))


def _run(cascade: Cascade, vectors: npt.NDArray[Any]) -> tuple[Answers, Labels]:
    n, levels = len(vectors), cascade.levels
    out = Out(np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.float32), np.zeros((2, n), np.int64))
    known, free = bounds(levels), list[Job]()

    def tile(start: int, stop: int) -> None:
        job = taken(free, lambda: Job(levels, known, cascade.temperatures))
        part = slice(start, stop)
        run_tile(job, vectors[part], out.only(part))
        free.append(job)

    engine().share(tile, n, tile_rows(levels))
    answers = Answers(out.labels, out.levels, out.confidence, cascade.dims, True, cascade.classes)
    return answers, out.work.sum(1)
