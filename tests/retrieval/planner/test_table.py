"""The table of what was planned: a hundred columns, the ready plans about the pick, and how many more there are."""

from dataclasses import replace

import pytest

from mrl.retrieval import Plan
from mrl.retrieval.planner import Point, Terms
from mrl.retrieval.planner.table import ACROSS, lines

JUDGED = Terms(tolerance=0.02, measure="nDCG")


def point(text, ms, promised=0.98721, **more):
    plan = None if text is None else Plan.parse(text)
    return Point(plan, 0.99, 0.985, 0.995, promised, ms, 1e3 / ms, int(1e7 * ms), **{"build_s": 1.5, **more})


EXACT = point(None, 9.0, 1.0)
GRAPHS = tuple(
    point(f"pca:07e5f755a801,64:{n + 20}/hnsw+codes=int8+ef={n + 30}+ef_construction=40+m=16,512:10", 0.01 * (n + 1))
    for n in range(30)
)
OTHER = point("64:20/rabitq,512:10", 0.5, None, ready=False)


def test_a_small_table():
    points = (point("32:20/ivf+lists=64,512:10", 0.1), OTHER, EXACT)
    assert lines(points, 0, Terms(), "recall@10") == [
        "ivf is 32/ivf+lists=64, built in 1.5 s",
        "  plan                         recall@10             95 %  promised     ms  queries/s    MB",
        "* 32:20/ivf+probes=8 → 512:10     0.9900  0.9850 … 0.9950    0.9872  0.100     10,000   1.0",
        "  exact search                    0.9900  0.9850 … 0.9950    1.0000  9.000        111  90.0",
        "* is the pick; promised: at least so much is kept on average, with 95 % confidence",
        "1 plan with another engine was measured, too; --html or `mrl report` shows them",
    ]


def test_other_measures_lose_at_most_so_much():
    """What is promised is on no scale of theirs; rounded, it is never less than it is."""
    said = lines((point("32:20,512:10", 0.1), EXACT), 0, JUDGED, "nDCG@10")
    assert said[0].split() == ["plan", "nDCG@10", "95", "%", "loses", "≤", "ms", "queries/s", "MB"]
    assert [line.split()[-4] for line in said[1:3]] == ["0.0128", "0.0000"]
    assert said[3] == "* is the pick; loses ≤: at most so much of nDCG@10 is lost on average, with 95 % confidence"


@pytest.mark.parametrize("pick", [0, 3, 15, 29, None])
def test_ten_plans_about_the_pick(pick):
    said = lines((*GRAPHS, EXACT), pick, Terms(), "recall@10")
    assert said[:2] == ["pca is pca:07e5f755a801", "hnsw is 64/hnsw+codes=int8+ef_construction=40+m=16, built in 1.5 s"]
    rows = [line for line in said if "/hnsw+ef=" in line or "exact search" in line]
    assert len(rows) == 10
    assert "exact search" in rows[-1]
    starred = [line for line in rows if line.startswith("* ")]
    assert len(starred) == (pick is not None)
    if starred:
        assert f" 64:{pick + 20}/hnsw+ef={pick + 30} → 512:10 " in starred[0]
    assert said[-1].startswith("21 more plans that can be searched by were measured, too; ")
    assert said[-2].startswith("* is the pick; " if starred else "promised: ")
    assert max(map(len, said)) <= ACROSS


def test_long_plans_break_between_stages():
    plan = "pca:07e5f755a801,128:1000@int8/ivf+codes=int8+lists=4096+probes=1024,1024:200@int8,1024:10"
    said = lines((point(plan, 0.1), EXACT), 0, Terms(), "recall@10")
    at = next(n for n, line in enumerate(said) if line.startswith("* "))
    assert said[at].startswith("* pca → 128:1000@int8/ivf+probes=1024  ")
    assert said[at + 1] == "    → 1024:200@int8 → 1024:10"
    assert max(map(len, said)) <= ACROSS


def test_what_is_not_shown_is_counted():
    """With other engines, of the same one, and what an index that was planned as it is cannot read."""
    points = sorted((*GRAPHS[:12], OTHER, replace(OTHER, ms=0.6), EXACT), key=lambda each: each.ms)
    points[11] = replace(points[11], ready=False)
    assert lines(points, 0, Terms(), "recall@10")[-1] == (
        "2 more plans that can be searched by and 1 plan that the index has not all for and 2 plans with other engines "
        "were measured, too; --html or `mrl report` shows them"
    )
