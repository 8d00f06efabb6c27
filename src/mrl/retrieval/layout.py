"""Layout: at which dims a store is cut, and in which encodings each segment lies on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mrl.errors import InputError, NestingError
from mrl.nesting import Nesting
from mrl.retrieval.encodings import BITS, OF_RECORD, bytes_per_row, check_encoding


@dataclass(frozen=True)
class Layout:
    """cuts: the dims that can be searched, the last one being the width. reference: each segment's encoding of record.
    beside: each segment's coarser copies.

    >>> Layout.of(Nesting((32, 64)), reference="float32", beside={"int8": 32})
    Layout(cuts=Nesting(dims=(32, 64)), reference=('float32', 'float32'), beside=(('int8',), ()))
    """

    cuts: Nesting
    reference: tuple[str, ...]
    beside: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        if not len(self.cuts) == len(self.reference) == len(self.beside):
            raise InputError(
                f"a layout needs encodings for {len(self.cuts)} segments, got {len(self.reference)} of record "
                f"and {len(self.beside)} beside; Layout.of fills them in"
            )
        for level, (record, others) in enumerate(zip(self.reference, self.beside, strict=True)):
            if record not in OF_RECORD:
                raise InputError(
                    f"the reference encoding of a segment is {' or '.join(OF_RECORD)}, got {record!r}; "
                    "coarser ones lie beside it"
                )
            if len(set(others)) < len(others):
                raise InputError(
                    f"segment {self.segment(level)} names an encoding twice, {', '.join(others)}; once is all"
                )
            for name in others:
                if BITS[check_encoding(name)] >= BITS[check_encoding(record)]:
                    raise InputError(
                        f"segment {self.segment(level)} is stored as {record}; {name} beside it adds nothing: "
                        "name a coarser encoding"
                    )

    @classmethod
    def of(cls, cuts: Nesting, reference: str = "float32", beside: Mapping[str, int] | None = None) -> Layout:
        """One reference encoding for all; `beside` names coarser ones and up to which cut each is kept."""
        for name, dim in (beside or {}).items():
            if dim not in cuts.dims:
                raise NestingError(f"{name} up to {dim} dims needs a cut there; the cuts are {cuts}")
        others = tuple(tuple(name for name, dim in (beside or {}).items() if stop <= dim) for _, stop in cuts.segments)
        return cls(cuts, (reference,) * len(cuts), others)

    def segment(self, level: int) -> str:
        """The name of a segment: its first dim and the one after its last."""
        start, stop = self.cuts.segments[level]
        return f"{start}-{stop}"

    def encodings(self, level: int) -> tuple[str, ...]:
        """All in which this segment lies on disk, the reference first."""
        return (self.reference[level], *self.beside[level])

    def level(self, dim: int) -> int:
        """The level whose cut is `dim`; NestingError names `relayout` where there is none."""
        if dim not in self.cuts.dims:
            text = f"this index is cut at {self.cuts}, not at {dim}; search at one of these dims"
            if dim < self.cuts.width:
                cuts = ",".join(map(str, sorted((*self.cuts.dims, dim))))
                text += f", or make a copy that has the cut: mrl index relayout INDEX --out NEW --cuts {cuts}"
            raise NestingError(text)
        return self.cuts.dims.index(dim)

    def reading(self, dim: int, encoding: str) -> tuple[str, ...]:
        """Which encoding of each segment up to `dim` is read for `encoding`; "reference" reads the encodings of record.

        A segment that does not have it is read as its reference if that is coarser still, else this is an InputError.
        """
        levels = range(self.level(dim) + 1)
        if encoding == "reference":
            return self.reference[: len(levels)]
        return tuple(self._nearest(level, check_encoding(encoding)) for level in levels)

    def _nearest(self, level: int, encoding: str) -> str:
        if encoding in self.encodings(level):
            return encoding
        if BITS[self.reference[level]] < BITS[encoding]:
            return self.reference[level]
        raise InputError(
            f"segment {self.segment(level)} of this index is stored as {', '.join(self.encodings(level))}, not as "
            f"{encoding}; use one of these, or make a copy that has it: "
            f"mrl index relayout INDEX --out NEW --beside {encoding}={self.cuts.dims[level]}"
        )

    def bytes_per_row(self) -> int:
        """Bytes of all segments in all encodings, per row; norms, ids and payload come on top."""
        widths = [stop - start for start, stop in self.cuts.segments]
        return sum(bytes_per_row(name, width) for level, width in enumerate(widths) for name in self.encodings(level))

    def to_json(self) -> dict[str, Any]:
        return {"cuts": str(self.cuts), "reference": list(self.reference), "beside": [list(b) for b in self.beside]}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Layout:
        beside = tuple(tuple(names) for names in document["beside"])
        return cls(Nesting.parse(document["cuts"]), tuple(document["reference"]), beside)
