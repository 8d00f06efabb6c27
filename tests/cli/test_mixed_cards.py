"""Vectors of two versions, of which one went through a map and one did not, or through another, are refused by name."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from typer.testing import CliRunner

from mrl import Card, Nesting, Table
from mrl.cli import app
from mrl.retrieval import Index

CARD = Card("clouds", 8, Nesting((2, 4, 8)), fingerprint="f")
VERSIONS = {
    "plain": CARD,
    "mapped": replace(CARD, maps=("linear:abc",)),
    "otherwise": replace(CARD, maps=("linear:def",)),
    "twice": replace(CARD, maps=("linear:abc", "linear:def")),
    "backwards": replace(CARD, maps=("linear:def", "linear:abc")),
    "retrained": replace(CARD, fingerprint="g"),
}
PAIRS = [*combinations(VERSIONS, 2), ("mapped", "plain")]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder with a table of each version."""
    monkeypatch.chdir(tmp_path)
    vectors = np.random.default_rng(0).normal(size=(12, 8)).astype(np.float32)
    for name, card in VERSIONS.items():
        with Table.create(name, card) as table:
            table.add(vectors, labels=np.arange(12) % 3)
    (tmp_path / "judged.tsv").write_text("query-id\tcorpus-id\tscore\n0\t1\t1\n1\t2\t1\n")
    (tmp_path / "pairs.csv").write_text("score\n" + "".join(f"{n}\n" for n in range(12)))


def invoke(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def check(result, one, other):
    """It was refused, naming both, and the field in which they differ."""
    mine, theirs = VERSIONS[one], VERSIONS[other]
    field = "fingerprint" if mine.maps == theirs.maps else "maps"
    assert result.exit_code == 1, result.output
    values = f"{field} is {getattr(mine, field)!s} in one (clouds) and {getattr(theirs, field)!s} in the other (clouds)"
    assert values in str(result.exception)
    assert "do not belong together" in str(result.exception)
    assert result.stdout == ""


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_evaluate(one, other):
    result = invoke("evaluate", one, other, "--k", 3)
    check(result, one, other)
    assert str(result.exception).startswith(f"{one} and {other} do not")


@pytest.mark.parametrize("how", [("--judgements", "judged.tsv"), ("--pairs", "pairs.csv")])
def test_evaluate_by_judgements_and_pairs(how):
    check(invoke("evaluate", "mapped", "plain", *how), "mapped", "plain")


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_search_and_index_add(one, other):
    assert invoke("index", "build", one, "--out", "ix").exit_code == 0
    before = Index.open("ix").rows
    check(invoke("search", "ix", other, "-k", 3), one, other)
    check(invoke("index", "add", "ix", other), one, other)
    check(invoke("index", "add", "ix", other, "--replace"), one, other)
    assert Index.open("ix").rows == before
    assert invoke("search", "ix", one, "-k", 3).exit_code == 0


def test_the_index_own_map_comes_last_in_what_it_takes():
    """Its queries come without it, or with exactly it: never with another in its place."""
    invoke("index", "build", "mapped", "--out", "ix", "--map", "pca")
    own = Index.open("ix").card.maps
    assert own[0] == "linear:abc"
    for name, maps, fits in (("with", own, True), ("alone", own[1:], False), ("other", (own[0], "pca:0123"), False)):
        with Table.create(name, replace(CARD, maps=maps)) as table:
            table.add(np.ones((2, 8), np.float32))
        result = invoke("search", "ix", name, "-k", 3)
        assert (result.exit_code == 0) == fits
        if not fits:
            assert f"maps is ('linear:abc',) in one (clouds) and {maps!s} in the other" in str(result.exception)
    assert invoke("search", "ix", "mapped", "-k", 3).exit_code == 0
    check(invoke("search", "ix", "plain"), "mapped", "plain")


def test_a_cut_keeps_versions_apart():
    for name in ("plain", "mapped"):
        assert invoke("migrate", name, "--dim", 4, "--out", f"{name} 4").exit_code == 0
    result = invoke("evaluate", "plain 4", "mapped 4", "--k", 3)
    assert "maps is () in one (clouds) and ('linear:abc',) in the other" in str(result.exception)
    result = invoke("evaluate", "plain 4", "plain", "--k", 3)
    assert "width is 4 in one (clouds) and 8 in the other (clouds)" in str(result.exception)
