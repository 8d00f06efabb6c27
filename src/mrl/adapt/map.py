"""Map: what makes frozen vectors nest, as a folder that is applied without torch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from mrl.card import Card
from mrl.disk import Content, Folder, read_tensors, sealed_tensors
from mrl.errors import CardError, InputError
from mrl.heads import IN_MAP, HeadWeights
from mrl.maps import Rotation, load_map, mapped_card
from mrl.nesting import Nesting, metric_prefix
from mrl.vectors import Embedded, Held
from mrl.vectors.copies import Digests, digests

if TYPE_CHECKING:
    from mrl.adapt.fitted import Fitted
    from mrl.adapt.spec import AdaptSpec
    from mrl.evaluation import Judgements
    from mrl.maps.files import AnyMap

KIND = "mrl-map-folder"
DOCUMENTS, QUERIES, SEEN = "documents.safetensors", "queries.safetensors", "seen.safetensors"

Side = Literal["documents", "queries"]
Told = Callable[[str, int, int], object]  # hears what is done, how far, of how much
Array = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False, repr=False)
class Map:
    """A map of frozen vectors, with what it was fitted for.

    documents: maps the rows that are searched. queries: maps what asks, or None where it is the same map.
    before: the card of the vectors that it takes. nesting: the dims that it was fitted for.
    head: a classifier of the mapped vectors, where there were labels. record: how it was fitted and what it is worth,
    as JSON. known: digests of the vectors that it was fitted on, sorted; none where that is unknown.

    MAP/manifest.json            sealed: cards, dims, record
    MAP/documents.safetensors    sealed; queries.safetensors, head.safetensors, seen.safetensors where there are such
    """

    documents: AnyMap
    before: Card
    nesting: Nesting
    queries: AnyMap | None = None
    head: HeadWeights | None = None
    record: Mapping[str, Any] = field(default_factory=dict)
    known: Digests = field(default_factory=lambda: np.empty(0, np.uint64))

    def __post_init__(self) -> None:
        for each in (self.documents, self.queries or self.documents):
            if (each.width, each.out) != (self.before.width, self.documents.out):
                raise CardError(
                    f"a map of vectors of width {self.before.width} to {self.documents.out} dims cannot hold {each}, "
                    f"which takes {each.width} to {each.out}; fit it again"
                )
        self.nesting.check_width(self.documents.out)

    @property
    def width(self) -> int:
        """Of the vectors that it takes."""
        return self.documents.width

    @cached_property
    def name(self) -> str:
        """What cards call it, such as `residual:ab12cd34ef56`: another one for other numbers on either side."""
        if self.queries is None:
            return str(self.documents)
        both = hashlib.sha256(f"{self.documents} {self.queries}".encode()).hexdigest()[:12]
        return f"{self.documents.name}:{both}"

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"Map({self.name}, {self.width} -> {self.documents.out}, dims {self.nesting})"

    @cached_property
    def card(self) -> Card:
        """The card of the mapped vectors that it was fitted for."""
        return self.card_of(self.before)

    def card_of(self, card: Card) -> Card:
        """The card of other vectors once mapped: what they say of themselves, and that the map was applied."""
        return replace(mapped_card(card, self.documents, self.nesting), maps=(*card.maps, self.name))

    def seen(self, vectors: Array) -> npt.NDArray[np.bool_]:
        """(n,): which of these vectors, as they were before mapping, it was fitted on or watched by."""
        return np.isin(digests(vectors), self.known)

    @property
    def keeps_scores(self) -> bool:
        """Whether full-width dot products, cosines and distances stay what they were."""
        return isinstance(self.documents, Rotation) and self.queries is None

    def side(self, side: Side) -> AnyMap:
        """The map of one side."""
        if side not in ("documents", "queries"):
            raise InputError(f"a map has the sides documents and queries, got {side!r}; name one of these")
        return self.queries if side == "queries" and self.queries is not None else self.documents

    def apply(self, vectors: Array, dim: int | None = None, *, side: Side = "documents") -> npt.NDArray[np.float32]:
        """(..., width) -> (..., out) float32, or cut to `dim` as the card's metric compares prefixes.

        A row with a NaN or an Inf has no finite image. CardError for another width, NestingError for a dim that
        cannot be read.
        """
        self.before.check_vectors(vectors)
        turn = self.side(side)
        mapped = turn.apply32(vectors)
        if dim is None:
            return mapped
        self.nesting.check_readable(dim, turn.out)
        cut: npt.NDArray[np.float32] = metric_prefix(mapped, dim, self.before.metric)
        return cut

    def turned(self, rows: Embedded, *, side: Side = "documents") -> Held:
        """All rows mapped, in memory, under the new card. CardError for vectors that it was not fitted for."""
        self.check(rows.card, str(rows.path))
        held = Held(rows.path, rows.card, rows.vectors, rows.ids, rows.labels, rows.label_names)
        return held.turned(self.apply(rows.vectors, side=side), self.card_of(rows.card))

    def check(self, card: Card, name: str = "these vectors") -> None:
        """Raise CardError unless vectors of this card are what the map was fitted for.

        Files that say nothing of their model have no fingerprint, and then only width, metric and maps are compared.
        """
        for field_name in ("width", "metric", "maps", "fingerprint"):
            mine, theirs = getattr(self.before, field_name), getattr(card, field_name)
            unsaid = field_name == "fingerprint" and "" in (mine, theirs)
            if mine != theirs and not unsaid:
                done = self.name in card.maps
                remedy = "they are mapped already" if done else "give vectors of the model that it was fitted for"
                raise CardError(
                    f"{name} and the map {self} do not belong together: {field_name} is {_said(theirs)}, and it was "
                    f"fitted for {_said(mine)} ({self.before.model}); {remedy}"
                )

    # ------------------------------------------------------------------------------------------------ fitting

    @staticmethod
    def fit(
        documents: Embedded | Array,
        spec: AdaptSpec | None = None,
        *,
        labels: npt.ArrayLike | None = None,
        queries: Embedded | Array | None = None,
        judgements: Judgements | None = None,
        told: Told = lambda *_: None,
    ) -> Fitted:
        """Fit a map, and hold it against truncation and PCA on queries that the fit never saw. See `mrl.adapt.fit`.

        Plain matrices (n, width) will do, with labels (n,) if there are any: they are compared by cosine, and their ids
        are their rows' numbers.
        """
        from mrl.adapt.fitting import fit

        known = _embedded(documents, "documents", labels)
        asking = None if queries is None else _embedded(queries, "queries")
        return fit(known, spec, queries=asking, judgements=judgements, told=told)

    # ------------------------------------------------------------------------------------------------ storage

    def save(self, path: str | Path) -> Path:
        """Write the folder. ExistsError if something is there. What the gate found is in the record, passed or not."""
        folder = Folder.create(Path(path), KIND)
        files: dict[str, Content] = {DOCUMENTS: self.documents.sealed()}
        if self.queries is not None:
            files[QUERIES] = self.queries.sealed()
        if self.head is not None:
            files[IN_MAP] = self.head.sealed()
        if len(self.known):
            files[SEEN] = sealed_tensors({"digests": self.known.view(np.int64)}, {}, "mrl-seen")
        about = {"before": self.before.to_json(), "nesting": str(self.nesting), "name": self.name}
        with folder.lock():
            folder.commit(files, {**about, "record": dict(self.record)}, keep=lambda _: True)
        return folder.path

    @classmethod
    def load(cls, path: str | Path) -> Map:
        """Read one back. StorageError if there is none, DamagedError naming the file whose bytes changed."""
        folder = Folder.open(Path(path), KIND)
        about = folder.manifest
        made = cls(
            load_map(folder.verified(DOCUMENTS)),
            Card.from_json(about["before"]),
            Nesting.parse(about["nesting"]),
            load_map(folder.verified(QUERIES)) if QUERIES in folder.entries else None,
            HeadWeights.load(folder.verified(IN_MAP)) if IN_MAP in folder.entries else None,
            about["record"],
            _seen(folder),
        )
        if made.name != about["name"]:
            raise CardError(f"{path} says that it holds the map {about['name']} and holds {made}; fit it again")
        return made


def _embedded(vectors: Embedded | Array, name: str, labels: npt.ArrayLike | None = None) -> Embedded:
    """A matrix as vectors that say of themselves what can be known."""
    if not isinstance(vectors, np.ndarray):
        if labels is not None:
            raise InputError(f"labels go with a plain matrix; {vectors.path} has its own, so leave them out")
        return vectors
    if vectors.ndim != 2 or vectors.dtype.kind != "f" or not vectors.size:
        raise InputError(
            f"{name} must be a matrix of floats (n, width), got {vectors.dtype} of shape {vectors.shape}; convert them"
        )
    width = vectors.shape[1]
    return Held.of(vectors, Card("vectors", width, Nesting((width,))), labels, name)


def _seen(folder: Folder) -> Digests:
    """The digests that were kept with a map."""
    if SEEN not in folder.entries:
        return np.empty(0, np.uint64)
    return read_tensors(folder.verified(SEEN), "mrl-seen")[0]["digests"].view(np.uint64)


def _said(value: object) -> str:
    """A card's field in words."""
    return (", ".join(value) or "none") if isinstance(value, tuple) else repr(value)
