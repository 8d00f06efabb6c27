"""What `mrl classify fit` reads: which classifier, and rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mrl.cli.classified import fitted_on, holds, labelled, without
from mrl.cli.classify_paths import check_there
from mrl.cli.settings import Chosen
from mrl.cli.vectors import TRAINED, Reading, check_undescribed
from mrl.errors import InputError
from mrl.heads import IN_MAP
from mrl.options import option
from mrl.vectors import Described, Held, Source, is_table

if TYPE_CHECKING:
    from mrl.adapt import Map

FITTED = "a cascade is fitted on labelled rows"
KNOWN = "prototypes are of classes"


@dataclass(frozen=True)
class By:
    """What classifies: a head, or prototypes."""

    head: Path | None = option(None, "A run, a map that was fitted by labels, or a head's file.")
    best: bool = option(False, "Of a run, the head of its best epoch, not of its last.")
    prototypes: Path | None = option(
        None, "Instead of a head: labelled vectors, and the class whose mean is nearest is the answer."
    )
    nearest: bool = option(False, "The class of the nearest of the --prototypes (1-NN), not of the nearest mean.")
    prototype_labels: Path | None = option(None, "Labels of the prototypes, as --labels has those of rows.")
    prototype_key: str | None = option(None, "Which array or column of their file has the prototypes.")

    def __post_init__(self) -> None:
        if (self.head is None) == (self.prototypes is None):
            got = "none" if self.head is None else f"--head {self.head} and --prototypes {self.prototypes}"
            raise InputError(f"a cascade has one classifier, got {got}; give either --head or --prototypes")
        if self.best and self.head is None:
            raise InputError("--best belongs to --head, which is not there; leave it out")
        self._check_paths()
        for name in ("nearest", "prototype_labels", "prototype_key"):
            if self.head is not None and getattr(self, name):
                option = name.replace("_", "-")
                raise InputError(f"--{option} belongs to --prototypes, which are not there; leave it out")

    def _check_paths(self) -> None:
        """InputError for a head that is not there, or has no best epoch."""
        if self.head is None:
            return
        check_there(self.head, "--head", "a run, a map that was fitted by labels, or a head's file")
        if self.best and (self.head.is_file() or (self.head / IN_MAP).is_file()):
            one = "a head's file" if self.head.is_file() else "a map, which has one head"
            raise InputError(f"--best is of a run, and {self.head} is {one}; leave it out")
        if self.head.is_dir() and not (self.head / IN_MAP).is_file() and not holds(self.head, "mrl-run"):
            raise InputError(f"{self.head} is no run, and no map that was fitted by labels; give one, or a head's file")


class Read:
    """Reads all rows alike. by: the map that they go through first, or None."""

    def __init__(self, by: Map | None, chosen: Chosen) -> None:
        self._by, self._reading = by, Reading(**chosen.of(Reading))
        self._about = Described(**chosen.of(Described, TRAINED))
        if by is not None and self._about.given:
            given = ", ".join(f"--{TRAINED.get(name, name)}" for name in self._about.given)
            raise InputError(f"the map says what the vectors are that it takes; leave {given} out")

    def rows(self, path: Path) -> Held:
        """Those to be fitted on, without what the map was fitted on."""
        held = labelled(self._source(path, self._reading), FITTED)
        by = self._by
        return held if by is None else by.turned(without(held, by.seen(held.vectors), fitted_on(by)))

    def prototypes(self, path: Path, by: By) -> Held:
        """Those that are the classifier; the map may have learned from them."""
        own = replace(self._reading, ids=None, labels=by.prototype_labels, key=by.prototype_key)
        held = labelled(self._source(path, own), KNOWN, "--prototype-labels")
        return held if self._by is None else self._by.turned(held)

    def _source(self, path: Path, reading: Reading) -> Source:
        check_undescribed(path, self._about)
        about = self._about if self._by is None else Described(self._by.before.model, self._by.before.metric)
        return reading.source(path, None if is_table(path) else about)
