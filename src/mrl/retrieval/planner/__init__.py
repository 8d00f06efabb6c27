"""The cheapest search that keeps its promise: measured on the user's own vectors, queries and machine."""

from mrl.retrieval.planner.draft import Draft
from mrl.retrieval.planner.measures import ByClass, Judged, Recall, Worth, worth
from mrl.retrieval.planner.planned import Planned
from mrl.retrieval.planner.planning import plan
from mrl.retrieval.planner.points import Point
from mrl.retrieval.planner.rechecking import rechecked
from mrl.retrieval.planner.selection import Figure, Seen, Selection, Step, selected
from mrl.retrieval.planner.telling import told
from mrl.retrieval.planner.terms import Objective, Terms
from mrl.retrieval.planner.truth import Truth

__all__ = [
    "ByClass",
    "Draft",
    "Figure",
    "Judged",
    "Objective",
    "Planned",
    "Point",
    "Recall",
    "Seen",
    "Selection",
    "Step",
    "Terms",
    "Truth",
    "Worth",
    "plan",
    "rechecked",
    "selected",
    "told",
    "worth",
]
