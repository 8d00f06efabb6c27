"""Opening texts: which columns of a table hold them, and their rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mrl.errors import InputError, StorageError
from mrl.training.columns import Columns, Kind, kind_of, told
from mrl.training.columns import one as one_column
from mrl.training.opening import Origin, Purpose, Rows, TextOpening
from mrl.training.rows import column, ids_of, labels_of
from mrl.training.sources import Source, find
from mrl.training.tables import load
from mrl.training.texts import TextData

_TABLES = ".csv, .tsv, .jsonl or .parquet files"
_TEXTS = ("text", "texts", "sentence", "content", "body", "document", "query", "question", "title")
_FIRST = ("anchor", "query", "question", "sentence1", "sentence_1", "text1", "premise", "a")
_SECOND = ("positive", "document", "passage", "answer", "sentence2", "sentence_2", "text2", "hypothesis", "b")
_NEGATIVE = ("negative", "hard_negative")  # how the names of such columns begin
_SCORES = ("score", "scores", "similarity", "similarity_score", "label", "rating")


class TextColumns(NamedTuple):
    """Names of the columns that are read."""

    texts: tuple[str, ...]
    label: str | None
    score: str | None
    id: str | None

    @property
    def used(self) -> list[str]:
        """Each once."""
        return list(dict.fromkeys(name for name in (*self.texts, self.label, self.score, self.id) if name is not None))


def open_texts(source: str | Path, how: TextOpening) -> TextData:
    """Open texts: a table (.parquet, .csv, .tsv, .jsonl, .json, .arrow), a folder or a pattern of such files, a folder
    that `datasets` saved, or a data set's name on the hub (owner/name or hub:owner/name).

    Raises StorageError if nothing is there; InputError, with the row, for a text that is empty (unless such rows are
    to be left out), a label or a score that is missing, or columns that are not there.
    """
    table = find(str(source), how.rows.split)
    if table is None and not Path(source).exists():
        raise StorageError(f"there is no {source}; give {_TABLES}, or hub:NAME for a data set of the hub")
    if table is None:
        raise InputError(f"{source} is no table; give texts as {_TABLES}")
    opened = _Opened.of(table, how)
    return replace(opened.data(), origin=Origin.of(source, how))


@dataclass(frozen=True)
class _Opened:
    """A table, which of its columns are meant, and how."""

    source: Source
    how: TextOpening
    columns: TextColumns
    kind: Kind
    names: tuple[str, ...]
    table: Any

    @classmethod
    def of(cls, source: Source, how: TextOpening) -> _Opened:
        table = load(source, how.rows, stream=False)
        kinds = {name: kind_of(feature) for name, feature in table.features.items()}
        columns = text_columns(kinds, how.rows, how.purpose, source.name)
        if not len(table):
            raise InputError(f"{source.name} has no rows; give a table that has some")
        label = columns.label
        kind: Kind = "other" if label is None else kinds[label]
        names = tuple(table.features[label].names) if kind == "class" else ()
        return cls(source, how, columns, kind, names, table.select_columns(columns.used).with_format("arrow"))

    def data(self) -> TextData:
        views = [column(self.table, name).to_pylist() for name in self.columns.texts]
        kept = self._kept(views)
        ids = ids_of(self.table, self.columns.id, self.source)
        lost = np.setdiff1d(np.arange(len(self.table)), kept)
        about = Columns("", self.columns.label, self.columns.id, self.kind, self.names)
        labelled = self.how.purpose == "classify"
        labels, classes = labels_of(self.table, about, self.source, self.how.rows, labelled=labelled)
        data = TextData(tuple(map(tuple, views)), labels, self._scores(), classes, ids, columns=self.columns.texts)
        return data if not len(lost) else replace(data.part(kept), skipped=tuple(map(str, ids[lost])))

    def _kept(self, views: Sequence[Sequence[str | None]]) -> npt.NDArray[np.int64]:
        """The rows whose texts all say something. InputError for others, unless they are to be left out."""
        kept = np.ones(len(self.table), bool)
        for name, view in zip(self.columns.texts, views, strict=True):
            empty = np.array([text is None or not text.strip() for text in view])
            if empty.any() and not self.how.skip_empty:
                raise InputError(
                    f"row {empty.argmax()} of {self.source.name} has no text in column {name!r}; give it one, or leave "
                    f"such rows out with skip_empty, --skip-corrupt ({int(empty.sum())} of {len(empty)})"
                )
            kept &= ~empty
        if not kept.any():
            raise InputError(f"no row of {self.source.name} has a text in every column; give a table that has some")
        return np.flatnonzero(kept)

    def _scores(self) -> npt.NDArray[np.float64] | None:
        if self.columns.score is None:
            return None
        cells = column(self.table, self.columns.score).to_pylist()
        return np.array([self._score(cell, row) for row, cell in enumerate(cells)])

    def _score(self, cell: Any, row: int) -> float:
        try:
            score = float(cell)
        except (TypeError, ValueError):
            score = np.nan
        if not np.isfinite(score):
            raise InputError(
                f"row {row} of {self.source.name} has the score {cell!r} in column {self.columns.score!r}; "
                "give every row a finite number"
            )
        return score


def text_columns(kinds: Mapping[str, Kind], rows: Rows, purpose: Purpose, where: str) -> TextColumns:
    """The columns that `rows` names, or those that their names and types tell; InputError lists them otherwise."""
    named = dict(kinds)
    _check_texts(rows.text, kinds, where)
    if rows.label in rows.text:
        raise InputError(f"column {rows.label!r} of {where} is named as text and as label; name two columns")
    label = None
    if purpose in ("classify", "embed"):
        label = _label(named, rows, where, needed=purpose == "classify")
    score = _score_column(named, rows, where) if purpose == "scored-pairs" else None
    own_id = None if rows.id is None else one_column("id", rows.id, named, [], where)
    texts = rows.text or _found(named, purpose, {label, score, own_id}, where)
    _check_count(texts, purpose)
    return TextColumns(tuple(texts), label, score, own_id)


def _check_texts(texts: Sequence[str], kinds: Mapping[str, Kind], where: str) -> None:
    for name in texts:
        if kinds.get(name) != "text":
            what = f"is of kind {kinds[name]}" if name in kinds else "is not there"
            raise InputError(f"column {name!r} of {where} {what} and cannot be a text; columns are {told(kinds)}")


def _label(kinds: dict[str, Kind], rows: Rows, where: str, *, needed: bool) -> str | None:
    left: dict[str, Kind] = {name: kind for name, kind in kinds.items() if name not in rows.text}
    tiers = [[n for n in left if left[n] == "class"], [n for n in left if n.lower() in _LABELS and left[n] != "other"]]
    try:
        label = one_column("label", rows.label, left, tiers, where)
    except InputError:
        if needed or rows.label is not None:
            raise
        return None
    if needed and label is None:
        raise InputError(f"{where} has no column of labels among {told(kinds)}; name it with label, --label-column")
    return label


_LABELS = ("label", "labels", "class", "class_name", "label_name", "category", "intent", "target", "tag", "topic")


def _score_column(kinds: Mapping[str, Kind], rows: Rows, where: str) -> str:
    known = [name for name in kinds if name.lower() in _SCORES and name not in rows.text]
    found = [rows.score] if rows.score else known
    if not found or found[0] not in kinds:
        which = rows.score or "of scores"
        raise InputError(f"{where} has no column {which} among {told(kinds)}; name it with score, --score-column")
    if len(found) > 1:
        several = ", ".join(found)
        raise InputError(
            f"{where} has several columns that may be the scores: {several}; name one with score, --score-column"
        )
    return found[0]


def _found(kinds: Mapping[str, Kind], purpose: Purpose, taken: set[str | None], where: str) -> tuple[str, ...]:
    """The columns of text that a purpose wants, where names or numbers leave no doubt."""
    left = [name for name, kind in kinds.items() if kind == "text" and name not in taken]
    sides = (_FIRST, _SECOND) if purpose in ("pairs", "scored-pairs") else (_TEXTS,)
    known = [[name for name in left if name.lower() in names] for names in sides]
    if all(len(names) == 1 for names in known):
        negatives = [name for name in left if name.lower().startswith(_NEGATIVE)] if purpose == "pairs" else []
        return (*(names[0] for names in known), *negatives)  # whichever side comes first in the table
    if len(left) != len(sides):
        raise InputError(
            f"{where} has the columns {told(kinds)}, and {purpose} takes {_SHAPES[purpose]}; name them with text, "
            "--text-column"
        )
    return tuple(left)


_SHAPES: dict[str, str] = {
    "classify": "one text",
    "embed": "one text",
    "pairs": "an anchor and its positive (and hard negatives)",
    "scored-pairs": "two texts",
}


def _check_count(texts: Sequence[str], purpose: Purpose) -> None:
    right = len(texts) >= 2 if purpose == "pairs" else len(texts) == (2 if purpose == "scored-pairs" else 1)
    if not right:
        raise InputError(f"{purpose} takes {_SHAPES[purpose]}, got {len(texts)} columns of texts: {', '.join(texts)}")
