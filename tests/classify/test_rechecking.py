"""What new labelled rows say of a cascade's promise: silent where it holds, an alarm where it is broken."""

from dataclasses import replace

import numpy as np
import pytest

from classify.made import separate, table
from mrl.classify import Cascade
from mrl.classify.rechecking import DROP, gaps, rechecked
from mrl.classify.unseen import UNKNOWN_NOTE, unseen
from mrl.classify.whole import full_answers
from mrl.errors import InputError
from mrl.promise import Estimate, Parts, Promise, gap, gap_bound, most_allowed, p_value, recheck
from mrl.vectors.copies import digests

POOL = 30_000


def promise(tolerance=0.01, confidence=0.95):
    """Of a cascade."""
    parts = Parts(250, 600, 150)
    return Promise(
        "the cascade", "accuracy", tolerance, confidence, Estimate(0, 0, 0), parts, "memory", 1000, "x", 0.1, 0.0
    )


def cascade(tolerance=0.01, confidence=0.95, limit=0.95, **about):
    """It loses half a point of accuracy, at other limits more or less."""
    head = separate()
    limits = {"thresholds": (limit,) * 3, "promise": promise(tolerance, confidence)}
    return Cascade(head, table(1).card, head.nesting, **{**limits, **about})


@pytest.fixture(scope="module")
def rows():
    return table(POOL, seed=5)


@pytest.fixture(scope="module")
def pool(rows):
    """Rows, and what each loses by the cascade: 1, 0 or −1."""
    return rows, losses(cascade(), rows)


def losses(made, rows):
    full, mine = (told == rows.labels for told in (full_answers(made, rows.vectors), made.predict(rows).labels))
    return full.astype(int) - mine


def shifted(lost, truth):
    """(n,) chances of drawing each row, by which the mean loss is `truth`: more of those that lose, or that gain."""
    shares = np.array([(lost == each).mean() for each in (-1, 0, 1)])
    tilt = np.linspace(-8, 8, 4001)[:, None]
    tilted = shares * np.exp(tilt * np.array([-1, 0, 1]))
    means = (tilted[:, 2] - tilted[:, 0]) / tilted.sum(1)
    weights = np.exp(tilt[np.abs(means - truth).argmin()] * lost)
    return weights / weights.sum()


def draws(pool, truth, count, repeats, seed):
    """Tables of so many rows of the pool each, whose true loss is `truth`."""
    rows, lost = pool
    draw, chance = np.random.default_rng(seed), shifted(lost, truth)
    return (rows.only(draw.choice(len(rows), count, p=chance)) for _ in range(repeats))


def share_broken(made, tables):
    """How often the re-check says so, without the interval, which takes longer than all the rest."""
    sure = max(made.promise.confidence, 0.95)
    return np.mean([broken_p(made, each) <= 1 - sure for each in tables])


def broken_p(made, rows):
    return p_value(1 - gaps(made, unseen(made, rows)), 1 - gap_bound(made.promise.tolerance), 0.05)


def alarms(rows, made, repeats, *beyond):
    """How often it is raised where nothing changed, and where the true loss is so far beyond the promise; by as many
    rows as some draw says."""
    pool = rows, losses(made, rows)
    unchanged, tolerance = float(pool[1].mean()), made.promise.tolerance
    assert unchanged < 0.9 * tolerance
    count = rechecked(made, next(draws(pool, unchanged, 1500, 1, 0))).alarm
    truths = (unchanged, *(tolerance + more for more in beyond))
    return [share_broken(made, draws(pool, truth, count, repeats, seed)) for seed, truth in enumerate(truths)]


def test_it_is_silent_until_the_promise_is_broken(rows):
    unchanged, broken = alarms(rows, cascade(), 100, DROP)
    assert unchanged <= 0.05
    assert broken >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tolerance", "confidence", "limit"), [(0.005, 0.9, 0.97), (0.01, 0.95, 0.95), (0.02, 0.95, 0.9)]
)
def test_it_is_silent_until_the_promise_is_broken_in_many_draws(rows, tolerance, confidence, limit):
    unchanged, all_of_it, broken = alarms(rows, cascade(tolerance, confidence, limit), 500, 0, DROP)
    assert unchanged <= 0.05
    assert all_of_it <= most_allowed(500, 0.05) / 500
    assert broken >= 0.9


