"""What `mrl index info` says of an index."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mrl.retrieval.snapshot import Snapshot

_SEGMENT = re.compile(r"\d+\.(\d+-\d+)\.(\w+)(\.scales)?\.npy")


def contents(snapshot: Snapshot) -> dict[str, Any]:
    """Everything that an index says of itself, ready for JSON; sizes in bytes."""
    folder, about, card = snapshot.folder, snapshot.contents, snapshot.card
    sizes = _sizes(snapshot)
    return {
        "path": str(folder.path),
        "rows": snapshot.rows,
        "deleted": snapshot.positions - snapshot.rows,
        "ids": {None: None, True: "strings", False: "integers"}[about.strings],
        "model": card.model,
        "width": card.width,
        "trained": list(card.nesting.dims),
        "metric": card.metric,
        "map": card.maps[-1] if about.map else None,
        "cuts": list(snapshot.layout.cuts.dims),
        "segments": list(_segments(snapshot, sizes)),
        "engines": list(_engines(snapshot)),
        "planned": _planned(snapshot),
        "payload": _columns(snapshot),
        "blocks": len(about.blocks),
        "commit": folder.number,
        "bytes": sum(entry.bytes for entry in folder.entries.values()),
        "disk_bytes": sum(file.stat().st_size for file in folder.path.iterdir() if file.is_file()),
    }


def _sizes(snapshot: Snapshot) -> Counter[tuple[str, str]]:
    """Bytes of each segment in each encoding, scales included."""
    sizes: Counter[tuple[str, str]] = Counter()
    for name, entry in snapshot.folder.entries.items():
        if found := _SEGMENT.fullmatch(name):
            sizes[found[1], found[2]] += entry.bytes
    return sizes


def _segments(snapshot: Snapshot, sizes: Counter[tuple[str, str]]) -> Iterator[dict[str, Any]]:
    layout = snapshot.layout
    for level in range(len(layout.cuts)):
        name = layout.segment(level)
        encodings = {encoding: sizes[name, encoding] for encoding in layout.encodings(level)}
        yield {"dims": name, "reference": layout.reference[level], "bytes": encodings}


def _engines(snapshot: Snapshot) -> Iterator[dict[str, Any]]:
    from mrl.retrieval.engine import engine_text

    for about in snapshot.contents.engines:
        yield {
            "dim": about.dim,
            "engine": engine_text(about.kind),
            "map": about.map or None,
            "rows": sum(block.rows for block in snapshot.blocks if block.about.number in about.blocks),
            "bytes": snapshot.folder.entries[about.file].bytes if about.blocks else 0,
        }


def _planned(snapshot: Snapshot) -> dict[str, Any] | None:
    """What was planned: the target, the pick, the best level that it promises, how much the promise says that is lost
    at most, and how many rows changed since."""
    from mrl.retrieval.by_need import stale

    planned, about = snapshot.planned, snapshot.contents
    if planned is None:
        return None
    picked = planned.picked
    plan = None if picked is None else picked.plan
    return {
        "target": planned.terms.text,
        "objective": planned.terms.objective,
        "confidence": planned.terms.confidence,
        "plan": None if plan is None else plan.spec,
        "promised": None if picked is None else picked.promised,
        "tolerance": None if planned.promise is None else planned.promise.tolerance,
        "rows": planned.rows,
        "changed": about.changes - about.planned_at,
        "stale": stale(snapshot, planned),
    }


def _columns(snapshot: Snapshot) -> dict[str, str | None] | None:
    """The payload's columns and their types; these are unknown while there are no rows."""
    names = snapshot.contents.columns
    if names is None:
        return None
    if not snapshot.blocks:
        return dict.fromkeys(names)
    return {field.name: str(field.type) for field in snapshot.blocks[0].schema}


def lines(found: dict[str, Any]) -> Iterator[str]:
    """The same for people."""
    for name, value in _told(found):
        yield f"{name:10} {value}"


def _told(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What there is, and how much of it."""
    yield "rows", f"{found['rows']:,}" + (f", {found['deleted']:,} deleted" if found["deleted"] else "")
    yield "ids", found["ids"] or "none yet"
    yield "vectors", f"{found['width']} dims of {found['model']}, {found['metric']}"
    yield "trained", ", ".join(map(str, found["trained"]))
    yield "map", found["map"] or "none"
    yield "cuts", ", ".join(map(str, found["cuts"]))
    for segment in found["segments"]:
        sizes = (f"{name} {_size(size)}" for name, size in segment["bytes"].items())
        yield f"  {segment['dims']}", ", ".join(sizes)
    for each in found["engines"]:
        after = f", after its own map {each['map']}" if each["map"] else ""
        yield "engine", f"{each['dim']}/{each['engine']}{after}: {many(each['rows'])}, {_size(each['bytes'])}"
    if found["planned"] is not None:
        yield "planned", _plan_told(found["planned"])
    if found["payload"] is not None:
        columns = (f"{name} ({kind or 'no rows yet'})" for name, kind in found["payload"].items())
        yield "payload", ", ".join(columns)
    yield "blocks", str(found["blocks"])
    yield "size", f"{_size(found['bytes'])}; the folder {_size(found['disk_bytes'])}"


def _plan_told(planned: dict[str, Any]) -> str:
    """The target, the pick and what it promises, and whether that still applies."""
    surely = f"with {100 * planned['confidence']:g} % confidence"
    state = f"{'stale' if planned['stale'] else 'not stale'}, {planned['changed']:,} of {many(planned['rows'])} changed"
    found = "the exact search, as nothing else is known to keep it"
    if planned["tolerance"] is not None:
        found = f"{planned['plan']}, which loses at most {planned['tolerance']:g} {surely}"
    return f"for {planned['target']}: {found}; {state}"


def many(count: int, noun: str = "row") -> str:
    """`1 row`, `1,000 rows`."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def _size(count: int) -> str:
    """Bytes for people: 999 B, 1.5 kB, 20.0 MB."""
    power = min((len(str(count)) - 1) // 3, 4)
    return f"{count / 1000**power:.1f} {('B', 'kB', 'MB', 'GB', 'TB')[power]}" if power else f"{count} B"
