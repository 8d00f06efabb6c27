"""Any map from its file."""

from __future__ import annotations

from pathlib import Path

from mrl.maps.linear import Linear
from mrl.maps.named import read_map
from mrl.maps.residual import Residual
from mrl.maps.rotation import Rotation

AnyMap = Rotation | Linear | Residual


def load_map(path: str | Path) -> AnyMap:
    """The map in a file, of whichever form.

    StorageError if the file cannot be read, DamagedError if a byte changed, InputError for what is no map, one of a
    form that is not known, or one whose arrays do not fit.
    """
    kinds: dict[str, type[Rotation] | type[Linear] | type[Residual]]
    kinds = {"rotation": Rotation, "linear": Linear, "residual": Residual}
    return kinds[read_map(path)[0]].load(path)
