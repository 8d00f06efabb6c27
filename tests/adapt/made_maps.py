"""Maps of each form, made and not fitted."""

import numpy as np

from mrl.maps import Linear, Residual, Rotation

WIDTH, OUT, HIDDEN = 24, 24, 10


def made(form, width=WIDTH, out=None, seed=0, unit=True):
    """A map of the form; a rotation has out = width."""
    rng = np.random.default_rng(seed)
    out = width if out is None else out
    if form == "rotation":
        return Rotation(np.linalg.qr(rng.standard_normal((width, width)))[0], "pca")
    base = rng.standard_normal((width, out)) / np.sqrt(width)
    if form == "linear":
        return Linear(base)
    shapes = ((out, HIDDEN), (HIDDEN,), (HIDDEN, out))
    return Residual(base, *(rng.standard_normal(shape) / 3 for shape in shapes), unit=unit)


def rows(count, width=WIDTH, seed=1):
    """Vectors of very different lengths, the last of them 0."""
    rng = np.random.default_rng(seed)
    made = rng.standard_normal((count, width)) * 10 ** rng.uniform(-3, 3, (count, 1))
    made[-1] = 0
    return made.astype(np.float32)
