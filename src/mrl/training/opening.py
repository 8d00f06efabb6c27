"""How to open data: what pictures become, and which rows and columns of a table are meant."""

from __future__ import annotations

import glob
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from mrl.encoders.fit import Fit, Resample
from mrl.errors import InputError
from mrl.options import from_document, option

Purpose = Literal["classify", "pairs", "scored-pairs", "embed"]
MEMORY = 2 << 30  # bytes of decoded images that are held rather than decoded again in every epoch


@dataclass(frozen=True)
class Rows:
    """Which rows and columns of a table are meant; it says nothing of folders of images and .npz files.

    Columns of images, texts and labels are found by their types and names unless they are named here.
    """

    split: str = option("train", "Which split of a dataset that has several.")
    image: str | None = option(None, "The column of pictures, or of their paths.")
    text: tuple[str, ...] = option((), "The columns of texts: one; or anchor,positive,negative; or two with a score.")
    label: str | None = option(None, "The column of labels.")
    score: str | None = option(None, "The column of scores: how alike the two texts of a row are.")
    id: str | None = option(None, "The column of ids; without one, rows are numbered.")
    stream: bool = option(False, "Read rows one after another, never all of them.")
    count: int | None = option(None, "Rows of one pass of a stream, where the data do not tell.")
    classes: tuple[str, ...] = option((), "Names by label, where the data do not tell (a file, one a line).")

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))
        object.__setattr__(self, "text", tuple(self.text))
        if len(set(self.text)) < len(self.text):
            raise InputError(f"columns of texts must differ, got {', '.join(self.text)}; name each once")
        if self.count is not None and self.count < 1:
            raise InputError(f"count is the number of rows of one pass, at least 1, got {self.count}")
        if len(set(self.classes)) < len(self.classes):
            twice = next(name for i, name in enumerate(self.classes) if name in self.classes[:i])
            raise InputError(f"class names must differ, got {twice!r} twice; rename one")


@dataclass(frozen=True)
class Opening:
    """How to open data. size: (H, W), channels: 1 or 3 (defaults: what the pictures have). skip_corrupt: leave pictures
    out that cannot be decoded, rather than stop. labelled: whether labels are needed. memory: bytes of decoded images
    that may be held; more are decoded anew whenever they are asked for. crop, resample: see `Fit`. rows: of tables."""

    size: tuple[int, int] | None = None
    channels: int | None = None
    skip_corrupt: bool = False
    labelled: bool = True
    memory: int = MEMORY
    crop: float | None = None
    resample: Resample = "bilinear"
    rows: Rows = Rows()

    def __post_init__(self) -> None:
        for name in ("text", "score"):
            if getattr(self.rows, name):
                raise InputError(f"{name} names columns of texts, and these data are opened as images; leave it out")

    @classmethod
    def like(
        cls,
        fit: Fit,
        *,
        skip_corrupt: bool = False,
        labelled: bool = True,
        memory: int = MEMORY,
        rows: Rows = Rows(),
    ) -> Opening:
        """As an encoder expects its pictures."""
        return cls(fit.size, fit.channels, skip_corrupt, labelled, memory, fit.crop, fit.resample, rows)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Opening:
        parts = dict(document)
        parts["size"] = parts["size"] and tuple(parts["size"])
        return from_document(cls, {**parts, "rows": from_document(Rows, parts["rows"], "row")}, "opening")


@dataclass(frozen=True)
class TextOpening:
    """How to open texts. purpose: the task that they are for, or `embed`, which decides how many columns a row has and
    whether labels or scores are needed. skip_empty: leave rows out that have an empty text, rather than stop. rows: of
    tables."""

    purpose: Purpose
    skip_empty: bool = False
    rows: Rows = Rows()

    def __post_init__(self) -> None:
        if self.rows.stream:
            raise InputError("texts are small and are held in memory, so they are no stream; leave stream out")
        labelled = self.purpose in ("classify", "embed")
        read = {"image": False, "label": labelled, "classes": labelled, "score": self.purpose == "scored-pairs"}
        for name, used in read.items():
            if getattr(self.rows, name) and not used:
                raise InputError(f"{name} says nothing of texts for {self.purpose}; leave it out")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> TextOpening:
        parts = {**document, "rows": from_document(Rows, document["rows"], "row")}
        return from_document(cls, parts, "opening")


@dataclass(frozen=True)
class Origin:
    """Where data came from, so that a run can be repeated. source: the path or name. how: it was opened."""

    source: str
    how: Opening | TextOpening

    @classmethod
    def of(cls, source: str | Path, how: Opening | TextOpening) -> Origin:
        """A path, or a pattern of paths, is kept in full, so that it means the same elsewhere."""
        pattern = glob.has_magic(str(source)) and "://" not in str(source)
        return cls(str(Path(source).absolute()) if Path(source).exists() or pattern else str(source), how)

    def to_json(self) -> dict[str, Any]:
        return {"source": self.source, "how": self.how.to_json()}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Origin:
        how = document["how"]
        return cls(document["source"], (TextOpening if "purpose" in how else Opening).from_json(how))
