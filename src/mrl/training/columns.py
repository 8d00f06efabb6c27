"""Which columns of a table hold pictures, labels and ids, and what a label's value means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from mrl.errors import InputError
from mrl.training.opening import Rows

Kind = Literal["image", "bytes", "text", "number", "class", "other"]

_IMAGES = tuple(
    "image img picture photo file filename file_name path filepath file_path image_path img_path image_file".split()
)
_LABELS = ("label", "labels", "class", "class_name", "label_name", "category", "target", "wnid", "synset")
_MOST = 1 << 20  # classes that numbers without names can stand for


@dataclass(frozen=True)
class Columns:
    """Names of the columns that are read. names: what the numbers of a ClassLabel column mean. kind: of the labels."""

    image: str
    label: str | None
    id: str | None
    kind: Kind = "other"
    names: tuple[str, ...] = ()

    @property
    def used(self) -> list[str]:
        """Each once."""
        return list(dict.fromkeys(name for name in (self.image, self.label, self.id) if name is not None))


def find(features: Mapping[str, Any], rows: Rows, where: str, *, labelled: bool) -> Columns:
    """The columns that `rows` names, or those that type and name tell; features: of `datasets`, by column.

    InputError lists the columns if none or several could be meant.
    """
    kinds = {name: kind_of(feature) for name, feature in features.items()}
    tiers: list[list[str]] = [[n for n in kinds if kinds[n] == kind] for kind in ("image", "bytes")]
    image = one("image", rows.image, kinds, [*tiers, _known(kinds, ("text",), _IMAGES)], where)
    if image is None:
        raise InputError(f"{where} has no column of pictures among {told(kinds)}; name it with image")
    tiers = [[name for name in kinds if kinds[name] == "class"], _known(kinds, ("text", "number"), _LABELS)]
    try:
        label = one("label", rows.label, kinds, tiers, where)
    except InputError:
        if labelled or rows.label is not None:
            raise
        label = None  # none is needed, so it need not be asked which of several is meant
    if labelled and label is None:
        raise InputError(f"{where} has no column of labels among {told(kinds)}; name it with label")
    own_id = None if rows.id is None else one("id", rows.id, kinds, [], where)
    names = tuple(features[label].names) if label is not None and kinds[label] == "class" else ()
    return Columns(image, label, own_id, kinds[label] if label is not None else "other", names)


def kind_of(feature: Any) -> Kind:
    """Of a column, by the type that `datasets` gives it."""
    from datasets import ClassLabel, Image, Value

    if isinstance(feature, Image) or (isinstance(feature, dict) and set(feature) == {"bytes", "path"}):
        return "image"
    if isinstance(feature, ClassLabel):
        return "class"
    kind = feature.dtype if isinstance(feature, Value) else ""
    if kind in ("binary", "large_binary"):
        return "bytes"
    if kind in ("string", "large_string"):
        return "text"
    return "number" if kind == "bool" or kind.startswith(("int", "uint")) else "other"


_FIT: dict[str, tuple[Kind, ...]] = {
    "image": ("image", "bytes", "text"),
    "label": ("class", "number", "text"),
    "id": ("number", "text"),
}


def one(role: str, asked: str | None, kinds: dict[str, Kind], tiers: list[list[str]], where: str) -> str | None:
    """The column asked for, or the one of the first tier that has any."""
    if asked is not None:
        if kinds.get(asked) not in _FIT[role]:
            what = f"is of kind {kinds[asked]}" if asked in kinds else "is not there"
            raise InputError(f"column {asked!r} of {where} {what} and cannot be the {role}; columns are {told(kinds)}")
        return asked
    names = {"image": _IMAGES, "label": _LABELS}.get(role, ())
    for tier in tiers:
        called = [name for name in tier if name.lower() in names]
        found = called if len(tier) > 1 and len(called) == 1 else tier
        if len(found) > 1:
            several = ", ".join(found)
            raise InputError(f"{where} has several columns that may be the {role}: {several}; name one with {role}")
        if found:
            return found[0]
    return None


def _known(kinds: Mapping[str, Kind], fitting: Iterable[Kind], names: Sequence[str]) -> list[str]:
    return [name for name, kind in kinds.items() if kind in fitting and name.lower() in names]


def told(kinds: Mapping[str, Kind]) -> str:
    return ", ".join(f"{name} ({kind})" for name, kind in kinds.items()) or "none"


@dataclass(frozen=True)
class Labelling:
    """What the values of a column of labels mean.

    classes: names by label. names: by number, of a ClassLabel column. positions: whether text like "7" is the label 7.
    """

    classes: tuple[str, ...]
    names: tuple[str, ...] = ()
    positions: bool = False

    @classmethod
    def known(cls, columns: Columns, rows: Rows, *, untyped: bool) -> Labelling | None:
        """What the type of the column and the classes asked for tell, or None; untyped: all columns are text."""
        classes = rows.classes or columns.names
        positions = untyped and not any(is_number(name) for name in classes)
        return cls(classes, columns.names, positions) if classes else None

    @classmethod
    def of(cls, values: Sequence[Any], *, untyped: bool) -> Labelling:
        """What all the different values of a column tell: text is sorted, numbers are their own names."""
        present = [value for value in values if value is not None]
        numbers = [int(v) for v in present if not isinstance(v, str) or (untyped and is_number(v))]
        if len(numbers) < len(present):
            return cls(tuple(sorted(map(str, present))))
        largest = max(numbers, default=-1)
        if largest >= _MOST:
            raise InputError(f"label {largest} is too large for the number of a class; give the classes' names")
        return cls(tuple(map(str, range(largest + 1))), positions=True)

    @cached_property
    def _position(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.classes)}

    def label(self, value: Any, name: str) -> int:
        """The label of one value, -1 for none. InputError with the row's name for a value that is not known."""
        if value is None or (self.names and value == -1):
            return -1
        key = self.names[value] if self.names else value
        if isinstance(key, str):
            found = self._position.get(key, int(key) if self.positions and is_number(key) else -1)
        else:
            found = int(key)
        if not 0 <= found < len(self.classes):
            raise InputError(
                f"label {key!r} of {name} is not one of the {len(self.classes)} classes "
                f"({', '.join(self.classes[:3])}, …); add it to classes, or correct the row"
            )
        return found


def is_number(text: str) -> bool:
    """Whether text is a number as Python writes it: 0 or 12, not 007."""
    return text.isascii() and text.isdecimal() and str(int(text)) == text
