import re
import subprocess
import sys

import numpy as np
import pytest

from adapt.made_maps import made, rows
from mrl.adapt.exporting import EXPORTS, ExportSpec, export_map, linear_matrix
from mrl.errors import ExistsError, InputError, MissingError, NestingError
from mrl.nesting import Nesting, metric_prefix

faiss = pytest.importorskip("faiss")

# ------------------------------------------------------------------------------------------------- the door


def test_what_cannot_be_exported_is_refused(tmp_path):
    turn = made("linear")
    for call, said in [
        (lambda: export_map(turn, "tflite", tmp_path / "a"), "unknown export 'tflite'; known are onnx, sentence-trans"),
        (
            lambda: export_map(turn, "sql", tmp_path / "a", ExportSpec(model="m")),
            "a map is appended to a model for sentence-transformers only, not for sql; leave model out",
        ),
        (lambda: ExportSpec(metric="hamming"), "unknown metric 'hamming'; known are cosine, dot, l2"),
        (lambda: export_map(turn, "sentence-transformers", tmp_path / "a"), "give the model whose vectors it maps"),
    ]:
        with pytest.raises(InputError, match=re.escape(said)):
            call()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("to", EXPORTS)
@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"dim": 25}, "cannot cut 25 dims from the map"),
        ({"dim": 0}, "1 ≤ dim ≤ 24"),
        ({"nesting": Nesting((8, 32))}, "dims 8,32 need vectors of at least 32 dims, got 24"),
        ({"nesting": Nesting((8, 24)), "dim": 4}, "dim 4 cannot be read: this embedding was trained at 8,24"),
    ],
)
def test_dims_that_the_map_does_not_have_are_refused(to, spec, said, tmp_path):
    model = {"model": tmp_path} if to == "sentence-transformers" else {}
    with pytest.raises(NestingError, match=re.escape(said)):
        export_map(made("linear"), to, tmp_path / "out", ExportSpec(**spec, **model))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("to", EXPORTS)
def test_nothing_is_overwritten(to, tmp_path):
    (tmp_path / "out").write_text("mine")
    model = {"model": tmp_path} if to == "sentence-transformers" else {}
    with pytest.raises(ExistsError, match="out already exists and is not overwritten"):
        export_map(made("linear"), to, tmp_path / "out", ExportSpec(**model))
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.parametrize("to", ["faiss", "sql"])
def test_a_hidden_layer_is_refused_where_there_is_none(to, tmp_path):
    said = r"has a hidden layer, which .* cannot express; export it to onnx or sentence-transformers, or fit a linear"
    with pytest.raises(InputError, match=said):
        export_map(made("residual"), to, tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("onnx", "an ONNX model needs onnx: pip install 'mrl[onnx]'"),
        ("faiss", "a FAISS transform needs faiss: pip install 'mrl[search]'"),
    ],
)
def test_a_program_that_is_absent_is_named(to, said, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, to, None)
    with pytest.raises(MissingError, match=re.escape(said)):
        export_map(made("linear"), to, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_the_dims_that_an_image_still_has():
    spec = ExportSpec(nesting=Nesting((4, 8, 16)), dim=8)
    assert (spec.cut(made("linear")), spec.dims(made("linear"))) == (8, (4, 8))
    assert ExportSpec().dims(made("linear")) == ()


def test_the_module_brings_in_none_of_the_programs():
    code = "import sys, mrl.adapt.exporting as e\nprint({'onnx', 'faiss', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# ------------------------------------------------------------------------------------------------- FAISS


@pytest.mark.parametrize(("form", "out", "dim"), [("rotation", 24, None), ("linear", 30, 7), ("linear", 1, None)])
def test_the_transform_is_the_map(form, out, dim, tmp_path):
    turn, x = made(form, out=out), rows(40)
    path = export_map(turn, "faiss", tmp_path / "map.faiss", ExportSpec("dot", dim=dim))
    transform = faiss.read_VectorTransform(str(path))
    want = turn.apply(x)[:, :dim]
    assert (transform.d_in, transform.d_out, transform.have_bias) == (24, dim or out, False)
    np.testing.assert_allclose(transform.apply(x), want, atol=1e-5 * np.abs(want).max())
    np.testing.assert_array_equal(linear_matrix(turn, dim or out, "FAISS"), turn.matrix[:, :dim].astype(np.float32))


def test_a_rotation_is_turned_back_by_it(tmp_path):
    x = rows(40)
    path = export_map(made("rotation"), "faiss", tmp_path / "map.faiss")
    transform = faiss.read_VectorTransform(str(path))
    np.testing.assert_allclose(transform.reverse_transform(transform.apply(x)), x, atol=1e-5 * np.abs(x).max())


@pytest.mark.parametrize("metric", ["dot", "cosine"])
def test_an_index_behind_the_transform_finds_what_the_map_finds(metric, tmp_path):
    turn, x, q = made("linear"), rows(200)[:-1], rows(20, seed=2)[:-1]
    path = export_map(turn, "faiss", tmp_path / "map.faiss", ExportSpec(metric, dim=8))
    index = faiss.IndexPreTransform(faiss.IndexFlatIP(8))
    if metric == "cosine":
        index.prepend_transform(faiss.NormalizationTransform(8))
    index.prepend_transform(faiss.read_VectorTransform(str(path)))
    index.add(x)
    scores, ids = index.search(q, 5)
    a, b = (metric_prefix(turn.apply(each).astype(np.float64), 8, metric) for each in (x, q))
    want = -np.sort(-(b @ a.T))[:, :5]
    np.testing.assert_allclose(scores, want, rtol=1e-4)
    np.testing.assert_allclose(np.take_along_axis(b @ a.T, ids, 1), want, rtol=1e-4)
