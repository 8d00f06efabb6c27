"""One command-line option per field of a dataclass: what a value needs is written once, in the value."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, fields
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import typer

from mrl.errors import InputError

Verb = Callable[..., None]


class Chosen:
    """The options of a verb that belong to dataclasses. given: the names of those that were typed."""

    def __init__(self, values: Mapping[str, Any], given: frozenset[str]) -> None:
        self._values = values
        self.given = given

    def of(self, kind: type, names: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The values for the fields of a dataclass; names: field -> option where they differ."""
        options = {field.name: (names or {}).get(field.name, field.name) for field in _explained(kind)}
        return {name: self._values[option] for name, option in options.items()}


def settings(*kinds: tuple[str, type, Mapping[str, str]]) -> Callable[[Verb], Verb]:
    """Give a verb an option per explained field of each dataclass: (heading in the help, dataclass, other names).

    The verb is called with its own arguments and, as the last one, a `Chosen`.
    """
    added = [parameter for panel, kind, names in kinds for parameter in _parameters(panel, kind, names)]

    def decorate(verb: Verb) -> Verb:
        own = list(inspect.signature(verb, eval_str=True).parameters.values())[:-1]

        @functools.wraps(verb)
        def command(context: typer.Context, **values: Any) -> None:
            names = {parameter.name for parameter in added}
            given = {name for name in names if _typed(context, name)}
            chosen = Chosen({name: values.pop(name) for name in names}, frozenset(given))
            verb(**values, chosen=chosen)

        context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
        parameters = [context, *(p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in [*own, *added])]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in parameters}
        return command

    return decorate


def _typed(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _explained(kind: type) -> list[Field[Any]]:
    return [field for field in fields(kind) if "help" in field.metadata]


def _parameters(panel: str, kind: type, names: Mapping[str, str]) -> Iterable[inspect.Parameter]:
    hints = get_type_hints(kind)
    for field in _explained(kind):
        default = None if field.default is MISSING else field.default
        shown = "none" if default in (None, ()) else True
        text = _complete(field.metadata["help"], hints[field.name])
        option = typer.Option(help=text, show_default=shown, rich_help_panel=panel)
        annotation: Any = Annotated[(_plain(hints[field.name]), option)]
        name = names.get(field.name, field.name)
        yield inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=_text(default), annotation=annotation)


def _complete(text: str, hint: Any) -> str:
    """An explanation that names every choice there is."""
    choices = get_args(hint) if get_origin(hint) is Literal else ()
    return text if all(choice in text for choice in choices) else f"{text} One of {', '.join(choices)}."


def _plain(hint: Any) -> Any:
    """What a command line can hold: words for choices, and text for what is written as a list."""
    if get_origin(hint) is Literal:
        return str
    if get_origin(hint) is tuple:
        return str
    parts = [part for part in get_args(hint) if part is not type(None)]
    if len(parts) == 1 and len(get_args(hint)) == 2:
        return _plain(parts[0]) | None
    return hint


def _text(default: Any) -> Any:
    return ",".join(map(str, default)) if isinstance(default, tuple) else default


def numbers(text: str | None, what: str) -> tuple[float, ...] | None:
    """`2,1,0.5` as (2.0, 1.0, 0.5)."""
    try:
        return None if text is None else tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"cannot read {what} from {text!r}; write one number per dim, as 2,1,1,1") from None
