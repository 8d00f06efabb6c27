"""Labels of two tables in one numbering."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mrl.errors import InputError
from mrl.vectors import Embedded

Labels = npt.NDArray[np.int64]


def renumbered(table: Embedded, names: tuple[str, ...]) -> Labels:
    """The table's labels as places in `names`, −1 where it is not among them; as they are without names."""
    labels = table.need_labels()
    if not names or not table.label_names or table.label_names == names:
        return labels
    place = {name: number for number, name in enumerate(names)}
    own = np.array([place.get(name, -1) for name in table.label_names], np.int64)
    return np.where(labels < 0, -1, own[labels])


def numbered_alike(queries: Embedded, rows: Embedded) -> Labels:
    """The queries' labels in the rows' numbering, −1 for a class that these do not name.

    InputError where one side has names and the other has none.
    """
    check_alike(queries, rows)
    return renumbered(queries, rows.label_names)


def check_alike(queries: Embedded, rows: Embedded) -> None:
    """InputError where one side names its labels and the other does not."""
    if bool(rows.label_names) != bool(queries.label_names):
        named, bare = sorted((rows, queries), key=lambda side: not side.label_names)
        raise InputError(
            f"{named.path} names its labels and {bare.path} does not, so they cannot be compared; "
            "write both with label_names, or both without"
        )
