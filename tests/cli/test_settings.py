"""Options made from dataclasses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

import typer
from typer.testing import CliRunner

from mrl.cli.settings import Chosen, settings
from mrl.options import option


@dataclass(frozen=True)
class Oven:
    """What is baked in."""

    hidden: int = 3
    degrees: int = option(180, "How hot.")
    fan: bool = option(False, "Move the air.")
    heat: Literal["top", "bottom", "both"] = option("both", "From where it comes.")
    minutes: float | None = option(None, "How long.")
    racks: tuple[int, ...] = option((1, 2), "Which are used.")
    parts: list[int] = field(default_factory=list)


def invoke(*words):
    found = {}

    @settings(("Oven", Oven, {"heat": "heat_from"}))
    def bake(cake: Annotated[str, typer.Argument(help="What.")], *, chosen: Chosen) -> None:
        """Bake a cake."""
        found.update(cake=cake, chosen=chosen)

    app = typer.Typer()
    app.command()(bake)
    result = CliRunner().invoke(app, list(words))
    return result, found


def test_each_explained_field_is_an_option():
    result, found = invoke("sponge", "--degrees", "200", "--fan", "--heat-from", "top", "--minutes", "2.5")
    assert result.exit_code == 0, result.output
    values = found["chosen"].of(Oven, {"heat": "heat_from"})
    assert values == {"degrees": 200, "fan": True, "heat": "top", "minutes": 2.5, "racks": "1,2"}
    assert found["cake"] == "sponge"


def test_what_was_typed_is_known():
    assert invoke("sponge")[1]["chosen"].given == frozenset()
    # also where it is the default
    assert invoke("sponge", "--degrees", "180", "--no-fan")[1]["chosen"].given == {"degrees", "fan"}


def test_values_of_another_type_are_refused():
    for words in (("--degrees", "hot"), ("--minutes", "long"), ("--hidden", "4"), ("--parts", "1")):
        assert invoke("sponge", *words)[0].exit_code == 2


def test_the_help_explains_and_names_every_choice():
    said = " ".join(invoke("--help")[0].stdout.replace("│", " ").split())
    assert "Bake a cake." in said
    assert "How hot. [default: 180]" in said
    assert "From where it comes. One of top, bottom, both." in said
    assert "hidden" not in said
