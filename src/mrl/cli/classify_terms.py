"""Which terms a policy reads: what was typed for nothing is refused."""

from __future__ import annotations

from dataclasses import fields

from mrl.classify.terms import Terms
from mrl.cli.settings import Chosen
from mrl.errors import InputError

LEVELS = frozenset({"policy", "dims", "keep"})
SEARCHED = LEVELS | {"score", "cost", "seed"}  # thresholds are looked for, on some of the rows
READ = {
    "promise": SEARCHED | {"tolerance", "confidence"},
    "target": SEARCHED | {"target"},
    "greedy": LEVELS,
    "lossless": LEVELS | {"seed"},
}


def check_read(chosen: Chosen) -> None:
    """InputError for terms that were typed and that their policy does not read, and for a promise of no loss."""
    values = chosen.of(Terms)
    policy = values["policy"]
    if policy not in READ:  # which Terms refuses
        return
    read = READ[policy] | ({"tolerance"} if policy == "target" and values["target"] is None else set())
    mine = [field.name for field in fields(Terms) if field.name in chosen.given]
    if idle := [f"--{name}" for name in mine if name not in read]:
        it = "it" if len(idle) == 1 else "them"
        raise InputError(f"--policy {_told(values)} reads no {', '.join(idle)}; leave {it} out{_other(policy, idle)}")
    if policy == "promise" and values["tolerance"] == 0:
        raise InputError(
            "no number of rows shows that nothing is lost, got --tolerance 0; give some, or take --policy lossless, "
            "which loses nothing"
        )


def _told(values: dict[str, object]) -> str:
    both = values["policy"] == "target" and values["target"] is not None
    return "target with a --target" if both else str(values["policy"])


def _other(policy: str, idle: list[str]) -> str:
    """The policy that reads what was given."""
    if "--target" in idle:
        return ", or take --policy target"
    return ", or take --policy promise" if policy != "promise" else ""
