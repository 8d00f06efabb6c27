"""Makers that the tests of retrieval share: hostile vectors, indexes in a folder, and the slow twin of a ranking."""

from itertools import pairwise

import numpy as np

from mrl import Card, Nesting
from mrl.retrieval import BuildSpec, Index, Layout, Rows
from mrl.retrieval.encodings import BITS

METRICS = ("cosine", "dot", "l2")
MOST = {"1bit": 1, "int8": 127, "int12": 2047}  # the largest code
UNIT = 2.0**-53  # half the distance from 1 to the next float64


def random(n, width, seed=0):
    """Rows whose coordinates grow smaller, as those of nested models do."""
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n, width)) / np.sqrt(1 + np.arange(width))).astype(np.float32)


def translated(n, width, seed=0, by=1e3):
    """All far from the origin and near each other: what is left of float32 is little."""
    return (random(n, width, seed) + np.float32(by)).astype(np.float32)


def near_duplicates(n, width, seed=0):
    """A few rows, each many times, 1e-7 apart."""
    rng = np.random.default_rng(seed)
    rows = random(max(1, n // 16), width, seed)[rng.integers(0, max(1, n // 16), n)]
    return (rows * (1 + 1e-7 * rng.standard_normal((n, width)))).astype(np.float32)


def duplicated(n, width, seed=0):
    """A few rows, each many times, bit by bit the same."""
    rng = np.random.default_rng(seed)
    return random(max(1, n // 16), width, seed)[rng.integers(0, max(1, n // 16), n)]


def with_zeros(n, width, seed=0):
    """Every third row is zero, every fifth has a zero narrow half."""
    rows = random(n, width, seed)
    rows[::3], rows[::5, : width // 2] = 0, 0
    return rows


def all_equal(n, width, seed=0):
    return np.repeat(random(1, width, seed), n, axis=0)


def uneven(n, width, seed=0):
    """Lengths from 1e-6 to 1e3."""
    return (random(n, width, seed) * np.logspace(-6, 3, n)[:, None]).astype(np.float32)


def parallel(n, width, seed=0):
    """One direction in many lengths: all the same under cosine, but for the rounding of each."""
    return (random(1, width, seed) * np.linspace(1, 3, n)[:, None]).astype(np.float32)


HOSTILE = {
    "random": random,
    "offset 1e3": translated,
    "offset 1e6": lambda n, width, seed=0: translated(n, width, seed, 1e6),
    "near duplicates": near_duplicates,
    "duplicates": duplicated,
    "zeros": with_zeros,
    "all equal": all_equal,
    "uneven": uneven,
    "parallel": parallel,
}


def card(width, metric="cosine", **known):
    return Card("model", width, Nesting((width,)), metric, **known)


def layout(cuts, reference="float32", beside=None):
    return Layout.of(Nesting(tuple(cuts)), reference, beside)


def index(path, vectors, cuts=None, metric="cosine", *, reference="float32", beside=None, ids=None, payload=None,
          map=None, blocks=1):  # fmt: skip
    """An index at `path`; with blocks > 1 that many, one built and the others added."""
    spec = BuildSpec(layout(cuts or (vectors.shape[1],), reference, beside), map)
    ends = np.linspace(0, len(vectors), blocks + 1).astype(int)
    parts = [slice(a, b) for a, b in pairwise(ends.tolist())]
    names = np.arange(len(vectors)) if ids is None else np.asarray(ids)

    def some(part):
        return None if payload is None else payload.slice(part.start, part.stop - part.start)

    source = Rows.of(vectors[parts[0]], card(vectors.shape[1], metric), names[parts[0]], some(parts[0]))
    made = Index.build(path, source, spec)
    for part in parts[1:]:
        made.add(vectors[part], names[part], some(part))
    return made


def scores(rows, queries, metric):
    """(n, d), (q, d) -> (q, n): what every row is worth, in 80-bit floats; what has length 0 scores 0 by cosine."""
    rows, queries = np.asarray(rows, np.longdouble), np.asarray(queries, np.longdouble)
    if metric == "l2":
        return np.stack([-((rows - query) ** 2).sum(axis=1) for query in queries])
    products = np.stack([(rows * query).sum(axis=1) for query in queries])
    if metric == "dot":
        return products
    lengths = np.sqrt((queries**2).sum(axis=1))[:, None] * np.sqrt((rows**2).sum(axis=1))
    return np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)


def budgets(rows, queries, metric, unit=UNIT):
    """(q, n): how far a score that was summed with roundings of `unit` may be off."""
    rows, queries = np.asarray(rows, np.float64), np.asarray(queries, np.float64)
    each = (rows.shape[1] + 8) * unit
    if metric == "l2":
        return -each * scores(rows, queries, "l2").astype(np.float64)
    if metric == "cosine":
        return np.full((len(queries), len(rows)), each)
    return each * np.linalg.norm(queries, axis=1)[:, None] * np.linalg.norm(rows, axis=1)


def check_exact(found, rows, ids, queries, k, metric):
    """Fail unless `found` is the k best of all rows (n, d) with these ids, in order of (−score, id).

    Scores that differ by less than the roundings of float64 may stand in either order; equal rows may not.
    """
    ids, n = np.asarray(ids), len(rows)
    truth, budget = scores(rows, queries, metric), budgets(rows, queries, metric)
    same = np.unique(rows + np.float32(0), axis=0, return_inverse=True)[1].ravel() if n else np.empty(0, int)
    where = {name: i for i, name in enumerate(ids.tolist())}
    assert found.ids.shape == found.scores.shape == (len(queries), found.ids.shape[1])
    assert min(k, n) <= found.ids.shape[1] <= k  # with room for rows that a filter leaves out
    assert found.counts.tolist() == [min(k, n)] * len(queries)
    for q in range(len(queries)):
        count = int(found.counts[q])
        assert (found.ids[q, count:] == ("" if ids.dtype.kind == "U" else -1)).all()
        assert (found.scores[q, count:] == -np.inf).all()
        names, got = found.ids[q, :count].tolist(), found.scores[q, :count]
        at = np.array([where[name] for name in names], int)
        assert len(set(names)) == count
        assert (np.abs(got - truth[q, at]) <= budget[q, at]).all()
        assert sorted(zip(-got, names, strict=True)) == list(zip(-got, names, strict=True))
        if count < n:
            worst = np.sort(truth[q])[-count]
            assert (truth[q, at] >= worst - 2 * budget[q].max()).all()
        for group in np.unique(same[at]).tolist():
            twins = sorted(ids[same == group].tolist())
            assert [name for name in names if same[where[name]] == group] == twins[: int((same[at] == group).sum())]


# ------------------------------------------------------------------------------------------------- approximate searches


def stage_scores(snapshot, encodings, queries):
    """What every row is worth by the segments in these encodings, and how far float32 may be off: (q, n) each.

    Read anew from dim 0, multiplied in float64, with the lengths of the encodings of record, as plans do.
    """
    cuts, metric = snapshot.layout.cuts, snapshot.card.metric
    dim = cuts.dims[len(encodings) - 1]
    rows, largest, stored = (
        np.concatenate([take(snapshot, level, name) for level, name in enumerate(names)], axis=1)
        for take, names in ((read, encodings), (sizes, encodings), (read, snapshot.layout.reference[: len(encodings)]))
    )
    queries = np.asarray(queries, np.float64)[:, :dim]
    lengths, own = np.linalg.norm(stored, axis=1), np.linalg.norm(queries, axis=1)[:, None]
    raw, error = queries @ rows.T, (dim + 16) * 2.0**-24 * (np.abs(queries) @ largest.T)
    if metric == "dot":
        return raw, error + 1e-37
    if metric == "l2":
        return np.minimum(2 * raw - lengths**2 - own**2, 0), 2 * error + 2.0**-22 * (lengths**2 + own**2) + 1e-37
    each = np.divide(1, lengths * own, out=np.zeros_like(raw), where=(lengths * own) > 0)
    return raw * each, error * each + 2.0**-22 * np.abs(raw * each)


def read(snapshot, level, encoding):
    """(n, w) float64: a segment of all rows, as this encoding holds it."""
    return np.concatenate([block.segment(level, encoding).decoded(slice(None)) for block in snapshot.blocks]).astype(
        float
    )


def sizes(snapshot, level, encoding):
    """(n, w): how large the terms are that a coordinate is the sum of."""
    parts = []
    for block in snapshot.blocks:
        coded = block.segment(level, encoding)
        size = np.abs(coded.decoded(slice(None)))
        if len(coded.scales):
            each = np.abs(coded.scales[:, 0]) + MOST[encoding] * np.abs(coded.scales[:, 1])
            size = size + each[np.arange(block.rows) // 4096]
        parts.append(size.astype(float))
    return np.concatenate(parts)


def survivors(sure, maybe, score, error, keep):
    """Which rows (n,) are surely, and which possibly, among the best `keep` of those there."""
    low, high = score - error, score + error
    rivals = maybe.sum() - np.searchsorted(np.sort(high[maybe]), low, "left") - maybe  # all but the row itself
    beaten = sure.sum() - np.searchsorted(np.sort(low[sure]), high, "right")
    return sure & (rivals < keep), maybe & (beaten < keep)


def run(snapshot, plan, queries, allowed=None):
    """The slow twin of a plan: for each query the rows that surely and possibly are its result, their scores, errors.

    Every stage begins at dim 0. Rows whose scores float32 cannot tell apart may or may not survive a stage.
    """
    n, layout = snapshot.positions, snapshot.layout
    sure = np.tile(np.ones(n, bool) if allowed is None else allowed, (len(queries), 1))
    maybe, before, used = sure.copy(), (), ()
    for stage in plan.stages:
        now = layout.reading(stage.dim, stage.encoding)
        fine = all(BITS[old] >= BITS[new] for old, new in zip(before, now, strict=False))
        used, before = (*used, *now[len(used) :]) if fine else now, now
        score, error = stage_scores(snapshot, used, queries)
        for q in range(len(queries)):
            sure[q], maybe[q] = survivors(sure[q], maybe[q], score[q], error[q], stage.keep)
    return sure, maybe, score, error


def check_planned(found, twin, ids):
    """Fail unless the ids and scores found are those of the twin."""
    (sure, maybe, score, error), ids = twin, np.asarray(ids)
    where = {name: i for i, name in enumerate(ids.tolist())}
    for q in range(len(sure)):
        count = int(found.counts[q])
        names, got = found.ids[q, :count].tolist(), found.scores[q, :count].astype(float)
        at = np.array([where[name] for name in names], int)
        assert len(set(names)) == count
        assert maybe[q, at].all()
        assert set(np.flatnonzero(sure[q]).tolist()) <= set(at.tolist())
        assert (np.abs(got - score[q, at]) <= error[q, at]).all()
        assert sorted(zip(-got, names, strict=True)) == list(zip(-got, names, strict=True))
        assert (found.ids[q, count:] == ("" if ids.dtype.kind == "U" else -1)).all()
        assert (found.scores[q, count:] == -np.inf).all()
