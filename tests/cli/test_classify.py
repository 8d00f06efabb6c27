"""`mrl classify`: cascades fitted, asked and measured, and what is refused."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
from pyarrow import parquet
from typer.testing import CliRunner

from mrl import Card, HeadWeights, Nesting, Table
from mrl.adapt import Map
from mrl.classify import Cascade, Prototypes, Terms
from mrl.classify.measured import measure
from mrl.classify.sentences import promised
from mrl.cli import main
from mrl.cli.classify import classify
from mrl.evaluation import Row, read_rows, write_rows
from mrl.maps import fit_pca
from mrl.vectors import Held
from mrl.vectors.copies import digests

WIDTH, CLASSES = 16, 5
DIMS = Nesting((2, 4, 8, WIDTH))
CARD = Card("clouds", WIDTH, DIMS, "l2", fingerprint="f" * 8)
NAMES = ("ant", "bee", "cat", "dog", "elk")
MEANS = np.random.default_rng(9).normal(size=(CLASSES, WIDTH)) / np.sqrt(np.arange(1, WIDTH + 1))


def clouds(rows, seed):
    """Vectors of a few classes whose later dims say less and less, and their labels."""
    draws = np.random.default_rng(seed)
    labels = draws.integers(0, CLASSES, rows)
    return (MEANS[labels] + 0.25 * draws.normal(size=(rows, WIDTH))).astype(np.float32), labels


def head_of(**about):
    """The best linear head at full width, cut for the other dims."""
    weight = MEANS.astype(np.float32)
    return HeadWeights(DIMS, True, (weight,), (-(weight**2).sum(1) / 2,), **about)


def table(path, vectors, labels, card=CARD, names=NAMES):
    with Table.create(path, card, names) as made:
        made.add(vectors, labels=labels)


def invoke(*words):
    return CliRunner().invoke(classify, [str(word) for word in words])


def done(*words):
    """stdout and stderr of a command that must succeed."""
    result = invoke(*words)
    assert result.exit_code == 0, (words, result.output, result.exception)
    return result.stdout, result.stderr


def refused(*words):
    result = invoke(*words)
    assert result.exit_code == 1, (words, result.output)
    return str(result.exception)


KNOWN, ASKED = clouds(2000, 1), clouds(600, 2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Rows as tables and as files, a head with names, and a cascade of it."""
    folder = tmp_path_factory.mktemp("classify")
    for name, (vectors, labels) in (("known", KNOWN), ("asked", ASKED), ("protos", clouds(300, 3))):
        table(folder / name, vectors, labels)
        np.save(folder / f"{name}.npy", vectors)
        np.save(folder / f"{name}-labels.npy", labels)
        np.save(folder / f"{name}-names.npy", np.array(NAMES)[labels])
    head_of(classes=NAMES, fingerprint=CARD.fingerprint).save(folder / "head")
    done("fit", folder / "known", "--head", folder / "head", "--tolerance", 0.05, "--out", folder / "cascade")
    return folder


# ------------------------------------------------------------------------------------------------ fit


def test_a_head_and_labelled_rows_make_a_cascade(folder, tmp_path):
    words = ("--head", folder / "head", "--tolerance", 0.05, "--score", "margin", "--seed", 3, "--dims", "4,16")
    out, said = done("fit", folder / "known", *words, "--out", tmp_path / "c")
    made = Cascade.load(tmp_path / "c")
    terms = Terms(tolerance=0.05, score="margin", seed=3, dims="4,16")
    same = Cascade.fit(HeadWeights.load(folder / "head"), Table.open(folder / "known"), terms)
    assert out == f"{tmp_path / 'c'}\n"
    assert made._about() == same._about()
    assert said.splitlines() == same.record["sentences"]
    assert promised(made.promise) in said


def test_every_policy_is_reached(folder, tmp_path):
    for policy, more in (("target", ("--target", 0.8)), ("greedy", ()), ("lossless", ())):
        words = ("--head", folder / "head", "--policy", policy, *more, "--out", tmp_path / policy)
        done("fit", folder / "known", *words)
        made = Cascade.load(tmp_path / policy)
        assert made.record["policy"] == policy
        assert made.promise is None


@pytest.mark.parametrize("nearest", [False, True])
def test_prototypes_in_place_of_a_head(folder, tmp_path, nearest):
    words = ("--prototypes", folder / "protos", *["--nearest"] * nearest, "--tolerance", 0.1)
    done("fit", folder / "known", *words, "--out", tmp_path / "c")
    made, (vectors, labels) = Cascade.load(tmp_path / "c"), clouds(300, 3)
    assert isinstance(made.classifier, Prototypes)
    assert (made.classes, made.dims, made.classifier.metric) == (NAMES, DIMS, "l2")
    assert len(made.classifier.vectors) == (300 if nearest else CLASSES)
    if not nearest:
        means = [vectors[labels == c].mean(0) for c in range(CLASSES)]
        assert np.allclose(made.classifier.vectors, means, atol=1e-5)
    assert made.seen(vectors).all()  # and so no figure will be of them