def test_gaps_of_the_full_width_are_what_is_tested(pool):
    rows, lost = pool[0].only(np.arange(900)), pool[1][:900]
    found = rechecked(cascade(), rows)
    mine = cascade().predict(rows).labels == rows.labels
    alone = recheck(promise(), gap((mine + lost).astype(float), mine.astype(float)), drop=DROP)
    assert found.lost.mean == pytest.approx(lost.mean())
    assert found.queries == 900
    assert found.broken_p == broken_p(cascade(), rows)
    assert found.alarm == pytest.approx(1.4 * alone.alarm, abs=1)
    assert rechecked(cascade(0.001), pool[0]).verdict == "broken"
    assert type(found).from_json(found.to_json()) == found


def test_few_rows_say_how_many_would_notice(pool):
    found = rechecked(cascade(), pool[0].only(np.arange(60)))
    assert found.verdict == "unsure"
    assert f"About {found.alarm:,} queries would raise an alarm for a drop of 2 points" in found.sentence


def test_copies_of_rows_make_nothing_surer(pool):
    rows = pool[0].only(np.arange(300))
    once, again = rechecked(cascade(), rows), rechecked(cascade(), rows.only(np.repeat(np.arange(300), 5)))
    assert again.queries == once.queries == 300
    assert again.broken_p == once.broken_p
    assert again.lost == once.lost


def test_rows_of_the_fit_are_left_out(pool):
    rows = pool[0].only(np.arange(500))
    made = cascade(known=np.unique(digests(rows.vectors[:200])))
    new = unseen(made, rows)
    assert new.notes == ("200 of 500 rows of memory were part of the fit, and are not new: left out",)
    assert rechecked(made, new).queries == 300
    assert rechecked(made, rows) == rechecked(made, new)
    with pytest.raises(InputError, match="fitted on all 200 rows"):
        rechecked(made, rows.only(np.arange(200)))


def test_classes_that_are_not_known_are_left_out(pool):
    rows = pool[0].only(np.arange(400))
    labels = np.where(np.arange(400) < 300, rows.labels, 99)
    found = rechecked(cascade(), replace(rows, labels=labels))
    assert found == rechecked(cascade(), rows.only(np.arange(300)))
    assert unseen(cascade(), replace(rows, labels=labels)).notes == (f"100 of 400 rows of memory {UNKNOWN_NOTE}",)
    with pytest.raises(InputError, match="all 400 new rows of memory have a class that the classifier does not know"):
        rechecked(cascade(), replace(rows, labels=np.full(400, 99)))


def test_rows_without_a_label_are_left_out(pool):
    rows = pool[0].only(np.arange(400))
    some = replace(rows, labels=np.where(np.arange(400) < 300, rows.labels, -1))
    new = unseen(cascade(), some)
    assert (new.bare, new.left_out, new.unknown) == (100, 0, 0)
    assert new.notes == ("100 of 400 rows of memory have no label: left out",)
    assert rechecked(cascade(), some) == rechecked(cascade(), rows.only(np.arange(300)))
    with pytest.raises(InputError, match=r"none of the 400 rows of memory has a label \(all are −1\)"):
        rechecked(cascade(), replace(rows, labels=np.full(400, -1)))


def test_a_verdict_is_never_less_sure_than_95_percent(pool):
    rows = pool[0].only(np.arange(400))
    assert rechecked(cascade(confidence=0.8), rows).confidence == 0.95
    assert rechecked(cascade(confidence=0.99), rows).confidence == 0.99


def test_without_a_promise_there_is_nothing_to_recheck(pool):
    with pytest.raises(InputError, match=r"nothing is promised of this cascade.*policy promise"):
        rechecked(cascade(promise=None), pool[0])
