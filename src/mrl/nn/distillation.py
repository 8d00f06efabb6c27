"""`nested_distillation`: a student's prefixes compared with its teacher's, cut and rescaled alike, in one pass.

`vectors` needs one similarity a row and level (`matched`): |u − t|² = |u|² + |t|² − 2 cos for unit prefixes.
`similarities` compares the in-batch matrices of similarities. Their tiles accumulate segment by segment forward; the
coefficients of the levels accumulate from the widest back, and the rescaling's part of the gradient is one number a row
and level. As both matrices are symmetric, a tile of rows gives those rows' whole gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from torch import Tensor

from mrl.errors import InputError
from mrl.nesting import Metric, Nesting, Reduction, level_coefficients, rescales
from mrl.nn.cross_entropy import CHUNK_BYTES
from mrl.nn.loop import NestedLoss
from mrl.nn.matched import check_rows, matched
from mrl.nn.matrices import Matrices
from mrl.nn.pairwise import check_finite, weighed

Distillation = Literal["vectors", "similarities", "full-similarities"]


def nested_distillation(
    student: Tensor,
    teacher: Tensor,
    *,
    nesting: Nesting,
    kind: Distillation = "vectors",
    level_weights: Sequence[float] | None = None,
    reduction: Reduction = "sum",
    metric: Metric = "cosine",
    chunk_bytes: int = CHUNK_BYTES,
) -> NestedLoss:
    """Σ_m c_m · (mean squared difference of student and teacher at dim m), both cut and rescaled by the metric alike.

    kind: what is compared. `vectors`: the prefixes, coordinate by coordinate. `similarities`: the (n, n) similarities
    of the batch's rows among themselves. `full-similarities`: those of the student's prefixes with those of the
    teacher's full vectors, at every level; the teacher may have its own coordinates then, of any width ≥ the nesting's.
    student: (n, d), raw. teacher: (n, e), raw, finite, e at least the nesting's width; it gets no gradient.
    level_weights: c_m, default 1. reduction: `sum` over the levels, or their `mean`.
    metric: cosine rescales at every dim (a zero prefix stays zero); l2's similarity is minus the squared distance.
    chunk_bytes: similarities alive at once, at most; at least one row's of each level.

    Raises InputError or NestingError for what does not fit. Gradients of gradients are refused.
    """
    _check(student, teacher, nesting, kind, chunk_bytes)
    coefficients = level_coefficients(nesting, level_weights, reduction)
    teacher = teacher.detach().to(student.device)
    if kind == "vectors":
        return weighed(_vectors(student, teacher, nesting, metric), coefficients, student.dtype, teacher)
    plan = Matrices(nesting, coefficients, metric, kind == "full-similarities", chunk_bytes)
    total, levels = plan.differences(student, teacher)
    return NestedLoss(total, levels)


def _vectors(student: Tensor, teacher: Tensor, nesting: Nesting, metric: Metric) -> Tensor:
    """Mean squared difference of the prefixes at each level, (levels,)."""
    similarity, present = matched(student, teacher, nesting, metric if rescales(metric) else "l2")
    squares = present - 2 * similarity if rescales(metric) else -similarity
    return squares.mean(1) / squares.new_tensor(nesting.dims)


def _check(student: Tensor, teacher: Tensor, nesting: Nesting, kind: str, chunk_bytes: int) -> None:
    check_rows(student, nesting, "student")
    check_rows(teacher, nesting, "teacher")
    if len(student) != len(teacher):
        raise InputError(f"the teacher needs a row for each of the student's {len(student)}, got {len(teacher)}")
    if teacher.requires_grad:
        raise InputError("the teacher gets no gradient here; detach it, or use nested(…), the plain loop")
    if kind not in get_args(Distillation):
        raise InputError(f"unknown kind {kind!r}; known are {', '.join(get_args(Distillation))}")
    if chunk_bytes < 1:
        raise InputError(f"chunk_bytes must be positive, got {chunk_bytes}")
    check_finite(teacher, "teacher")
