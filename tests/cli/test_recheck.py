"""`mrl recheck`: a promise that is kept, broken, or not told yet, of an index and of a cascade."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from cli.crowds import CARD, LABELS, QUERIES, ROWS, VECTORS, WANTED, WIDTH, clouds
from mrl import Card, Nesting, Table
from mrl.classify import Cascade, Prototypes, Terms
from mrl.classify.rechecking import rechecked
from mrl.cli.plan import plan
from mrl.cli.recheck import recheck
from mrl.promise import Recheck
from mrl.retrieval import Index, Plan, Rows
from mrl.vectors import Held

APP = typer.Typer()
APP.command()(recheck)
APP.command()(plan)


def invoke(*words):
    return CliRunner().invoke(APP, [str(word) for word in words])


def refused(*words):
    result = invoke("recheck", *words)
    assert result.exit_code == 1, (words, result.output)
    return str(result.exception)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An index that was planned, and new queries of several kinds."""
    folder = tmp_path_factory.mktemp("planned")
    strange = np.random.default_rng(5).normal(size=(600, WIDTH)).astype(np.float32)
    strange[:, : WIDTH // 2] *= 0.01  # a narrow stage sees little of them
    files = {"v": VECTORS, "q": QUERIES, "new": clouds(1500, 3)[0], "few": clouds(12, 4)[0], "strange": strange}
    files |= {"mixed": np.concatenate([VECTORS[:20], clouds(1500, 3)[0]]), "own": VECTORS[:60]}
    for name, values in files.items():
        np.save(folder / f"{name}.npy", values)
    words = ("--queries", folder / "q.npy", "--recall", 0.9, "--objective", "bytes", "--out", folder / "ix")
    result = invoke("plan", folder / "v.npy", *words)
    assert result.exit_code == 0, (result.output, result.exception)
    return folder


def test_queries_of_the_same_kind_keep_it(folder):
    result = invoke("recheck", folder / "ix", folder / "new.npy")
    assert (result.exit_code, result.stderr) == (0, ""), result.exception
    assert result.stdout.startswith("Over 1,500 new queries the mean loss is 0.")
    assert "at most 0.1 was promised: the promise is kept, with 95 % confidence" in result.stdout


def narrow(folder, path):
    """An index of the same rows whose plan proposes by half of the dims, with what was promised of another one."""
    index, planned = Index.build(path, Rows.of(VECTORS, CARD)), Index.open(folder / "ix").planned
    point = replace(planned.picked, plan=Plan.parse(f"{WIDTH // 2}:80,{WIDTH}:10"))
    index.keep_planned(replace(planned, points=(point,), pick=0))
    return index


def test_queries_of_another_kind_break_it(folder, tmp_path):
    index = narrow(folder, tmp_path / "ix")
    result = invoke("recheck", index.path, folder / "new.npy")
    assert (result.exit_code, "the promise is kept" in result.stdout) == (0, True), result.exception
    result = invoke("recheck", index.path, folder / "strange.npy", "--json")
    assert result.exit_code == 1
    found = Recheck.from_json(json.loads(result.stdout))
    assert found.verdict == "broken"
    strange = np.load(folder / "strange.npy")
    mine, truth = index.search(strange, 10, plan=index.planned.picked.plan), index.search(strange, 10)
    hits = [len({*a} & {*b}) for a, b in zip(mine.ids.tolist(), truth.ids.tolist(), strict=True)]
    assert found.lost.mean == pytest.approx(1 - np.mean(hits) / 10, abs=1e-9)


def test_few_queries_say_how_many_would_tell(folder):
    result = invoke("recheck", folder / "ix", folder / "few.npy")
    assert result.exit_code == 0
    assert "not enough queries to tell with 95 % confidence; about " in result.stdout


def test_queries_that_are_rows_are_left_out(folder):
    result = invoke("recheck", folder / "ix", folder / "mixed.npy")
    assert f"20 of 1,520 queries are rows of {folder / 'ix'}, and would find themselves: left out\n" in result.stderr
    assert result.stdout == invoke("recheck", folder / "ix", folder / "new.npy").stdout


def test_queries_that_were_planned_with_are_not_new(folder, tmp_path):
    old = f"{folder / 'q.npy'} are planned with; give others"
    assert old in refused(folder / "ix", folder / "q.npy")
    np.save(tmp_path / "both.npy", np.concatenate([VECTORS[:20], QUERIES[:30], clouds(1500, 3)[0]]))
    result = invoke("recheck", folder / "ix", tmp_path / "both.npy")
    assert result.stderr.splitlines() == [
        f"20 of 1,550 queries are rows of {folder / 'ix'}, and would find themselves: left out",
        "30 of 1,550 queries were planned with, and are not new: left out",
    ]
    assert result.stdout == invoke("recheck", folder / "ix", folder / "new.npy").stdout
    np.save(tmp_path / "none.npy", np.concatenate([VECTORS[:20], QUERIES[:30]]))
    assert f"are rows of {folder / 'ix'} or planned with; give others" in refused(folder / "ix", tmp_path / "none.npy")


def test_many_changes_make_it_stale(folder, tmp_path):
    index = Index.open(folder / "ix").copy(tmp_path / "ix")
    index.delete(np.arange(ROWS // 5))
    result = invoke("recheck", index.path, folder / "new.npy")
    stale = (
        "the promise is stale: 200 rows were added, deleted or replaced since 1,000 were planned for; plan again: "
        f"mrl plan {index.path}\n"
    )
    assert "new queries the mean loss is" in result.stdout
    assert result.stdout.endswith(f" But {stale}")
    assert result.stderr == ""
    result = invoke("recheck", index.path, folder / "new.npy", "--json")
    assert Recheck.from_json(json.loads(result.stdout)).queries == 1500
    assert result.stderr == stale


@pytest.mark.slow
def test_by_classes(folder, tmp_path):
    np.save(tmp_path / "labels.npy", LABELS)
    np.save(tmp_path / "wanted.npy", WANTED)
    np.save(tmp_path / "new-wanted.npy", clouds(1500, 3)[1])
    by = (
        "--measure",
        "mAP@5",
        "--tolerance",
        0.1,
        "--objective",
        "bytes",
        "--labels",
        tmp_path / "labels.npy",
        "--query-labels",
    )
    words = ("plan", folder / "v.npy", "--queries", folder / "q.npy", "--out", tmp_path / "ix")
    result = invoke(*words, *by, tmp_path / "wanted.npy")
    assert result.exit_code == 0, result.exception
    result = invoke("recheck", tmp_path / "ix", folder / "new.npy", "--query-labels", tmp_path / "new-wanted.npy")
    assert "the promise is kept" in result.stdout, (result.output, result.exception)
    assert "new.npy has no labels, which this measures by; give them" in refused(tmp_path / "ix", folder / "new.npy")


def test_what_cannot_be_rechecked(folder, tmp_path):
    Index.build(tmp_path / "plain", Rows.of(VECTORS, CARD))
    with Table.create(tmp_path / "other", Card("other", WIDTH, Nesting((8, WIDTH)))) as table:
        table.add(QUERIES)
    np.save(tmp_path / "none.npy", QUERIES[:0])
    np.save(tmp_path / "narrow.npy", QUERIES[:, :8])
    new = folder / "new.npy"
    for words, why in (
        ((tmp_path / "plain", new), f"plain was not planned, so nothing is promised; plan it: mrl plan {tmp_path}"),
        ((folder / "ix", tmp_path / "none.npy"), "none.npy has no queries; give some"),
        ((folder / "ix", folder / "own.npy"), "all 60 queries of"),
        ((folder / "ix", tmp_path / "other"), "do not belong together"),
        ((folder / "ix", tmp_path / "narrow.npy"), "do not belong together: width is 32"),
        ((folder / "ix", new, "--ignore-same-ids"), "--ignore-same-ids belongs to --judgements, which are not there"),
        ((tmp_path / "nowhere", new), "nowhere is neither an index nor a cascade; give the folder that mrl"),
    ):
        assert why in refused(*words), words


# ------------------------------------------------------------------------------------------------ cascades


@pytest.fixture(scope="module")
def cascade(tmp_path_factory):
    """A cascade with a promise, and labelled rows of several kinds."""
    folder = tmp_path_factory.mktemp("cascade")
    known = Prototypes.means(*clouds(2000, 11), CARD.nesting)
    vectors, labels = clouds(2500, 12)
    made = Cascade.fit(known, Held.of(vectors, CARD, labels), Terms(tolerance=0.05))
    made.save(folder / "c")
    replace(made, promise=None).save(folder / "bare")
    replace(made, thresholds=(0.0, 0.0)).save(folder / "hasty")  # with what was promised of another one
    for name, count, seed in (("new", 2500, 13), ("few", 40, 14), ("old", 2500, 12)):
        vectors, labels = clouds(count, seed)
        with Table.create(folder / name, CARD) as table:
            table.add(vectors, labels=labels)
        np.save(folder / f"{name}.npy", vectors)
        np.save(folder / f"{name}-labels.npy", labels)
    return folder


def test_new_rows_of_the_same_kind_keep_a_cascades_promise(cascade):
    result = invoke("recheck", cascade / "c", cascade / "new")
    assert (result.exit_code, result.stderr) == (0, ""), (result.output, result.exception)
    lost = rechecked(Cascade.load(cascade / "c"), Table.open(cascade / "new")).lost
    assert result.stdout == (
        f"Over 2,500 new rows {100 * lost.mean:.2f} points are lost [{100 * lost.low:.2f}, {100 * lost.high:.2f}] "
        "(95 %; betting, sure at any number of rows), and at most 5 points were promised: the promise is kept, with "
        "95 % confidence.\n"
    )
    words = ("--labels", cascade / "new-labels.npy", "--json")
    result = invoke("recheck", cascade / "c", cascade / "new.npy", *words)
    found = rechecked(Cascade.load(cascade / "c"), Table.open(cascade / "new"))
    assert Recheck.from_json(json.loads(result.stdout)) == found


def test_a_cascade_that_stops_too_early_breaks_its_promise(cascade):
    result = invoke("recheck", cascade / "hasty", cascade / "new")
    assert (result.exit_code, "the promise is broken" in result.stdout) == (1, True), (result.output, result.exception)


def test_few_rows_say_how_many_would_tell_of_a_cascade(cascade):
    result = invoke("recheck", cascade / "c", cascade / "few")
    assert (result.exit_code, "to tell with 95 % confidence" in result.stdout) == (0, True), result.output


def test_what_cannot_be_rechecked_of_a_cascade(cascade, folder):
    rows, files = cascade / "new", cascade / "new.npy"
    for words, why in (
        ((cascade / "c", files), "new.npy has no labels, and a cascade is measured by labels; give them with --labels"),
        ((cascade / "c", cascade / "old"), "the cascade was fitted on all 2,500 rows of"),
        ((cascade / "bare", rows), "bare, so there is nothing to re-check; fit it with --policy promise, or"),
        (
            (cascade / "c", rows, "--query-labels", files),
            "c is a cascade, and --query-labels speaks of an index; leave",
        ),
        ((folder / "ix", files, "--labels", files), "ix is an index, and --labels speaks of a cascade; leave it out"),
        ((folder / "ix", files, "--map", files), "ix is an index, and --map speaks of a cascade; leave it out"),
        ((folder / "ix", files, "--map", files, "--key", "v"), "and --key, --map speak of a cascade; leave them out"),
        ((cascade / "nowhere", rows, "--labels", files), "nowhere is neither an index nor a cascade; give the"),
        ((cascade / "new", rows), "new is neither an index nor a cascade; give the folder that mrl plan or mrl"),
    ):
        assert why in refused(*words), words
