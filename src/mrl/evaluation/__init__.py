"""Measuring every prefix: embed once, score every dim."""

from mrl.evaluation.judged import evaluate_judged, per_query_judged
from mrl.evaluation.judgements import Judgements
from mrl.evaluation.pairs import ScoredPairs
from mrl.evaluation.prefixes import evaluate, per_query
from mrl.evaluation.rows import Row, read_rows, write_rows
from mrl.evaluation.similarity import evaluate_pairs, per_pair

__all__ = [
    "Judgements",
    "Row",
    "ScoredPairs",
    "evaluate",
    "evaluate_judged",
    "evaluate_pairs",
    "per_pair",
    "per_query",
    "per_query_judged",
    "read_rows",
    "write_rows",
]
