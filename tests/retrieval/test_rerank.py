"""The compiled re-rank against the plain one: products segment by segment (`kernels.EXTEND`), then `ranking.cut`."""

from itertools import pairwise

import numpy as np
import pytest

from mrl.retrieval import kernels, ranking
from mrl.retrieval.best import CODES, Candidates
from mrl.retrieval.rerank import KINDS, Record
from retrieval import made

WIDTH, CUTS = 21, (5, 8, 21)  # odd widths, for records of 12 bits


def plain(snapshot, reading, queries, positions, keep):
    """The twin."""
    raw = np.zeros(positions.shape, np.float32)
    scores = np.full(positions.shape, -np.inf, np.float32)
    code, cuts = CODES[snapshot.card.metric], (0, *snapshot.layout.cuts.dims)
    for block in snapshot.blocks:
        for level, ((a, b), name) in enumerate(zip(pairwise(cuts[: len(reading) + 1]), reading, strict=True)):
            part = block.segment(level, name)
            codes = part.codes.view(np.uint16) if name == "float16" else part.codes
            kernels.EXTEND[name](codes, part.scales, np.ascontiguousarray(queries[:, a:b]), positions, block.first, raw)
        ranking.scored(code, raw, block.norms[len(reading) - 1], positions, block.first, scores)
    return Candidates(positions, raw, scores).cut(keep)


def padded(found, keep):
    """(q, keep) positions, −1 behind."""
    short = keep - found.positions.shape[1]
    return np.pad(found.positions, ((0, 0), (0, max(short, 0))), constant_values=-1)


def drawn(rows, queries, length, seed=0, missing=True):
    """(q, length) different positions; −1 from somewhere on."""
    rng = np.random.default_rng(seed)
    positions = np.stack([rng.permutation(rows)[:length] for _ in range(queries)]).astype(np.int64)
    for row in positions if missing else ():
        row[rng.integers(0, length + 1) :] = -1
    return positions


def check(snapshot, reading, positions, keep, queries=None):
    queries = made.random(len(positions), WIDTH, 5) if queries is None else queries
    record, metric = Record.of(snapshot, reading), snapshot.card.metric
    mine, theirs = record.reranked(metric, queries, positions, keep), plain(snapshot, reading, queries, positions, keep)
    real = padded(theirs, keep) >= 0
    assert ((mine.positions >= 0) == real).all()
    assert (mine.scores[~real] == -np.inf).all()
    wanted = theirs.scores[theirs.positions >= 0]
    np.testing.assert_allclose(mine.scores[real], wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max(initial=1e-30))
    scores = np.empty(positions.shape, np.float32)
    record.score(CODES[metric], queries, positions, scores)
    for q in range(len(positions)):
        kept = mine.positions[q][real[q]]
        known = dict(zip(positions[q].tolist(), scores[q].tolist(), strict=True))
        order = sorted((p for p in known if p >= 0), key=lambda p: (-known[p], p))
        assert kept.tolist() == order[:keep]
        assert [known[p] for p in kept.tolist()] == mine.scores[q][real[q]].tolist()
    assert (scores[positions < 0] == -np.inf).all()


@pytest.fixture(scope="module")
def snapshots(tmp_path_factory):
    """By metric, of several blocks, with every encoding."""
    folder = tmp_path_factory.mktemp("rerank")
    beside = {"float16": WIDTH, "int12": WIDTH, "int8": WIDTH}
    vectors = made.random(700, WIDTH)
    vectors[5] = 0
    return {
        metric: made.index(folder / metric, vectors, CUTS, metric, beside=beside, blocks=3).snapshot
        for metric in made.METRICS
    }


@pytest.mark.parametrize("encoding", KINDS)
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_every_encoding_over_some_segments_of_several_blocks(snapshots, metric, encoding, levels):
    check(snapshots[metric], (encoding,) * levels, drawn(700, 8, 60), 10)


def test_segments_in_different_encodings(snapshots, metric):
    check(snapshots[metric], ("float32", "int8", "int12"), drawn(700, 8, 60), 10)


@pytest.mark.parametrize(("length", "keep"), [(1, 1), (3, 10), (60, 60), (200, 64), (200, 65), (200, 150), (90, 300)])
def test_lists_of_any_length(snapshots, metric, length, keep):
    """Beyond 64 they are sorted in another way."""
    check(snapshots[metric], ("int8",) * 3, drawn(700, 5, length), keep)
    check(snapshots[metric], ("float32",) * 3, drawn(700, 5, length, missing=False), keep)


def test_chunks_have_their_own_scales(tmp_path):
    vectors = made.random(9000, WIDTH)
    vectors[4096:8192] *= 100
    snapshot = made.index(tmp_path / "i", vectors, CUTS, "dot", beside={"int8": WIDTH, "int12": WIDTH}).snapshot
    for name in ("int8", "int12"):
        check(snapshot, (name,) * 3, drawn(9000, 6, 80), 20)


@pytest.mark.parametrize("hostile", made.HOSTILE)
def test_hostile_rows(tmp_path, metric, hostile):
    vectors = made.HOSTILE[hostile](150, WIDTH)
    snapshot = made.index(tmp_path / "i", vectors, CUTS, metric, blocks=2).snapshot
    check(snapshot, ("float32",) * 3, drawn(150, 4, 100), 30)


def test_equal_scores_stand_by_position_and_are_told(tmp_path):
    snapshot = made.index(tmp_path / "i", made.all_equal(40, WIDTH), CUTS, "dot").snapshot
    record, query = Record.of(snapshot, ("float32",) * 3), made.random(1, WIDTH, 3)
    positions = np.random.default_rng(0).permutation(40)[None].astype(np.int64)
    found = record.reranked("dot", query, positions, 12)
    assert found.positions[0].tolist() == list(range(12))
    assert record.rerank(CODES["dot"], query, positions, found.positions, found.scores, found.raw) is True
    other = made.index(tmp_path / "j", made.random(40, WIDTH), CUTS, "dot").snapshot
    told = Record.of(other, ("float32",) * 3).rerank(
        CODES["dot"], query, positions, found.positions, found.scores, found.raw
    )
    assert told is False


def test_what_is_not_read_here(tmp_path, snapshots):
    assert Record.of(snapshots["dot"], ("1bit",) * 3) is None
    empty = made.index(tmp_path / "e", np.empty((0, WIDTH), np.float32), CUTS).snapshot
    assert Record.of(empty, ("float32",) * 3) is None
