"""The slow twin of measures of ranked lists: dictionaries, sorting and loops."""

import math


def slow(ranked, graded, k):
    """Every measure of one query. ranked: ids, best first. graded: {id: grade}."""
    gains = [graded.get(document, 0) for document in ranked[:k]]
    best = sorted(graded.values(), reverse=True)[:k]
    relevant = sum(grade > 0 for grade in graded.values())
    hits = [place for place, gain in enumerate(gains, 1) if gain > 0]
    return {
        "nDCG": dcg(gains) / dcg(best),
        "MRR": 1 / hits[0] if hits else 0.0,
        "recall": len(hits) / relevant,
        "AP": sum(number / place for number, place in enumerate(hits, 1)) / relevant,
        "P": len(hits) / k,
    }


def dcg(gains):
    return sum(gain / math.log2(place + 1) for place, gain in enumerate(gains, 1))
