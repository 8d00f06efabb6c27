"""Judgements brought to the rows of two tables, and what had to be left out."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mrl.errors import InputError
from mrl.evaluation.judgements import Judgements
from mrl.vectors import Embedded

Rows = npt.NDArray[np.int64]
Grades = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Matched:
    """The queries that can be measured, and the grades of their documents.

    rows: (queries,) in the queries' table, in its order. own: (queries,) the row of the document to be ignored, or −1.
    grades: of each query's relevant documents, the table's or not, best first. pairs: sorted, query · documents + row,
    of those in the table; pair_grades: theirs. documents: rows in their table. notes: what was left out.
    """

    rows: Rows
    own: Rows
    grades: tuple[Grades, ...]
    pairs: Rows
    pair_grades: Grades
    documents: int
    notes: tuple[str, ...]

    @property
    def relevant(self) -> Rows:
        """(queries,): how many documents are relevant, at least 1."""
        return np.array([len(each) for each in self.grades])

    def ideal(self, k: int) -> Grades:
        """(queries, k): the highest grades, best first; 0 where there are fewer."""
        best = np.zeros((len(self.grades), k))
        for row, each in zip(best, self.grades, strict=True):
            row[: len(each)] = each[:k]
        return best

    def only(self, numbers: Rows) -> Matched:
        """The same for some of its queries."""
        if len(numbers) == len(self.rows) and (numbers == np.arange(len(self.rows))).all():
            return self
        grades = tuple(self.grades[number] for number in numbers.tolist())
        query, row = np.divmod(self.pairs, self.documents)
        start, stop = np.searchsorted(query, [numbers, numbers + 1])
        kept = [np.arange(a, b) for a, b in zip(start.tolist(), stop.tolist(), strict=True)]
        at = np.concatenate([*kept, np.empty(0, np.int64)]).astype(np.int64)
        renumbered = np.repeat(np.arange(len(numbers)), stop - start) * self.documents + row[at]
        return replace(
            self,
            rows=self.rows[numbers],
            own=self.own[numbers],
            grades=grades,
            pairs=renumbered,
            pair_grades=self.pair_grades[at],
        )

    def gains(self, found: Rows) -> Grades:
        """The grades of found (..., queries, k), rows of the documents; 0 for those not judged."""
        if not len(self.pairs):
            return np.zeros(found.shape)
        wanted = found + np.arange(len(self.rows))[:, None] * self.documents
        at = np.minimum(np.searchsorted(self.pairs, wanted), len(self.pairs) - 1)
        return np.where(self.pairs[at] == wanted, self.pair_grades[at], 0.0)


def places(table: Embedded, wanted: Collection[str]) -> dict[str, int]:
    """The row of each wanted id that the table has. InputError for one that several rows have, as those of a file may.

    Ids that nobody asks for may occur as often as they like.
    """
    found: dict[str, int] = {}
    first = count = 0
    for ids in table.id_blocks():
        texts = map(str, ids.tolist())
        some = [(text, row) for row, text in enumerate(texts, first) if text in wanted]
        found.update(some)
        count += len(some)
        first += len(ids)
    if count > len(found):
        raise _twice(table, wanted)
    return found


def _twice(table: Embedded, wanted: Collection[str]) -> InputError:
    """For the first wanted id that two rows have."""
    seen: dict[str, int] = {}
    rows = enumerate(str(each) for ids in table.id_blocks() for each in ids.tolist())
    twice, again = next((text, row) for row, text in rows if text in wanted and seen.setdefault(text, row) != row)
    return InputError(
        f"id {twice!r} occurs twice in {table.path}, in rows {seen[twice]} and {again}, and is asked for by its id; "
        "give every row an id of its own, or leave one of the two out"
    )


def matched(judgements: Judgements, documents: Embedded, queries: Embedded) -> Matched:
    """InputError where no query, or no document, of the judgements is in its table, or one is twice, or nothing is
    relevant."""
    asked = places(queries, judgements.grades.keys())
    _check_any(asked, judgements.grades.keys(), queries, "queries")
    judged = judgements.documents()
    there = places(documents, judged | asked.keys() if judgements.ignore_same_ids else judged)
    _check_any(there.keys() & judged, judged, documents, "documents")
    relevant = {query: judgements.relevant(query) for query in asked}
    kept = {query: graded for query, graded in relevant.items() if graded}
    if not kept:
        raise InputError(f"no query of {queries.path} has a relevant document: all grades are 0 or less")
    own = [there.get(query, -1) if judgements.ignore_same_ids else -1 for query in kept]
    return Matched(
        np.array([asked[query] for query in kept]),
        np.array(own),
        tuple(np.sort(list(graded.values()))[::-1] for graded in kept.values()),
        *_pairs(kept, there, len(documents)),
        len(documents),
        (*_left_out(judgements, queries, asked, kept), *_absent(kept, there, documents)),
    )


def _pairs(kept: Mapping[str, Mapping[str, float]], there: Mapping[str, int], count: int) -> tuple[Rows, Grades]:
    found = sorted(
        (number * count + there[document], grade)
        for number, graded in enumerate(kept.values())
        for document, grade in graded.items()
        if document in there
    )
    return np.array([pair for pair, _ in found], np.int64), np.array([grade for _, grade in found], np.float64)


def _check_any(found: Collection[str], judged: Collection[str], table: Embedded, what: str) -> None:
    if not found:
        raise InputError(
            f"none of the {len(judged)} judged {what}, such as {min(judged)!r}, is an id of {table.path}, such as "
            f"{table.ids[0].item()!r}; embed them with the ids that the judgements speak of"
        )


def _absent(kept: Mapping[str, Mapping[str, float]], there: Collection[str], documents: Embedded) -> Iterator[str]:
    relevant = {document for graded in kept.values() for document in graded}
    lacking = len(relevant - set(there))
    if lacking:
        yield f"{lacking} of {len(relevant)} relevant documents are not in {documents.path}: they count as not found"


def _left_out(
    judgements: Judgements, queries: Embedded, asked: Collection[str], kept: Collection[str]
) -> Iterator[str]:
    told = (
        (len(judgements) - len(asked), f"of {len(judgements)} judged queries are not in {queries.path}: left out"),
        (len(queries) - len(asked), f"of {len(queries)} queries of {queries.path} are not judged: left out"),
        (len(asked) - len(kept), f"of {len(asked)} judged queries have no relevant document: left out"),
    )
    yield from (f"{count} {text}" for count, text in told if count)