def test_files_that_say_nothing_are_described(folder, tmp_path):
    labels = ("--labels", folder / "known-labels.npy", "--prototype-labels", folder / "protos-labels.npy")
    words = ("--prototypes", folder / "protos.npy", *labels, "--metric", "l2", "--tolerance", 0.1)
    done("fit", folder / "known.npy", *words, "--trained", DIMS, "--out", tmp_path / "trained")
    done("fit", folder / "known.npy", *words, "--dims", "2,4,8,16", "--out", tmp_path / "dims")
    done("fit", folder / "known", "--prototypes", folder / "protos", "--tolerance", 0.1, "--out", tmp_path / "tables")
    one, two, three = (Cascade.load(tmp_path / name) for name in ("trained", "dims", "tables"))
    assert one.thresholds == two.thresholds == three.thresholds
    assert (one.card.model, one.card.metric, one.classes) == ("known", "l2", ())


def test_a_file_beside_a_table_is_of_its_model(folder, tmp_path):
    words = ("--labels", folder / "known-labels.npy", "--prototypes", folder / "protos", "--tolerance", 0.1)
    text = refused("fit", folder / "known.npy", *words, "--out", tmp_path / "c")
    assert "protos names its labels and" in text
    (tmp_path / "names.txt").write_text("".join(f"{NAMES[label]}\n" for label in KNOWN[1]))
    words = ("--labels", tmp_path / "names.txt", "--prototypes", folder / "protos", "--tolerance", 0.1)
    done("fit", folder / "known.npy", *words, "--out", tmp_path / "c")
    assert Cascade.load(tmp_path / "c").card == CARD


def test_classes_without_a_prototype_are_no_answers(folder, tmp_path):
    vectors, labels = clouds(300, 3)
    table(tmp_path / "few", vectors[labels != 1], labels[labels != 1])
    vectors, labels = KNOWN
    table(tmp_path / "rows", vectors[labels != 1], labels[labels != 1])
    done("fit", tmp_path / "rows", "--prototypes", tmp_path / "few", "--tolerance", 0.1, "--out", tmp_path / "c")
    assert Cascade.load(tmp_path / "c").classes == ("ant", "cat", "dog", "elk")


def test_rows_that_are_prototypes_are_left_out(folder, tmp_path):
    (vectors, labels), (others, more) = KNOWN, clouds(300, 3)
    table(tmp_path / "both", np.concatenate([others[:50], vectors]), np.concatenate([more[:50], labels]))
    words = ("--prototypes", folder / "protos", "--tolerance", 0.1, "--out")
    _, said = done("fit", tmp_path / "both", *words, tmp_path / "c")
    assert f"50 of 2,050 rows of {tmp_path / 'both'} are rows that {folder / 'protos'} has, too: left out\n" in said
    text = refused("fit", folder / "protos", *words, tmp_path / "d")
    assert f"every row of {folder / 'protos'} (300) is one that" in text


# ------------------------------------------------------------------------------------------------ predict


def lines_of(text):
    return [json.loads(line) for line in text.splitlines()]


def test_answers_are_those_of_the_library(folder, tmp_path):
    out, said = done("predict", folder / "cascade", folder / "asked")
    cascade = Cascade.load(folder / "cascade")
    wanted, found = cascade.predict(Table.open(folder / "asked")), lines_of(out)
    assert [line["id"] for line in found] == list(range(600))
    assert [line["label"] for line in found] == [NAMES[label] for label in wanted.labels]
    assert [line["dim"] for line in found] == wanted.last.tolist()
    assert [line["confidence"] for line in found] == pytest.approx(wanted.confidence.tolist(), abs=1e-5)
    assert said.startswith(f"600 rows: the last dim used is {wanted.last.mean():.1f} of 16 on average, and ")
    assert f"stopped at 2: {100 * (wanted.last == 2).mean():.1f} %, 4: " in said
    assert done("predict", folder / "cascade", folder / "asked.npy")[0] == out
    assert done("predict", folder / "cascade", folder / "asked", "--out", tmp_path / "a.jsonl")[0].strip() == str(
        tmp_path / "a.jsonl"
    )
    assert (tmp_path / "a.jsonl").read_text() == out
    done("predict", folder / "cascade", folder / "asked", "--out", tmp_path / "a.parquet")
    rows = parquet.read_table(tmp_path / "a.parquet").to_pylist()
    assert [{**row, "confidence": round(row["confidence"], 6)} for row in rows] == found


