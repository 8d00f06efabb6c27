"""Orthogonal maps in NumPy: fitted once on a sample, stored with the index, applied to rows and queries alike."""

from mrl.maps.pca import fit_pca
from mrl.maps.rotation import Rotation, mapped_card

__all__ = ["Rotation", "fit_pca", "mapped_card"]
