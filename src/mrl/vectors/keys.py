"""The ids of a table, held so that 10 million integers cost 80 MB, and twice that while they are merged."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.errors import InputError

Digests = npt.NDArray[Any]  # sorted: int64 ids themselves, or 16 bytes of BLAKE2b of each string


class Keys:
    """A growing set of ids of one kind: sorted runs, each at least twice as long as the one after it.

    Strings are told apart by 128 bits of their digest; that two of 10 million share one has a chance of 1e-25.
    """

    def __init__(self, runs: tuple[Digests, ...] = ()) -> None:
        self._runs = list(runs)

    def __len__(self) -> int:
        return sum(len(run) for run in self._runs)

    def snapshot(self) -> Keys:
        """The ids as they are now, whatever is added later; costs nothing until then."""
        return Keys(tuple(self._runs))

    def add(self, ids: npt.NDArray[Any]) -> None:
        """Take in ids, (n,) int64 or strings, none of which is there."""
        if len(ids):
            self._runs.append(np.sort(digests(ids)))
        while len(self._runs) > 1 and len(self._runs[-2]) < 2 * len(self._runs[-1]):
            merged = np.concatenate([self._runs.pop(), self._runs.pop()])
            merged.sort(kind="stable")  # which merges what is sorted already
            self._runs.append(merged)

    def known(self, ids: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """(n,): which ids are there."""
        self.check_kind(ids)
        wanted, known = digests(ids), np.zeros(len(ids), bool)
        for run in self._runs:
            at = np.minimum(np.searchsorted(run, wanted), len(run) - 1)
            known |= run[at] == wanted
        return known

    def check_kind(self, ids: npt.NDArray[Any]) -> None:
        """InputError for strings among integers, and for integers among strings."""
        if self._runs and len(ids) and (self._runs[0].dtype.kind == "S") != (ids.dtype.kind == "U"):
            raise InputError("some blocks have integer ids and some have strings; give ids of one kind for all rows")

    def check_fresh(self, ids: npt.NDArray[Any]) -> None:
        """InputError naming the first id that is there already or occurs twice among these."""
        repeated = self.known(ids)
        order = np.argsort(ids, kind="stable")
        repeated[order[1:][ids[order[1:]] == ids[order[:-1]]]] = True
        if repeated.any():
            twice = ids[np.argmax(repeated)].item()
            raise InputError(f"id {twice!r} occurs twice; every row needs an id of its own")


def digests(ids: npt.NDArray[Any]) -> Digests:
    """(n,) int64 ids as they are, strings as 16 bytes each."""
    if ids.dtype.kind != "U":
        return np.asarray(ids)
    each = (hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest() for text in ids.tolist())
    return np.fromiter(each, "S16", len(ids))