def test_dims_read_are_those_of_the_levels_that_were_met(folder, tmp_path):
    weights = tuple(MEANS[:, :dim].astype(np.float32) for dim in DIMS.dims)
    head = HeadWeights(DIMS, False, weights, tuple(-(weight**2).sum(1) / 2 for weight in weights))
    Cascade(head, CARD, DIMS, thresholds=(np.inf, 0.5, np.inf)).save(tmp_path / "c")
    _, said = done("predict", tmp_path / "c", folder / "asked", "--explain")
    wanted = Cascade.load(tmp_path / "c").predict(Table.open(folder / "asked"))
    assert f"{wanted.last.mean():.1f} of 16 on average, and {wanted.read.mean():.1f} were read" in said
    rows = [line.split() for line in said.splitlines()[2:]]
    assert [(int(row[0]), int(row[1])) for row in rows] == [(2, 0), (4, 4), (8, 4), (16, 20)]
    assert rows[0][2:] == ["0", "0.0", "%", "-"]


def test_explain_has_a_line_for_each_level(folder):
    _, said = done("predict", folder / "cascade", folder / "asked", "--explain")
    wanted = Cascade.load(folder / "cascade").predict(Table.open(folder / "asked"))
    rows = [line.split() for line in said.splitlines()[2:]]
    assert [int(row[0]) for row in rows] == list(DIMS.dims)
    assert [int(row[2]) for row in rows] == np.bincount(wanted.levels, minlength=4).tolist()


def test_batches_do_not_matter(folder, monkeypatch):
    whole, said = done("predict", folder / "cascade", folder / "asked.npy")
    monkeypatch.setattr("mrl.vectors.source.BATCH_BYTES", 4 * WIDTH * 7)
    assert done("predict", folder / "cascade", folder / "asked.npy") == (whole, said)


def test_ids_and_rows_that_are_left_out(folder, tmp_path):
    vectors = ASKED[0][:4].copy()
    vectors[1, 0] = np.nan
    np.savez(tmp_path / "rows.npz", mine=vectors, others=vectors[:, :1])
    (tmp_path / "ids.txt").write_text("a\nb\nc\nd\n")
    words = ("--key", "mine", "--ids", tmp_path / "ids.txt", "--drop-bad", "yes")
    out, said = done("predict", folder / "cascade", tmp_path / "rows.npz", *words)
    assert [line["id"] for line in lines_of(out)] == ["a", "c", "d"]
    assert "1" in said.splitlines()[0]
    assert "\n3 rows: the last dim used is" in said


def test_labels_without_names_are_numbers(folder, tmp_path):
    head_of().save(tmp_path / "head")
    words = ("--head", tmp_path / "head", "--labels", folder / "known-labels.npy", "--tolerance", 0.05)
    done("fit", folder / "known.npy", *words, "--out", tmp_path / "c")
    found = lines_of(done("predict", tmp_path / "c", folder / "asked.npy")[0])
    assert {line["label"] for line in found} == set(range(CLASSES))


# ------------------------------------------------------------------------------------------------ evaluate


def test_what_is_measured_is_what_the_library_measures(folder, tmp_path):
    out, said = done("evaluate", folder / "cascade", folder / "asked")
    found = measure(Cascade.load(folder / "cascade"), Table.open(folder / "asked"))
    assert [Row(**line) for line in lines_of(out)] == found.rows()
    assert f"{found.sentence[:-1]} (95 %; betting, sure at any number of rows)." in said
    assert f"dims of 16: {found.cost.last:.1f} by the last one used" in said
    assert f"is right in {100 * found.oracle.accuracy:.2f} % at {found.oracle.last:.1f} dims, with the full" in said
    header = next(line for line in said.splitlines() if "stop here" in line)
    assert header.split() == "dim read stop here right of these of all 95 % off by".split()
    out, _ = done(
        "evaluate", folder / "cascade", folder / "asked.npy", "--labels", folder / "asked-names.npy", "--json"
    )
    assert json.loads(out)["lost"] == found.to_json()["lost"]
    done("evaluate", folder / "cascade", folder / "asked", "--out", tmp_path / "rows.jsonl")
    assert read_rows(tmp_path / "rows.jsonl") == found.rows()


def test_rows_of_the_fit_are_left_out(folder, tmp_path):
    both = (np.concatenate(parts) for parts in zip((KNOWN[0][:30], KNOWN[1][:30]), ASKED, strict=True))
    table(tmp_path / "both", *both)
    out, said = done("evaluate", folder / "cascade", tmp_path / "both")
    assert f"30 of 630 rows of {tmp_path / 'both'} were part of the fit, and are not new: left out" in said
    assert lines_of(out) == lines_of(done("evaluate", folder / "cascade", folder / "asked")[0])


