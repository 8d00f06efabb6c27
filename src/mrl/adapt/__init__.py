"""Frozen vectors made to nest: maps fitted to them, held against truncation and PCA, and applied without torch.

The names below are imported when they are asked for; only fitting brings in torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mrl.lazy import lazily

if TYPE_CHECKING:
    from mrl.adapt.applying import apply_stream
    from mrl.adapt.exporting import EXPORTS
    from mrl.adapt.fitted import Fitted
    from mrl.adapt.fitting import fit
    from mrl.adapt.map import Map
    from mrl.adapt.spec import AdaptSpec

__all__ = ["EXPORTS", "AdaptSpec", "Fitted", "Map", "apply_stream", "fit"]

__getattr__ = lazily(
    __name__,
    {
        "EXPORTS": "exporting",
        "AdaptSpec": "spec",
        "Fitted": "fitted",
        "Map": "map",
        "apply_stream": "applying",
        "fit": "fitting",
    },
)
