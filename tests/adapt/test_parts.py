"""The three parts share no query, whatever the data."""

import numpy as np
import pytest

from adapt import classes
from mrl.adapt import AdaptSpec
from mrl.adapt.parts import parted
from mrl.errors import InputError
from mrl.evaluation import Judgements


def settled(documents, judged=False, **given):
    return AdaptSpec(**given).settled(labelled=documents.labels is not None, judged=judged)


def rows_of(vectors):
    return {row.tobytes() for row in vectors}


def apart(parts):
    """Whether rows, watch and gate are three sets without a common row."""
    watch, gate = (rows_of(parts.queries[stick.asked]) for stick in (parts.watch, parts.gate))
    return not (watch & gate or watch & rows_of(parts.rows) or gate & rows_of(parts.rows))


@pytest.mark.parametrize("labelled", [True, False])
def test_rows_that_ask_are_not_among_those_fitted_on(labelled):
    documents = classes.buried(600)
    documents = documents if labelled else classes.random(600)
    parts = parted(settled(documents), documents)
    assert apart(parts)
    assert parts.counts == (480, 30, 90) == (len(parts.rows), len(parts.watch), len(parts.gate))
    again = parted(settled(documents), documents)
    other = parted(settled(documents, seed=1), documents)
    assert np.array_equal(again.rows, parts.rows)
    assert not np.array_equal(other.rows, parts.rows)


def test_labels_are_numbered_anew_and_named():
    made = classes.buried(600)
    labels = np.where(made.labels == 3, -1, made.labels * 10)
    parts = parted(settled(made), classes.Held.of(made.vectors, made.card, labels))
    assert parts.classes == ("0", "10", "20", "40", "50", "60", "70")
    assert sorted(set(parts.labels.tolist())) == list(range(7))
    assert len(parts.rows) + len(parts.watch) + len(parts.gate) == (labels >= 0).sum()
    assert parts.notes == (f"{(labels < 0).sum()} rows have no class and are left out",)


def test_labelled_queries_are_the_gates():
    documents, queries = classes.buried(600), classes.buried(50, seed=1)
    parts = parted(settled(documents), documents, queries)
    assert parts.counts == (570, 30, 50)
    assert np.array_equal(parts.queries[parts.gate.asked], queries.vectors)


def test_queries_of_their_own_keep_all_rows():
    documents, queries = classes.random(300), classes.random(90, seed=1)
    parts = parted(settled(documents), documents, queries)
    assert parts.counts == (300, 30, 60)
    assert apart(parts)


def test_more_rows_than_wanted_are_drawn():
    documents = classes.random(1000)
    parts = parted(settled(documents, sample=500), documents)
    assert parts.counts == (400, 25, 75)
    assert parts.notes == ("500 of 1,000 rows were drawn to fit on and to measure against",)


def test_judged_queries_are_parted_and_their_pairs_are_of_none_that_is_held_out():
    documents, queries = classes.paired(300)
    judgements = Judgements.of([(row, row, 1) for row in range(300)] + [(row, 0, 0) for row in range(1, 300)])
    parts = parted(settled(documents, judged=True), documents, queries, judgements)
    assert parts.counts == (180, 30, 90)
    learned = set(parts.pairs[:, 0].tolist())
    assert len(learned | set(parts.watch.asked.tolist()) | set(parts.gate.asked.tolist())) == 300
    assert (parts.pairs[:, 0] == parts.pairs[:, 1]).all()  # what was graded 0 is no pair


def test_judged_documents_are_all_searched_when_others_are_drawn():
    documents, queries = classes.paired(400)
    judgements = Judgements.of([(row, row, 1) for row in range(300)])
    spec = settled(documents, judged=True, sample=350)
    parts = parted(spec, documents, queries, judgements)
    assert len(parts.rows) == 350
    assert rows_of(documents.vectors[:300]) <= rows_of(parts.rows)
    pairs = zip(parts.queries[parts.pairs[:, 0]], parts.rows[parts.pairs[:, 1]], strict=True)
    assert all(
        np.array_equal(queries.vectors[i], q) for q, d in pairs for i in np.flatnonzero((documents.vectors == d).all(1))
    )


@pytest.mark.parametrize(
    ("documents", "queries", "judgements", "said"),
    [
        (classes.buried(300), None, None, "a part would have 15, and 20 are the fewest; give at least 400 rows"),
        (classes.random(300), None, None, "too few queries to part into fit, watch and gate"),
        (classes.random(300), classes.random(30), None, "a part would have 30, and 40 are the fewest"),
        (classes.Held.of(classes.random(500).vectors, classes.random(1).card, np.full(500, 7)), None, None,
         "labels must be of at least two classes to learn from, memory has 1; leave them out"),
        (*classes.paired(100), Judgements.of([(row, row, 1) for row in range(100)]), "a part would have 10"),
        (*classes.paired(300), Judgements.of([("x", 3, 1)]), "none of the 1 judged queries, such as 'x', is an id"),
        (*classes.paired(300), Judgements.of([(3, "x", 1)]), "none of the 1 judged documents, such as 'x', is an id"),
    ],
)  # fmt: skip
def test_too_little_is_refused(documents, queries, judgements, said):
    with pytest.raises(InputError) as refused:
        parted(settled(documents, judged=judgements is not None), documents, queries, judgements)
    assert said in str(refused.value)