def test_slices_and_superclasses(folder, tmp_path):
    sides = ["left" if number % 3 else "right" for number in range(600)]
    (tmp_path / "sides.csv").write_text("side\n" + "".join(f"{side}\n" for side in sides))
    (tmp_path / "kinds.csv").write_text("class,superclass\nelk,big\nant,small\nbee,small\ncat,big\ndog,big\n")
    words = ("--slices", tmp_path / "sides.csv", "--superclasses", tmp_path / "kinds.csv", "--json")
    out, said = done("evaluate", folder / "cascade", folder / "asked", *words)
    kinds = ("small", "small", "big", "big", "big")
    found = measure(Cascade.load(folder / "cascade"), Table.open(folder / "asked"), {"side": sides}, kinds)
    assert json.loads(out) == json.loads(json.dumps(found.to_json()))
    assert f"the superclass is right in {100 * found.superclasses.cascade.mean:.2f} %" in said
    assert "side: " in said
    order = np.random.default_rng(0).permutation(600)
    (tmp_path / "ids.jsonl").write_text("".join(json.dumps({"id": int(n), "side": sides[n]}) + "\n" for n in order))
    words = ("--slices", tmp_path / "ids.jsonl", "--superclasses", tmp_path / "kinds.csv", "--json")
    assert done("evaluate", folder / "cascade", folder / "asked", *words)[0] == out


def test_a_page(folder, tmp_path):
    row = measure(Cascade.load(folder / "cascade"), Table.open(folder / "asked")).rows()[0]
    write_rows(tmp_path / "ff.jsonl", [row])
    words = ("--report", tmp_path / "page.html", "--beside", tmp_path / "ff.jsonl", "--out", tmp_path / "rows.parquet")
    out, said = done("evaluate", folder / "cascade", folder / "asked", *words)
    assert out.strip() == str(tmp_path / "rows.parquet")
    assert str(tmp_path / "page.html") in said
    assert "<svg" in (tmp_path / "page.html").read_text(encoding="utf-8")


# ------------------------------------------------------------------------------------------------ maps


@pytest.fixture(scope="module")
def mapped(folder):
    """A map, the rows that it was fitted on, its head, and a cascade of what went through it."""
    vectors, _ = KNOWN
    turn = fit_pca(vectors)
    head = HeadWeights(DIMS, True, (turn.apply32(MEANS.astype(np.float32)),), (-(MEANS**2).sum(1) / 2,), NAMES)
    Map(turn, CARD, DIMS, head=head, known=np.sort(digests(vectors[:40]))).save(folder / "map")
    words = ("--head", folder / "map", "--map", folder / "map", "--tolerance", 0.05, "--out", folder / "turned")
    _, said = done("fit", folder / "known", *words)
    assert f"40 of 2,000 rows of {folder / 'known'} are rows that the map {turn} was fitted on: left out" in said
    return Map.load(folder / "map")


def test_raw_rows_go_through_the_map_first(folder, mapped, tmp_path):
    cascade = Cascade.load(folder / "turned")
    assert cascade.card == mapped.card
    wanted = cascade.predict(mapped.turned(Table.open(folder / "asked")))
    with_map = done("predict", folder / "turned", folder / "asked", "--map", folder / "map")[0]
    assert [line["dim"] for line in lines_of(with_map)] == wanted.last.tolist()
    table(tmp_path / "ready", mapped.apply(ASKED[0]), ASKED[1], mapped.card)
    assert done("predict", folder / "turned", tmp_path / "ready")[0] == with_map
    assert done("predict", folder / "turned", folder / "asked.npy", "--map", folder / "map")[0] == with_map
    out = done("evaluate", folder / "turned", folder / "asked", "--map", folder / "map")[0]
    assert lines_of(out) == lines_of(done("evaluate", folder / "turned", tmp_path / "ready")[0])


def test_rows_of_the_map_and_of_the_fit_are_left_out_once_mapped(folder, mapped, tmp_path):
    both = [np.concatenate(parts) for parts in zip((KNOWN[0][:70], KNOWN[1][:70]), ASKED, strict=True)]
    table(tmp_path / "both", *both)
    slices = ["a"] * 70 + ["b"] * 600
    (tmp_path / "s.csv").write_text("s\n" + "\n".join(slices) + "\n")
    words = ("--map", folder / "map", "--slices", tmp_path / "s.csv", "--json")
    out, said = done("evaluate", folder / "turned", tmp_path / "both", *words)
    assert f"40 of 670 rows of {tmp_path / 'both'} are rows that the map {mapped} was fitted on: left out" in said
    assert "30 of 630 rows" in said
    found = json.loads(out)
    assert (found["count"], found["slices"][0]["names"]) == (600, ["b"])


def test_prototypes_go_through_the_map_too(folder, mapped, tmp_path):
    words = ("--prototypes", folder / "protos", "--map", folder / "map", "--tolerance", 0.1, "--out", tmp_path / "c")
    done("fit", folder / "known", *words)
    made = Cascade.load(tmp_path / "c")
    assert made.card.maps == (mapped.name,)
    assert made.seen(mapped.apply(clouds(300, 3)[0])).all()


