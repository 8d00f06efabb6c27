"""Judgements: which documents answer which query, and how well."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mrl.errors import InputError
from mrl.evaluation.records import ENDINGS, Record, ending, identifier, is_number, named, number, rows_of

COLUMNS = ("query-id", "corpus-id", "score")  # BEIR's


@dataclass(frozen=True, eq=False)
class Judgements:
    """What people said of pairs of a query and a document.

    grades: query id -> {document id -> grade}; a document is relevant if its grade is above 0, and one that is not
    judged has grade 0. Ids are texts: an integer id of a table is compared as the digits that write it.
    ignore_same_ids: a document with the query's own id is no answer, neither found nor counted (for queries that are
    documents themselves).
    """

    grades: Mapping[str, Mapping[str, float]]
    ignore_same_ids: bool = False

    def __post_init__(self) -> None:
        if not self.grades:
            raise InputError("there are no judgements; give at least one query with its documents")
        frozen = {query: MappingProxyType(dict(graded)) for query, graded in self.grades.items()}
        object.__setattr__(self, "grades", MappingProxyType(frozen))

    def __len__(self) -> int:
        """How many queries are judged."""
        return len(self.grades)

    def relevant(self, query: str) -> dict[str, float]:
        """The documents of a query with a grade above 0."""
        own = query if self.ignore_same_ids else None
        graded = self.grades.get(query, {})
        return {document: grade for document, grade in graded.items() if grade > 0 and document != own}

    def documents(self) -> set[str]:
        """Every document that was judged."""
        return set(chain.from_iterable(self.grades.values()))

    @classmethod
    def of(cls, judged: Iterable[tuple[Any, Any, float]], *, ignore_same_ids: bool = False) -> Judgements:
        """From (query id, document id, grade). InputError names the first that contradicts one before it."""
        records = (Record(place, tuple(each)) for place, each in enumerate(judged))
        return cls(_gathered(records, "judgement "), ignore_same_ids)

    @classmethod
    def read(
        cls, path: str | Path, columns: Sequence[str] | None = None, *, ignore_same_ids: bool = False
    ) -> Judgements:
        """Read a file by its ending, which .gz may follow.

        .csv, .tsv, .jsonl, .parquet: the columns of the query, the document and the grade, by default BEIR's
        `query-id`, `corpus-id` and `score`; a .csv or .tsv may come without a header. Any other: TREC's qrels, as
        `query 0 document grade` with spaces between. InputError names the line that cannot be used or contradicts one
        before it; StorageError if the file cannot be read.
        """
        path = Path(path)
        records = named(path, _three(columns)) if columns else _read(path)
        grades = _gathered(records, f"{path}:")
        if not grades:
            raise InputError(f"{path} has no judgements; give at least one query with its documents")
        return cls(grades, ignore_same_ids)


def _three(columns: Sequence[str]) -> Sequence[str]:
    if len(columns) != len(COLUMNS):
        raise InputError(
            f"judgements need three columns, of the query, the document and the grade, got {', '.join(columns)}; "
            f"name them as in {','.join(COLUMNS)}"
        )
    return columns


def _read(path: Path) -> Iterator[Record]:
    """BEIR's columns where there is a header, else TREC's or BEIR's by their count."""
    if ending(path) in (".jsonl", ".parquet"):
        return named(path, COLUMNS)
    first = next(rows_of(path), Record(1, ())).cells
    if ending(path) in ENDINGS and not (first and is_number(first[-1])):
        return named(path, COLUMNS)
    return _plain(path)


def _plain(path: Path) -> Iterator[Record]:
    for line, cells in rows_of(path):
        if len(cells) not in (3, 4):
            raise InputError(
                f"{path}:{line} has {len(cells)} columns; a judgement is `query 0 document grade` or "
                "`query document grade`"
            )
        yield Record(line, (cells[0], cells[-2], cells[-1]))


def _gathered(records: Iterable[Record], where: str) -> dict[str, dict[str, float]]:
    grades: dict[str, dict[str, float]] = {}
    for line, (query, document, cell) in records:
        here = f"{where}{line}"
        grade, asked, judged = number(cell, here, "grade"), identifier(query, here), identifier(document, here)
        known = grades.setdefault(asked, {}).setdefault(judged, grade)
        if known != grade:
            raise InputError(
                f"{here} gives document {judged!r} of query {asked!r} the grade {grade:g}, and one before it gave "
                f"{known:g}; keep one of them"
            )
    return grades
