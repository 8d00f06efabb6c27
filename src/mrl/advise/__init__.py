"""What frozen vectors are worth, and how small they may become."""

from mrl.advise.asking import held_out, yardstick
from mrl.advise.choice import Choice, Finding
from mrl.advise.choose import choose
from mrl.advise.cost import Bill, Cost
from mrl.advise.drawing import Drawn, drawn
from mrl.advise.facts import Facts, facts
from mrl.advise.inspect import Inspection, inspect
from mrl.advise.look import Look
from mrl.advise.terms import Terms
from mrl.advise.versions import by_encoding, decoded, usable

__all__ = [
    "Bill",
    "Choice",
    "Cost",
    "Drawn",
    "Facts",
    "Finding",
    "Inspection",
    "Look",
    "Terms",
    "by_encoding",
    "choose",
    "decoded",
    "drawn",
    "facts",
    "held_out",
    "inspect",
    "usable",
    "yardstick",
]