def test_unmapped_vectors_are_told_of_the_map(folder, mapped):
    wanted = f"was fitted on vectors that went through {mapped}, and {folder / 'asked'} went through no map; name the "
    assert wanted in refused("predict", folder / "turned", folder / "asked")
    text = refused("evaluate", folder / "turned", folder / "asked.npy", "--labels", folder / "asked-names.npy")
    assert "does not say whether it did; name the map's folder with --map" in text
    text = refused("predict", folder / "cascade", folder / "asked", "--map", folder / "map")
    assert f"{folder / 'asked'}, mapped, and the cascade do not belong together: maps is ('{mapped}',)" in text
    text = refused("fit", folder / "known", "--head", folder / "map", "--out", folder / "new")
    assert f"classifies what went through {mapped}, and {folder / 'known'} went through no map; let them go" in text
    assert f"--map {folder / 'map'}" in text


def test_a_map_with_two_sides_is_refused(folder, tmp_path):
    Map(fit_pca(KNOWN[0]), CARD, DIMS, queries=fit_pca(ASKED[0])).save(tmp_path / "two")
    text = refused("predict", folder / "cascade", folder / "asked", "--map", tmp_path / "two")
    assert "two treats queries and documents differently, and what is classified is neither; map the vectors as" in text


# ------------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize("verb", ["fit", "predict", "evaluate"])
def test_every_verb_explains_itself(verb):
    out, _ = done(verb, "--help")
    assert "--map" in out
    assert "--out" in out


def test_what_is_refused_is_one_sentence_and_exit_code_two(folder, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["mrl", "classify", "predict", str(folder / "known"), str(folder / "asked")])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert capsys.readouterr().err == (
        f"mrl: {folder / 'known'} is no cascade; give the folder that mrl classify fit made\n"
    )


def test_what_cannot_be_fitted(folder, mapped, tmp_path):
    vectors, labels = KNOWN
    bad = vectors.copy()
    bad[3, 1] = np.nan
    np.save(tmp_path / "bad.npy", bad)
    np.save(tmp_path / "narrow.npy", vectors[:, :8])
    np.save(tmp_path / "ten.npy", vectors[:10])
    np.save(tmp_path / "ten-labels.npy", np.array(NAMES)[labels[:10]])
    np.save(tmp_path / "far.npy", labels + 100)
    table(tmp_path / "strangers", vectors, labels, Card("other", WIDTH, DIMS, "l2", fingerprint="e" * 8))
    table(tmp_path / "zoo", vectors, labels, names=("yak", "zho", "zebu", "auk", "gnu"))
    (tmp_path / "there").write_text("mine")
    known, head = folder / "known.npy", ("--head", folder / "head")
    named, numbered = (("--labels", folder / f"known-{kind}.npy") for kind in ("names", "labels"))
    ten = (tmp_path / "ten.npy", "--labels", tmp_path / "ten-labels.npy")
    np.save(tmp_path / "gaps.npy", np.where(ASKED[1] == 1, 0, ASKED[1]))
    protos, asked = (("--prototype-labels", folder / f"{name}-labels.npy") for name in ("known", "asked"))
    gaps = ("--prototype-labels", tmp_path / "gaps.npy", "--dims", "4,16")
    new = ("--out", tmp_path / "new")
    for words, why in (
        ((known, *head), "known.npy has no labels, and a cascade is fitted on labelled rows; give them with --labels"),
        ((known, *named), "a cascade has one classifier, got none; give either --head or --prototypes"),
        ((known, *head, "--prototypes", known), f"got --head {folder / 'head'} and --prototypes {known}; give either"),
        ((known, *head, "--nearest"), "--nearest belongs to --prototypes, which are not there; leave it out"),
        ((known, *head, "--prototype-labels", known), "--prototype-labels belongs to --prototypes"),
        ((known, "--prototypes", known, "--best"), "--best belongs to --head, which is not there; leave it out"),
        ((known, *named, "--prototypes", folder / "asked.npy"), "has no labels, and prototypes are of classes; give"),
        (
            (known, *head, "--labels", tmp_path / "far.npy"),
            "the classifier names its classes (",
        ),
        ((tmp_path / "zoo", *head), "'yak', 'zho', 'zebu', 'auk', 'gnu'; leave these rows out"),
        ((tmp_path / "strangers", *head), "belongs to an encoder ffffffff and"),
        ((tmp_path / "bad.npy", *named, *head), "row 3 has a NaN or an Inf (1 in all are such)"),
        ((tmp_path / "narrow.npy", *named, *head), "the classifier reads 16 dims and"),
        ((*ten, *head), "10; give more"),
        ((folder / "asked", *head, "--dims", "8,16"), "600 rows are not enough for that promise (at most 0.005 lost"),
        ((known, *named, *head, "--dims", "16"), "at least two levels, got dims 16"),
        ((known, *named, *head, "--dims", "3,24"), "does not classify at dim 24"),
        ((known, *named, *head, "--dims", "1,16"), "trained at 2,4,8,16 and does not classify at dim 1"),
        ((known, *named, *head, "--tolerance", 0), "got --tolerance 0; give some, or take --policy lossless, which"),
        ((known, *named, *head, "--tolerance", 2), "the tolerance must be > 0 and < 1, got 2.0"),
        ((known, *named, *head, "--confidence", 1.2), "the confidence must be > 0 and < 1, got 1.2"),
        ((known, *named, *head, "--policy", "best"), "unknown policy 'best'; known are promise, target"),
        ((known, *named, *head, "--target", 0.9), "--policy promise reads no --target; leave it out, or take"),
        ((known, *named, *head, "--keep", 0), "keep must be an integer ≥ 1, got 0"),
        ((tmp_path / "nowhere", *head), "nowhere is no mrl-table"),
        ((known, *named, "--head", tmp_path / "nowhere"), "nowhere, which --head names; give a run, a map that was"),
        ((folder / "known", *head, "--metric", "dot"), "is a table, whose card says what it is; leave --metric out"),
        ((known, *named, *head, "--map", folder / "known"), "known, which --map names, is no map; give the fol"),
        ((known, *named, *head, "--map", folder / "map", "--model", "x"), "the map says what the vectors are that"),
        ((known, *named, "--prototypes", tmp_path / "narrow.npy", *protos), "do not belong together: width is 8"),
        (
            (known, *numbered, "--prototypes", folder / "asked.npy", *asked),
            "asked.npy does not say which dims were trained; name levels with --dims, as 2,4,8,16",
        ),
        ((known, *numbered, "--prototypes", folder / "asked.npy", *gaps), "class 1 has no rows (1 such classes)"),
    ):
        assert why in refused("fit", *words, *new), words
        assert not (tmp_path / "new").exists(), words
    text = refused("fit", tmp_path / "nowhere", *head, "--out", tmp_path / "there")
    assert "there already exists and is not overwritten; remove it or choose another --out" in text


