"""Maps of vectors in NumPy: fitted once, kept with what they were applied to, applied to rows and queries alike.

    Rotation   y = x R, orthogonal: no full-width score changes
    Linear     y = x W
    Residual   y = u + relu(u A + a) C, where u = x B

Each has `width` and `out`, a name and a fingerprint (together its text), `apply`, `apply32` (at float32's speed for
rotations too), `sealed`, `save` and `load`.
"""

from mrl.maps.cards import mapped_card
from mrl.maps.files import AnyMap, load_map
from mrl.maps.linear import Linear
from mrl.maps.pca import fit_pca
from mrl.maps.residual import Residual
from mrl.maps.rotation import Rotation

__all__ = ["AnyMap", "Linear", "Residual", "Rotation", "fit_pca", "load_map", "mapped_card"]
