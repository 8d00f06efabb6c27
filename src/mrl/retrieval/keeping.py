"""What was planned, beside the rows that it was planned for, and the engine that was built for it.

That engine goes with the plan: the next one takes it away unless it names it again. An engine that was there before
is somebody's own, and stays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mrl.disk import sealed_json
from mrl.retrieval.engine import Engine
from mrl.retrieval.engines import EngineAbout
from mrl.retrieval.snapshot import Snapshot
from mrl.retrieval.state import Contents, publish

if TYPE_CHECKING:
    from mrl.retrieval.planner.planned import Planned

PLANNED = "mrl-planned"


@dataclass(frozen=True)
class Begun:
    """An index as planning found it. number: of the state. changes: of its rows, until then."""

    number: int
    changes: int

    @classmethod
    def at(cls, snapshot: Snapshot) -> Begun:
        return cls(snapshot.folder.number, snapshot.contents.changes)


def is_new(contents: Contents, dim: int, engine: Engine, turn: str) -> bool:
    """Whether there is no such engine but one that was built for what is planned now."""
    return all(_name(each) == contents.built for each in contents.engines if each.fits(dim, engine, turn))


def keep(base: Snapshot, planned: Planned, at: int | None = None, *, built: bool = False) -> None:
    """Commit what was planned in the place of what was before, and of the engine that only that named.

    at: how many changes the rows that were planned for had seen; None for all. built: whether the engine of the ready
    plans was built for them.
    """
    contents, file = base.contents, f"{base.contents.next:06d}.planned.json"
    named = _named(contents, planned)
    old = contents.built if contents.built in named else ""
    kept = replace(
        contents,
        engines=tuple(each for each in contents.engines if _name(each) != contents.built or old),
        next=contents.next + 1,
        planned=file,
        planned_at=contents.changes if at is None else at,
        built=named[0] if built and named else old,
    )
    publish(base.folder, kept, {file: sealed_json(planned.to_json(), PLANNED)})


def _named(contents: Contents, planned: Planned) -> list[str]:
    """The engines that the ready plans begin with."""
    plans = [point.plan for point in planned.points if point.plan is not None and point.ready]
    firsts = {(plan.stages[0].dim, plan.stages[0].engine, plan.map) for plan in plans}
    return [_name(each) for each in contents.engines if any(each.fits(*first) for first in firsts)]


def _name(about: EngineAbout) -> str:
    return f"{about.dim}/{about.engine} {about.map}".rstrip()