def test_terms_that_a_policy_does_not_read_are_refused(folder, tmp_path):
    words = (folder / "known", "--head", folder / "head", "--out", tmp_path / "new")
    for policy, more, why in (
        ("greedy", ("--confidence", 0.9), "--policy greedy reads no --confidence; leave it out, or take --policy prom"),
        ("greedy", ("--tolerance", 0.1), "reads no --tolerance"),
        ("greedy", ("--score", "gain", "--cost", "read"), "reads no --score, --cost; leave them out, or take --policy"),
        ("greedy", ("--seed", 3), "reads no --seed; leave it out"),
        ("lossless", ("--tolerance", 0.1, "--score", "gain"), "--policy lossless reads no --tolerance, --score; leave"),
        ("target", ("--confidence", 0.9), "--policy target reads no --confidence; leave it out, or take --policy prom"),
        (
            "target",
            ("--target", 0.9, "--tolerance", 0.1),
            "--policy target with a --target reads no --tolerance; le",
        ),
    ):
        assert why in refused("fit", *words, "--policy", policy, *more), policy
    done("fit", *words, "--policy", "target", "--tolerance", 0.1, "--score", "margin", "--cost", "read")
    assert "Read by the policies promise" in " ".join(Terms.__dataclass_fields__["cost"].metadata["help"].split())


def test_what_is_no_head_is_said_without_names_of_formats(folder, tmp_path):
    Map(fit_pca(KNOWN[0]), CARD, DIMS).save(tmp_path / "blind")
    (tmp_path / "empty").mkdir()
    for head in (tmp_path / "blind", tmp_path / "empty", folder / "known"):
        text = refused("fit", folder / "known", "--head", head, "--out", tmp_path / "new")
        assert text == f"{head} is no run, and no map that was fitted by labels; give one, or a head's file"


def test_best_is_of_a_run(folder, mapped, tmp_path):
    for head, what in ((folder / "head", "a head's file"), (folder / "map", "a map, which has one head")):
        text = refused("fit", folder / "known", "--head", head, "--best", "--out", tmp_path / "new")
        assert text == f"--best is of a run, and {head} is {what}; leave it out"


@pytest.mark.parametrize("verb", ["fit", "predict", "evaluate"])
def test_where_nothing_can_be_written_is_said_before_anything_is_read(tmp_path, verb):
    """None of the inputs is there."""
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    more = {"fit": ("--head", "x"), "predict": (), "evaluate": ()}[verb]
    first = () if verb == "fit" else ("nowhere",)
    ending = "" if verb == "fit" else ".jsonl"
    words = (verb, *first, "nowhere", *more)
    outs = [(f"full{ending}", "already exists and is not overwritten; remove it or choose another")] * (verb == "fit")
    outs += [(f"file/x{ending}", f"{tmp_path / 'file'} is no folder; choose another")]
    outs += [(f"new/x{ending}", f"there is no folder {tmp_path / 'new'}; make it, or choose")] * (verb != "fit")
    for name, why in outs:
        assert f"{why}{' another' * why.endswith('choose')} --out" in refused(*words, "--out", tmp_path / name)
        if verb == "evaluate":
            page = tmp_path / name.replace(".jsonl", ".html")
            assert f"{why}{' another' * why.endswith('choose')} --report" in refused(*words, "--report", page)


