"""What a file of vectors does not say of itself."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from mrl.card import Card
from mrl.nesting import Metric, Nesting
from mrl.options import option


@dataclass(frozen=True)
class Described:
    """What a file of vectors does not say of itself; a table's card says it all."""

    model: str = option("", "The name of the model that made them, for people; without one, the file's.")
    metric: Metric = option("cosine", "How they are compared: cosine, dot or l2.")
    dims: str | None = option(None, "Dims that were trained, as 8,16,32 or 8..64; without them the full width alone.")

    def card(self, path: Path, width: int) -> Card:
        """The card of vectors in such a file."""
        nesting = Nesting((width,)) if self.dims is None else Nesting.parse(self.dims)
        return Card(self.model or path.stem, width, nesting, self.metric)

    @property
    def given(self) -> tuple[str, ...]:
        """The names of what is said."""
        return tuple(each.name for each in fields(self) if getattr(self, each.name) != each.default)
