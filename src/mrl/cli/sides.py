"""What is searched and what asks: the options and the reading that `choose` and `inspect` share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mrl.cli.vectors import Reading, check_undescribed, check_unsaid
from mrl.errors import InputError
from mrl.options import option
from mrl.vectors import Described, Held, Source, is_table

if TYPE_CHECKING:
    from mrl.evaluation import Judgements

OF_QUERIES = ("query_labels", "query_ids", "query_key")


@dataclass(frozen=True)
class Asking:
    """What goes with the queries."""

    query_labels: Path | None = option(None, "Labels of the queries.")
    query_ids: Path | None = option(None, "Ids of the queries.")
    query_key: str | None = option(None, "Which array or column of their file has the queries.")
    judgements: Path | None = option(
        None, "Which vectors answer which query, by their ids, for nDCG and MRR; as in `mrl evaluate`."
    )
    ignore_same_ids: bool = option(False, "A vector with the query's own id is no answer: queries are documents.")


def judged(asking: Asking, queries: Path | None) -> Judgements | None:
    """The judgements, if there are any."""
    from mrl.evaluation import Judgements

    if asking.judgements is None and asking.ignore_same_ids:
        raise InputError("--ignore-same-ids belongs to --judgements, which are not there; leave it out")
    if asking.judgements is None:
        return None
    if queries is None:
        raise InputError("--judgements speak of queries, and there are none; give --queries")
    return Judgements.read(asking.judgements, ignore_same_ids=asking.ignore_same_ids)


def sides(
    where: Path, queries: Path | None, reading: Reading, asking: Asking, about: Described
) -> tuple[Source, Source | None]:
    """(database, queries), unread. Queries of a file that says nothing of itself are taken for the same model's."""
    check_undescribed(where, about)
    for name in OF_QUERIES if queries is None else ():
        if getattr(asking, name) is not None:
            raise InputError(f"--{name.replace('_', '-')} belongs to --queries, which are not there; leave it out")
    database = reading.source(where, about)
    if not len(database):
        raise InputError(f"{where} has no rows; give vectors")
    return database, None if queries is None else asks(queries, database, reading, asking)


def asks(path: Path, database: Source | Held, reading: Reading, asking: Asking) -> Source:
    """The queries of a file, unread. database: whose vectors they are to fit."""
    own = replace(reading, ids=asking.query_ids, labels=asking.query_labels, key=asking.query_key)
    found = own.source(path)
    if not is_table(path):
        check_unsaid(path, database.card, str(database.path))
        if found.card.width == database.card.width:
            found = replace(found, card=database.card)
    database.card.check_fits(found.card, (str(database.path), str(path)))
    return found