def test_what_a_page_may_be_called(folder, tmp_path):
    (tmp_path / "there.html").write_text("mine")
    words = ("evaluate", folder / "cascade", folder / "asked")
    for more, why in (
        (("--report", tmp_path / "a.pdf"), "a.pdf; end it in .html, or leave the ending out"),
        (("--report", tmp_path / "a.jsonl"), "a.jsonl; end it in .html, or leave the ending out"),
        (("--report", tmp_path / "there.html"), "is not overwritten; remove it or choose another --report"),
        (
            ("--report", tmp_path / "a.html", "--beside", tmp_path / "none.jsonl"),
            "none.jsonl, which --beside names; give a file that mrl evaluate --out wrote",
        ),
        (("--slices", tmp_path / "none.csv"), "none.csv, which --slices names; give a .csv, .parquet or .jsonl"),
    ):
        assert why in refused(*words, *more), more
    both = tmp_path / "one.jsonl"
    text = refused(*words, "--report", both, "--out", tmp_path / "x" / ".." / "one.jsonl")
    assert text == f"--report and --out are both {both}; give each a path of its own"
    done(*words, "--report", tmp_path / "pages-1.2")
    assert (tmp_path / "pages-1.2" / "report.html").is_file()


def test_slices_follow_the_rows_that_are_left(folder, tmp_path):
    vectors = ASKED[0].copy()
    vectors[[2, 5, 90]] = np.nan
    np.save(tmp_path / "odd.npy", vectors)
    sides = np.where(np.arange(600) % 3 == 0, "left", "right")
    (tmp_path / "sides.csv").write_text("side\n" + "".join(f"{side}\n" for side in sides))
    words = ("--labels", folder / "asked-names.npy", "--slices", tmp_path / "sides.csv", "--json", "--drop-bad", "yes")
    out, _ = done("evaluate", folder / "cascade", tmp_path / "odd.npy", *words)
    kept = np.delete(np.arange(600), [2, 5, 90])
    held = Table.open(folder / "asked")
    some = Held(held.path, held.card, held.vectors[kept], held.ids[kept], held.labels[kept], held.label_names)
    found = measure(Cascade.load(folder / "cascade"), some, {"side": sides[kept].tolist()})
    assert json.loads(out)["slices"] == json.loads(json.dumps(found.to_json()))["slices"]


def test_labels_in_another_order_are_found_by_id(folder, tmp_path):
    order = np.random.default_rng(7).permutation(600)
    rows = "".join(f"{row},{NAMES[ASKED[1][row]]}\n" for row in order)
    (tmp_path / "mixed.csv").write_text(f"id,label\n{rows}")
    out, _ = done("evaluate", folder / "cascade", folder / "asked.npy", "--labels", tmp_path / "mixed.csv")
    named = done("evaluate", folder / "cascade", folder / "asked.npy", "--labels", folder / "asked-names.npy")
    assert out == named[0]


# ------------------------------------------------------------------------------------------------ words


def test_a_broken_promise_is_said(folder, tmp_path):
    made = Cascade.load(folder / "cascade")
    replace(made, thresholds=(0.0, 0.0, 0.0)).save(tmp_path / "hasty c")
    words = (tmp_path / "hasty c", folder / "asked.npy", "--labels", folder / "asked-names.npy")
    _, said = done("evaluate", *words, "--report", tmp_path / "page.html")
    found = measure(Cascade.load(tmp_path / "hasty c"), Table.open(folder / "asked"))
    lost = f"{100 * found.lost.mean:.2f} points are lost here, more than the 5 promised and, with 95 % confidence, not"
    command = f"mrl recheck '{tmp_path / 'hasty c'}' {folder / 'asked.npy'} --labels {folder / 'asked-names.npy'}"
    assert f"{lost} by chance: the promise is broken for rows like these; {command} tests it.\n" in said
    assert lost in (tmp_path / "page.html").read_text(encoding="utf-8").replace("\u00a0", " ")
    assert "points are lost here" not in done("evaluate", folder / "cascade", folder / "asked")[1]


