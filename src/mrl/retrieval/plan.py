"""Plan: the stages of a search as one value, which prints, compares, is written by hand and says what it costs.

As text, stages stand in order with commas between them, `dim:keep`, where needed `@encoding` and `/engine`, and an
engine's knobs with a `+`. A map comes first (`pca:ab12cd34ef56,32:200`). No character of it means anything to a shell:

    32:200,64:100,1024:10       the best 200 at 32 dims, of these the best 100 at 64, of these the best 10 at 1024
    64:200@int8,1024:10         the first stage on int8 codes
    128:200/hnsw+ef=64,1024:10  the first stage in an HNSW graph that is searched with ef = 64
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from mrl.disk import read_bytes, read_json, write_json
from mrl.errors import DamagedError, InputError
from mrl.retrieval.encodings import ENCODINGS, bytes_per_row
from mrl.retrieval.engine import Engine, Scan, engine_text, integer, parse_engine

FORMAT, VERSION = "mrl-plan", 1
SCAN = Scan()
LISTS, REFERENCE = (200, 100, 50, 25, 10), "reference"  # the paper's lists on ImageNet-1K
_FINER = {name: place for place, name in enumerate((*ENCODINGS, REFERENCE))}
_MAP = r"[a-z][a-z0-9-]*:[0-9a-f]+"
_STAGE = re.compile(r"([0-9]{1,18}):([0-9]{1,18})(?:@(\w+))?(?:/([a-z][a-z0-9_+=]*))?")


@dataclass(frozen=True)
class Stage:
    """Score candidates by their first `dim` dims and keep the best `keep`; the engine proposes the candidates.

    encoding: what is read: `reference` (each segment's encoding of record), float32, float16, int12, int8
    or 1bit.
    """

    dim: int
    keep: int
    encoding: str = REFERENCE
    engine: Engine = SCAN

    def __post_init__(self) -> None:
        for name in ("dim", "keep"):
            object.__setattr__(self, name, integer(f"{name} of a stage", getattr(self, name), 1))
        if self.encoding not in _FINER:
            raise InputError(f"unknown encoding {self.encoding!r} in a stage; known are {', '.join(_FINER)}")
        if not isinstance(self.engine, Engine):
            raise InputError(f"the engine of a stage is Scan(), HNSW(), IVF() or RaBitQ(), got {self.engine!r}")

    def __str__(self) -> str:
        return self._text()

    def _text(self, *, whole: bool = False) -> str:
        text = f"{self.dim}:{self.keep}" + ("" if self.encoding == REFERENCE else f"@{self.encoding}")
        engine = engine_text(self.engine, whole=whole)
        return f"{text}/{engine}" if engine else text

    @classmethod
    def parse(cls, text: str) -> Stage:
        """Read `64:200@int8/hnsw+ef=64`; encoding, engine and knobs may be left out."""
        found = _STAGE.fullmatch(text)
        if not found:
            example = "32:200, or 32:200@int8/hnsw+m=32+ef_construction=200+ef=64"
            raise InputError(f"cannot read a stage from {text!r}; write dim:keep, as in {example}")
        dim, keep, encoding, engine = found.groups()
        return cls(int(dim), int(keep), encoding or REFERENCE, parse_engine(engine or ""))


@dataclass(frozen=True)
class StageCost:
    """What a stage does for one query, counted by hand.

    candidates: rows scored. continues: whether scores go on from those of the stage before, else they start at dim 0.
    macs: multiply-adds. paper_macs: by the paper's formula N·D_s + Σ K_i·D_i, where every stage starts at dim 0.
    bytes_each: read for one candidate, its coordinates and 4 bytes for the length of its prefix.

    A graph visits as many rows as it happens to: candidates, macs and paper_macs are None, unknown until measured.
    """

    candidates: int | None
    continues: bool
    macs: int | None
    paper_macs: int | None
    bytes_each: int

    @property
    def bytes(self) -> int | None:
        return None if self.candidates is None else self.candidates * self.bytes_each


@dataclass(frozen=True)
class Plan:
    """The stages of a search, the narrowest first, and the map that it needs.

    map: such as `pca:ab12cd34ef56`, which an index with another map refuses. Empty: whatever map the index has.

    InputError for no stages, dims that fall, a stage that sees no more than the one before, a keep that grows, and
    any engine but a scan after the first stage.

    >>> str(Plan.adaptive(16, 2048, keep=200, k=10))
    '16:200 → 2048:10'
    >>> [f"{cost.paper_macs / 1e6:.2f} M" for cost in Plan.adaptive(16, 2048, keep=200, k=10).cost(1_281_167)]
    ['20.50 M', '0.41 M']
    >>> [cost.macs for cost in Plan.adaptive(16, 2048, keep=200, k=10).cost(1_281_167)]  # 200 · (2048 − 16)
    [20498672, 406400]
    """

    stages: tuple[Stage, ...]
    map: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "stages", tuple(self.stages))
        if not self.stages or not all(isinstance(stage, Stage) for stage in self.stages):
            raise InputError(f"a plan needs at least one Stage, got {self.stages!r}; Plan.single(1024) is the shortest")
        if not isinstance(self.map, str) or not re.fullmatch(f"({_MAP})?", self.map):
            raise InputError(f"map must be a map's name such as pca:ab12cd34ef56, or empty, got {self.map!r}")
        for before, after in pairwise(self.stages):
            _check_order(before, after)

    @classmethod
    def single(cls, dim: int, keep: int = 10, encoding: str = REFERENCE, engine: Engine = SCAN) -> Plan:
        """One stage: the best `keep` at `dim`."""
        return cls((Stage(dim, keep, encoding, engine),))

    @classmethod
    def adaptive(cls, shortlist: int, rerank: int, keep: int = 200, k: int = 10) -> Plan:
        """The paper's adaptive retrieval (§4.3.1): a shortlist of `keep` at one dim, of these the best k at another."""
        return cls((Stage(shortlist, keep), Stage(rerank, k)))

    @classmethod
    def funnel(cls, start: int, dims: Sequence[int], lists: Sequence[int] = LISTS, k: int = 10) -> Plan:
        """The paper's funnel: a list of lists[0] at `start`; then the list of lists[i] is re-ranked at dims[i].

        >>> str(Plan.funnel(32, dims=(64, 128, 256, 512, 1024)))
        '32:200 → 64:100 → 128:50 → 256:25 → 512:10 → 1024:10'
        """
        if len(dims) != len(lists):
            raise InputError(f"a funnel has a list for every re-rank, got {len(dims)} dims and {len(lists)} lists")
        return cls(tuple(Stage(dim, keep) for dim, keep in zip((start, *dims), (*lists, k), strict=True)))

    @classmethod
    def parse(cls, text: str) -> Plan:
        """Read `32:200,1024:10` and the like (see the module). `Plan.parse(p.spec) == p == Plan.parse(str(p))`."""
        parts = [part.strip() for part in re.split("[,>→]", text)]
        name = parts.pop(0) if re.fullmatch(_MAP, parts[0]) else ""
        return cls(tuple(map(Stage.parse, parts)), name)

    @property
    def spec(self) -> str:
        """The text form for command lines."""
        return str(self).replace(" → ", ",")

    def __str__(self) -> str:
        return " → ".join([*([self.map] if self.map else ()), *map(str, self.stages)])

    @property
    def dims(self) -> tuple[int, ...]:
        """The dims that the stages score at, each once, narrowest first."""
        return tuple(sorted({stage.dim for stage in self.stages}))

    def at_k(self, k: int) -> Plan:
        """The same plan with k results. InputError where the stage before the last keeps fewer."""
        k = integer("k", k, 1)
        if len(self.stages) > 1 and k > (most := self.stages[-2].keep):
            remedy = f"ask for at most {most}, or keep at least {k} in every stage"
            raise InputError(f"{self} cannot give k = {k} results: its last stage gets {most} candidates; {remedy}")
        return replace(self, stages=(*self.stages[:-1], replace(self.stages[-1], keep=k)))

    def cost(self, rows: int, reference: str | Mapping[int, str] = "float32") -> tuple[StageCost, ...]:
        """What each stage costs one query on so many rows.

        reference: the encoding of record, or that of each segment by the dim at which it ends. A score continues
        unless the stage before was a graph, which only proposes, or read a coarser encoding.
        """
        count, ends = integer("rows", rows, 1), _segment_ends(reference, self.stages[-1].dim)
        return tuple(_stage_cost(old, new, count, ends) for old, new in pairwise((None, *self.stages)) if new)

    def to_json(self) -> dict[str, Any]:
        """The map and the text of each stage, with every knob: another default must not change an old plan."""
        stages = [stage._text(whole=True) for stage in self.stages]
        return {"format": FORMAT, "version": VERSION, "map": self.map, "stages": stages}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Plan:
        """A plan from its JSON; the map may be left out. InputError for other versions and for unknown fields."""
        if (document.get("format"), document.get("version")) != (FORMAT, VERSION):
            found = f"{document.get('format')!r} {document.get('version')!r}"
            raise InputError(
                f"a plan says format {FORMAT!r} and version {VERSION}, got {found}; write these, or install a newer mrl"
            )
        if unknown := set(document) - {"format", "version", "map", "stages"}:
            raise InputError(f"unknown fields {', '.join(sorted(unknown))} in a plan; install a newer mrl")
        stages = document.get("stages")
        if not isinstance(stages, list) or not all(isinstance(each, str) for each in stages):
            raise InputError(f'the stages of a plan are a list of texts such as ["32:200", "1024:10"], got {stages!r}')
        return cls(tuple(map(Stage.parse, stages)), document.get("map", ""))

    def save(self, path: str | Path) -> None:
        """Write a sealed JSON file, atomically."""
        write_json(Path(path), self.to_json(), FORMAT, VERSION)

    @classmethod
    def load(cls, path: str | Path) -> Plan:
        """Read a plan from a sealed file, or from one that somebody wrote by hand: JSON without a `sha256`.

        DamagedError if a sealed one changed, InputError for what is no plan.
        """
        path = Path(path)
        try:
            if b'"sha256"' in (raw := read_bytes(path)):
                return cls.from_json({"format": FORMAT, "version": VERSION, **read_json(path, FORMAT, VERSION)})
            return cls.from_json(dict(json.loads(raw)))
        except DamagedError as error:
            raise DamagedError(f"{error}, or, if you changed it on purpose, remove its sha256") from None
        except (TypeError, ValueError) as error:
            raise InputError(f"{path} holds no plan: {error}") from None


parsed = lru_cache(maxsize=256)(Plan.parse)  # the same text is the same plan, whose bindings are known


def _check_order(before: Stage, after: Stage) -> None:
    """Raise InputError unless the second stage sees more than the first and keeps no more."""
    if after.dim < before.dim:
        raise InputError(f"dims must not fall from stage to stage, got {before} and then {after}; put the narrow first")
    proposed = not isinstance(before.engine, Scan)
    if after.dim == before.dim and not proposed and _FINER[after.encoding] <= _FINER[before.encoding]:
        raise InputError(f"stage {after} sees no more than {before} before it; give it more dims or a finer encoding")
    if after.keep > before.keep:
        raise InputError(f"stage {after} cannot keep more than the {before.keep} of {before} before it; lower its keep")
    if not isinstance(after.engine, Scan):
        raise InputError(f"stage {after} re-ranks a list, which only a scan does; an engine belongs to the first stage")


def _stage_cost(before: Stage | None, stage: Stage, rows: int, ends: Mapping[int, str]) -> StageCost:
    continues = before is not None and _continues(before, stage, ends)
    start = before.dim if before and continues else 0
    each = sum(bytes_per_row(name, width) for width, name in _read(stage.encoding, start, stage.dim, ends)) + 4
    if not isinstance(stage.engine, Scan):
        return StageCost(None, continues, None, None, each)
    count = min(rows, before.keep) if before else rows
    return StageCost(count, continues, count * (stage.dim - start), count * stage.dim, each)


def _continues(before: Stage, stage: Stage, ends: Mapping[int, str]) -> bool:
    """Whether the scores of the stage before are exact, and of encodings as fine as this stage would read."""
    pairs = zip(_read(before.encoding, 0, before.dim, ends), _read(stage.encoding, 0, before.dim, ends), strict=True)
    return isinstance(before.engine, Scan) and all(_FINER[old] >= _FINER[new] for (_, old), (_, new) in pairs)


def _read(encoding: str, start: int, stop: int, ends: Mapping[int, str]) -> list[tuple[int, str]]:
    """(width, encoding) of each part of a segment from dim `start` to dim `stop`."""
    parts = [(min(b, stop) - max(a, start), encoding) for a, b in pairwise((0, *ends))]
    named = zip(parts, ends.values(), strict=True)  # nothing is read finer than it is stored
    return [(width, min(name, record, key=_FINER.get)) for (width, name), record in named if width > 0]  # type: ignore[arg-type]


def _segment_ends(reference: str | Mapping[int, str], width: int) -> dict[int, str]:
    """The encoding of record of each segment by the dim at which it ends."""
    ends = {width: reference} if isinstance(reference, str) else dict(sorted(reference.items()))
    if not ends or max(ends) < width or not set(ends.values()) <= set(ENCODINGS):
        raise InputError(f"reference needs one of {', '.join(ENCODINGS)} for all {width} dims, got {reference!r}")
    return ends
