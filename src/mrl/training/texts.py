"""Texts to train on or to embed: rows of one or more columns of text, with labels or scores."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.errors import InputError
from mrl.training.listing import Ids, Labels, renamed
from mrl.training.opening import Origin

At = npt.NDArray[np.int64]
Views = tuple[tuple[str, ...], ...]  # texts of each column


@dataclass(frozen=True, eq=False)
class TextData:
    """Rows of texts, all in memory.

    views: the texts (n) of each column: one to classify or to embed; anchor, positive and maybe hard negatives of
    pairs; two of scored pairs. labels: (n,) int64 or None. scores: (n,) float64 or None. classes: names by label.
    ids: (n,) integers or strings. skipped: ids of rows left out because a text is empty. unknown: classes that the run
    which these data were mapped onto does not have. columns: the columns' names, where they have some. origin: what was
    opened.
    """

    views: Views
    labels: Labels | None = None
    scores: npt.NDArray[np.float64] | None = None
    classes: tuple[str, ...] = ()
    ids: Ids = field(default_factory=lambda: np.empty(0, np.int64))
    skipped: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    origin: Origin | None = None

    def __len__(self) -> int:
        return len(self.views[0])

    @cached_property
    def keys(self) -> npt.NDArray[np.int64]:
        """(n, columns): a number for each text, the same wherever the text is the same."""
        known: dict[str, int] = {}
        columns = [[known.setdefault(text, len(known)) for text in view] for view in self.views]
        return np.array(columns, np.int64).T.copy()

    def taken(self, at: Sequence[int]) -> list[list[str]]:
        """The texts of some rows, by column."""
        return [[view[i] for i in at] for view in self.views]

    def part(self, at: At) -> TextData:
        """The rows at these positions, with the classes of all."""
        views = tuple(tuple(view) for view in self.taken(at.tolist()))
        labels = None if self.labels is None else self.labels[at]
        scores = None if self.scores is None else self.scores[at]
        return replace(self, views=views, labels=labels, scores=scores, ids=self.ids[at])

    def named(self, classes: Sequence[str]) -> TextData:
        """The same rows, labelled by the positions of their classes' names in `classes`; other names come after."""
        if self.labels is None or not classes:
            return self
        new = renamed(self.classes, classes)
        return replace(self, labels=new.labels[self.labels], classes=new.classes, unknown=new.unknown)

    def fingerprint(self) -> str:
        """SHA-256 of texts, labels, scores, classes and ids, in their order."""
        digest = hashlib.sha256(f"{len(self)} {len(self.views)} {self.classes}".encode())
        for view in self.views:
            for text in view:
                digest.update(f"{len(text)} {text}".encode())
        for array in (self.labels, self.scores):
            digest.update(b"none" if array is None else array.tobytes())
        digest.update("\n".join(map(str, self.ids.tolist())).encode())
        return digest.hexdigest()


def from_texts(
    *views: Iterable[str],
    labels: npt.ArrayLike | None = None,
    scores: npt.ArrayLike | None = None,
    classes: Sequence[str] = (),
    ids: npt.ArrayLike | None = None,
) -> TextData:
    """Rows of texts, one column a view; ids are 0 … n-1 without `ids`.

    labels: (n,) integers with names in `classes` (default: their numbers). scores: (n,) how alike the two texts of a
    row are. InputError for columns of other lengths, texts that are empty or no text, scores that are not finite.
    """
    columns = tuple(tuple(view) for view in views)
    _check_columns(columns)
    n = len(columns[0])
    for column, view in enumerate(columns):
        for row, text in enumerate(view):
            if wrong := _wrong(text):
                raise InputError(f"text {row} of column {column} is {wrong}; give each row a text, or leave it out")
    numbers = None if labels is None else _labels(np.asarray(labels), n)
    names = tuple(map(str, classes))
    if numbers is not None:
        names = names or tuple(map(str, range(int(numbers.max(initial=-1)) + 1)))
        if numbers.max(initial=-1) >= len(names):
            raise InputError(f"label {numbers.max()} has no name among {len(names)} classes; name every class")
    keys = np.arange(n) if ids is None else np.asarray(ids)
    if keys.shape != (n,):
        raise InputError(f"{n} rows have ids of shape {keys.shape}; give each row one id")
    return TextData(columns, numbers, None if scores is None else _scores(np.asarray(scores), n), names, keys)


def _check_columns(columns: Views) -> None:
    if not columns or not columns[0]:
        raise InputError("there are no texts; give at least one column with at least one row")
    lengths = [len(view) for view in columns]
    if len(set(lengths)) > 1:
        raise InputError(f"the columns have {', '.join(map(str, lengths))} texts; a row has one text of each column")


def _wrong(text: Any) -> str:
    """What keeps a value from being a text, or ""."""
    if not isinstance(text, str):
        return f"a {type(text).__name__}"
    if not text.strip():
        return "only white space" if text else "empty"
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate, which UTF-8 and so a tokenizer cannot hold
        return "cut within a character"
    return ""


def _labels(labels: npt.NDArray[Any], n: int) -> Labels:
    if labels.dtype.kind not in "iu" or labels.shape != (n,):
        raise InputError(f"labels must be {n} integers, one a row, got {labels.dtype} of shape {labels.shape}")
    if n and labels.min() < 0:
        raise InputError(f"labels must be 0 or more, got {labels.min()}; leave unlabelled rows out")
    return labels.astype(np.int64)


def _scores(scores: npt.NDArray[Any], n: int) -> npt.NDArray[np.float64]:
    if scores.dtype.kind not in "iuf" or scores.shape != (n,):
        raise InputError(f"scores must be {n} numbers, one a row, got {scores.dtype} of shape {scores.shape}")
    bad = np.flatnonzero(~np.isfinite(scores))
    if len(bad):
        raise InputError(f"score {bad[0]} is {scores[bad[0]]}; every row needs a finite one")
    return scores.astype(np.float64)
