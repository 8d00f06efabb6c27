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
    assert tuple(parts.counts.values()) == (480, 30, 90) == (len(parts.rows), len(parts.watch), len(parts.gate))
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
    assert tuple(parts.counts.values()) == (570, 30, 50)
    assert np.array_equal(parts.queries[parts.gate.asked], queries.vectors)


def test_queries_of_their_own_keep_all_rows():
    documents, queries = classes.random(300), classes.random(90, seed=1)
    parts = parted(settled(documents), documents, queries)
    assert tuple(parts.counts.values()) == (300, 30, 60)
    assert apart(parts)


def test_more_rows_than_wanted_are_drawn():
    documents = classes.random(1000)
    parts = parted(settled(documents, sample=500), documents)
    assert tuple(parts.counts.values()) == (400, 25, 75)
    assert parts.notes == ("500 of 1,000 rows were drawn to fit on and to measure against",)


def test_judged_queries_are_parted_and_their_pairs_are_of_none_that_is_held_out():
    documents, queries = classes.paired(300)
    judgements = Judgements.of([(row, row, 1) for row in range(300)] + [(row, 0, 0) for row in range(1, 300)])
    parts = parted(settled(documents, judged=True), documents, queries, judgements)
    assert tuple(parts.counts.values()) == (180, 30, 90)
    learned = set(parts.pairs.rows[:, 0].tolist())
    assert len(learned | set(parts.watch.asked.tolist()) | set(parts.gate.asked.tolist())) == 300
    assert (parts.pairs.rows[:, 0] == parts.pairs.rows[:, 1]).all()  # what was graded 0 is no pair


def test_judged_documents_are_all_searched_when_others_are_drawn():
    documents, queries = classes.paired(400)
    judgements = Judgements.of([(row, row, 1) for row in range(300)])
    spec = settled(documents, judged=True, sample=350)
    parts = parted(spec, documents, queries, judgements)
    assert len(parts.rows) == 350
    assert rows_of(documents.vectors[:300]) <= rows_of(parts.rows)
    pairs = zip(parts.queries[parts.pairs.rows[:, 0]], parts.rows[parts.pairs.rows[:, 1]], strict=True)
    assert all(
        np.array_equal(queries.vectors[i], q) for q, d in pairs for i in np.flatnonzero((documents.vectors == d).all(1))
    )


@pytest.mark.parametrize(
    ("documents", "queries", "judgements", "said"),
    [
        (classes.buried(300), None, None, "300 different rows with a class are too few to learn from "
         "some, watch by 20"),
        (classes.random(300), None, None, "300 different rows are too few to learn from some, watch by 20 and judge by "
         "others; give at least 400"),
        (classes.random(300), classes.random(30, seed=1), None, "30 of 30 queries differ from each other and from "
         "every row, and 60 are the fewest to judge by; give other queries, or none"),
        (classes.random(300), classes.random(90), None, "0 of 90 queries differ"),
        (classes.Held.of(classes.random(500).vectors, classes.random(1).card, np.full(500, 7)), None, None,
         "labels must be of at least two classes to learn from, memory has 1; leave them out"),
        (classes.Held.of(classes.random(500).vectors, classes.random(1).card, np.arange(500)), None, None,
         "no two rows of memory share a label, so there is nothing to find; give their classes, not ids"),
        (*classes.paired(100), Judgements.of([(row, row, 1) for row in range(100)]), "100 different judged queries are "
         "too few to learn from some, watch by 20 and judge by others; give at least 200"),
        (*classes.paired(300), Judgements.of([("x", 3, 1)]), "none of the 1 judged queries, such as 'x', is an id"),
        (*classes.paired(300), Judgements.of([(3, "x", 1)]), "none of the 1 judged documents, such as 'x', is an id"),
    ],
)  # fmt: skip
def test_too_little_is_refused(documents, queries, judgements, said):
    with pytest.raises(InputError) as refused:
        parted(settled(documents, judged=judgements is not None), documents, queries, judgements)
    assert said in str(refused.value)


def copied(held, times):
    """Every row so many times, the copies apart from each other."""
    return held.only(np.tile(np.arange(len(held)), times))


@pytest.mark.parametrize("labelled", [True, False])
def test_copies_of_one_vector_go_the_same_way(labelled):
    documents = copied(classes.buried(500), 4)
    documents = documents if labelled else classes.Held.of(documents.vectors, documents.card)
    parts = parted(settled(documents), documents)
    assert apart(parts)
    assert tuple(parts.counts.values()) == (1600, 25, 75)  # of copies, one asks


def test_copies_of_a_query_go_the_same_way():
    documents, queries = (copied(side, 3) for side in classes.paired(300))
    queries = classes.Held.of(queries.vectors, queries.card)
    documents = classes.Held.of(documents.vectors, documents.card)
    judgements = Judgements.of([(row, row, 1) for row in range(900)])
    parts = parted(settled(documents, judged=True), documents, queries, judgements)
    learned = rows_of(queries.vectors[parts.pairs.rows[:, 0]])
    for stick in (parts.watch, parts.gate):
        assert not learned & rows_of(queries.vectors[stick.asked])
    assert tuple(parts.counts.values()) == (540, 30, 90)


def test_queries_that_are_rows_are_left_out():
    documents = classes.random(300)
    fresh = classes.random(100, seed=1)
    queries = classes.Held.of(np.concatenate([fresh.vectors, fresh.vectors[:5], documents.vectors[:7]]), documents.card)
    parts = parted(settled(documents), documents, queries)
    assert rows_of(parts.queries) == rows_of(fresh.vectors)
    assert parts.notes == ("12 queries are copies, of rows or of each other, and left out",)


def test_what_belongs_together_is_known_for_every_query():
    documents, queries = classes.paired(300)
    graded = [(row, (row + more) % 300, 1) for row in range(300) for more in (0, 1)]
    judgements = Judgements.of([*graded, *((row, (row + 2) % 300, 0) for row in range(300))])
    pairs = parted(settled(documents, judged=True), documents, queries, judgements).pairs
    rows = np.unique(pairs.rows[:, 0])
    wanted = {(query, (query + more) % 300) for query in rows.tolist() for more in (0, 1)}
    found = pairs.related(rows, np.arange(300))
    assert {(rows[i], j) for i, j in np.argwhere(found)} == wanted


def test_the_document_that_a_query_is_is_no_negative():
    documents, _ = classes.paired(300)
    judgements = Judgements.of([(row, (row + 1) % 300, 1) for row in range(300)], ignore_same_ids=True)
    pairs = parted(settled(documents, judged=True), documents, documents, judgements).pairs
    queries = np.unique(pairs.rows[:, 0])
    found = pairs.related(queries, np.arange(300))
    assert found.sum(1).tolist() == [2] * len(queries)
    assert found[np.arange(len(queries)), queries].all()


def test_few_documents_are_enough():
    documents, queries = classes.paired(300)
    judgements = Judgements.of([(row, row % 6, 1) for row in range(300)])
    parts = parted(settled(documents, judged=True), documents.only(np.arange(6)), queries, judgements)
    assert parts.gate.name == "nDCG@6"
