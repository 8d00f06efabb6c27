"""Fields that explain themselves: one text serves the reader of a dataclass and the command line's `--help`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import field, fields
from typing import Any, TypeVar, get_args

from mrl.errors import InputError

T = TypeVar("T")
Settings = TypeVar("Settings", bound=Any)


def option(default: T, text: str) -> T:
    """A dataclass field with a default and what it means."""
    made: T = field(default=default, metadata={"help": text})
    return made


def check_choices(settings: Any, choices: Mapping[str, Any]) -> None:
    """Raise InputError unless each named field holds one of its Literal's values."""
    for name, literal in choices.items():
        if getattr(settings, name) not in get_args(literal):
            raise InputError(f"unknown {name} {getattr(settings, name)!r}; known are {', '.join(get_args(literal))}")


def check_number(name: str, value: float, low: float, high: float, *, above: bool = False, below: bool = False) -> None:
    """Raise InputError unless low ≤ value ≤ high (low < value if `above`, value < high if `below`). NaN never is."""
    inside = (low < value if above else low <= value) and (value < high if below or high == math.inf else value <= high)
    if not inside:
        rule = f"{'>' if above else '≥'} {low}" + ("" if high == math.inf else f" and {'<' if below else '≤'} {high}")
        raise InputError(f"{name} must be {rule}{' and finite' if high == math.inf else ''}, got {value}")


def check_count(name: str, value: object, low: int = 0) -> None:
    """Raise InputError unless value is an integer ≥ low."""
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise InputError(f"{name} must be an integer ≥ {low}, got {value!r}")


def from_document(kind: type[Settings], document: Mapping[str, Any], what: str) -> Settings:
    """Settings as they were written; InputError names those that this version does not know."""
    if unknown := set(document) - {each.name for each in fields(kind)}:
        raise InputError(f"unknown {what} settings {', '.join(sorted(unknown))}; install a newer mrl")
    made: Settings = kind(**document)
    return made