def test_what_takes_long_is_told_without_a_terminal(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("mrl.cli.classify_stages.Timer", AtOnce)
    words = ("--head", folder / "head", "--tolerance", 0.05, "--out", tmp_path / "c")
    lines = done("fit", folder / "known", *words)[1].splitlines()
    told = [line for line in lines if line.endswith(" …")]
    assert told[0] == "reading …"
    assert len({*told}) == len(told) > 2
    assert done("predict", folder / "cascade", folder / "asked")[1].startswith("classifying 600 rows …\n")


class AtOnce:
    """A timer whose time is up as soon as it starts."""

    def __init__(self, seconds, do, words):
        assert seconds == 5
        self.daemon, self._do, self._words = False, do, words

    def start(self):
        self._do(*self._words)

    def cancel(self):
        pass


def test_one_row_is_one_row(folder, tmp_path):
    np.save(tmp_path / "one.npy", ASKED[0][:1])
    assert "\n1 row: the last dim used" in f"\n{done('predict', folder / 'cascade', tmp_path / 'one.npy')[1]}"


def test_ids_and_labels_of_any_text_are_json(folder, tmp_path):
    names = ('"quoted"', "tab\t", "ü", "\u2028", "é\\")
    head_of(classes=names, fingerprint=CARD.fingerprint).save(tmp_path / "head")
    Cascade(HeadWeights.load(tmp_path / "head"), CARD, DIMS, thresholds=(0.5,) * 3).save(tmp_path / "c")
    with Table.create(tmp_path / "rows", CARD) as rows:
        rows.add(ASKED[0][:50], ids=np.array([f'{number} "{names[number % 5]}' for number in range(50)]))
    out, _ = done("predict", tmp_path / "c", tmp_path / "rows")
    wanted = Cascade.load(tmp_path / "c").predict(ASKED[0][:50])
    columns = (wanted.names.tolist(), wanted.last.tolist(), wanted.confidence.tolist())
    assert out.split("\n")[:-1] == [
        json.dumps({"id": f'{number} "{names[number % 5]}', "label": name, "dim": dim, "confidence": round(sure, 6)})
        for number, (name, dim, sure) in enumerate(zip(*columns, strict=True))
    ]


# ------------------------------------------------------------------------------------------------ more refusals


def test_what_cannot_be_predicted_or_measured(folder, tmp_path):
    vectors, labels = ASKED
    bad = vectors.copy()
    bad[5, 2] = np.inf
    np.save(tmp_path / "bad.npy", bad)
    np.save(tmp_path / "narrow.npy", vectors[:, :8])
    np.save(tmp_path / "none.npy", vectors[:0])
    table(tmp_path / "strangers", vectors, labels, Card("other", WIDTH, DIMS, "l2", fingerprint="e" * 8))
    (tmp_path / "there.jsonl").write_text("mine")
    (tmp_path / "few.csv").write_text("s\na\nb\n")
    (tmp_path / "kinds.csv").write_text("class,superclass\nelk,big\n")
    (tmp_path / "twice.csv").write_text("class,superclass\nelk,big\nelk,small\n")
    cascade, asked, nan = folder / "cascade", folder / "asked", "row 5 has a NaN or an Inf (1 in all are such)"
    known = folder / "known"
    for words, why in (
        (("predict", known, asked), "known is no cascade; give the folder that mrl classify fit made"),
        (("predict", tmp_path / "nowhere", asked), "nowhere is no cascade; give the folder that mrl classify fit"),
        (("predict", cascade, tmp_path / "bad.npy"), nan),
        (("predict", cascade, tmp_path / "none.npy"), "none.npy has no rows; give vectors"),
        (("predict", cascade, tmp_path / "narrow.npy"), "do not belong together: width is 8, and it was fitted for 16"),
        (("predict", cascade, tmp_path / "strangers"), "do not belong together: fingerprint is 'eeeeeeee'"),
        (
            ("predict", cascade, asked, "--out", tmp_path / "a.csv"),
            "answers are written as .jsonl or .parquet, got .csv",
        ),
        (("predict", cascade, asked, "--out", tmp_path / "there.jsonl"), "there.jsonl"),
        (
            ("evaluate", cascade, f"{asked}.npy"),
            "asked.npy has no labels, and a cascade is measured by labels; give them",
        ),
        (("evaluate", cascade, known), "was fitted on all 2,000 rows of"),
        (("evaluate", cascade, asked, "--beside", tmp_path / "r"), "is for the page, and there is none; give --report"),
        (("evaluate", cascade, asked, "--json", "--out", tmp_path / "r.jsonl"), "--json prints everything, and --out"),
        (("evaluate", cascade, asked, "--out", tmp_path / "r.txt"), "rows are written as .jsonl or .parquet, got .txt"),
        (("evaluate", cascade, asked, "--report", tmp_path / "there.jsonl"), "there.jsonl"),
        (("evaluate", cascade, asked, "--slices", tmp_path / "few.csv"), "few.csv has 2 rows and"),
        (("evaluate", cascade, asked, "--slices", asked), "slices are read from .parquet, .csv, .jsonl, got"),
        (("evaluate", cascade, asked, "--superclasses", tmp_path / "few.csv"), "few.csv has no column class; it has s"),
        (
            ("evaluate", cascade, asked, "--superclasses", tmp_path / "kinds.csv"),
            "no superclass for class 'ant' (4 such",
        ),
        (("evaluate", cascade, asked, "--superclasses", tmp_path / "twice.csv"), "class 'elk' occurs twice in"),
    ):
        assert why in refused(*words), words
    assert (tmp_path / "there.jsonl").read_text() == "mine"
