import numpy as np
import pytest

from adapt.made_maps import made, rows
from mrl.adapt.exporting import ExportSpec, export_map
from mrl.nesting import Nesting, metric_prefix

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")

MAPS = {
    "rotation": made("rotation"),
    "linear": made("linear", out=40),
    "narrow": made("linear", out=1),
    "residual": made("residual"),
    "residual, not unit": made("residual", out=12, unit=False),
}


def opened(turn, path, **spec):
    return runtime.InferenceSession(export_map(turn, "onnx", path / "map.onnx", ExportSpec(**spec)))


def same(got, turn, x, dim, metric):
    """What the map gives, within 1e-5 of the length of each row's whole image; or of 1, where it is rescaled."""
    images = turn.apply(x)
    want = metric_prefix(images, dim, metric)
    assert got.dtype == np.float32
    assert got.shape == want.shape
    length = 1 if metric == "cosine" else np.linalg.norm(images.astype(np.float64), axis=1, keepdims=True)
    assert (np.abs(got - want) <= 1e-5 * length).all()


@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
@pytest.mark.parametrize("name", MAPS)
def test_the_model_gives_the_map_s_images(name, metric, tmp_path):
    turn, x = MAPS[name], rows(50)
    for number, dim in enumerate({None, 1, turn.out // 2 or 1, turn.out}):
        (tmp_path / str(number)).mkdir()
        model = opened(turn, tmp_path / str(number), metric=metric, dim=dim)
        (got,) = model.run(["embedding"], {"vectors": x})
        same(got, turn, x, dim or turn.out, metric)
        assert [each.name for each in model.get_inputs()] == ["vectors"]


@pytest.mark.parametrize("metric", ["cosine", "dot"])
@pytest.mark.parametrize("name", MAPS)
def test_the_dim_may_be_chosen_when_it_runs(name, metric, tmp_path):
    turn, x = MAPS[name], rows(9)
    model = opened(turn, tmp_path, metric=metric)
    for asked, dim in [(1, 1), (turn.out // 2 or 1, turn.out // 2 or 1), (turn.out, turn.out), (99, turn.out), (-3, 1)]:
        (got,) = model.run(None, {"vectors": x, "dim": np.array([asked])})
        same(got, turn, x, dim, metric)


@pytest.mark.parametrize("name", MAPS)
def test_odd_rows(name, tmp_path):
    """No rows, tiny and huge ones, zeros, and those that are not finite, which spoil no other."""
    turn, x = MAPS[name], rows(6)
    x[0] *= 1e-24
    x[1] *= 1e24
    x[2, 3], x[3, 0] = np.nan, np.inf
    model = opened(turn, tmp_path)
    (got,) = model.run(None, {"vectors": x})
    fine = [0, 1, 4, 5]
    same(got[fine], turn, x[fine], turn.out, "cosine")
    assert np.isnan(got[[2, 3]]).all()
    (none,) = model.run(None, {"vectors": x[:0]})
    assert none.shape == (0, turn.out)


def test_the_model_says_what_it_is(tmp_path):
    turn = MAPS["residual"]
    path = export_map(turn, "onnx", tmp_path / "m", ExportSpec("l2", Nesting((4, 8, 24)), 8))
    model = onnx.load(path)
    about = {each.key: each.value for each in model.metadata_props}
    assert about == {"map": "residual", "fingerprint": turn.fingerprint, "dims": "4,8", "metric": "l2"}
    assert (model.ir_version, model.opset_import[0].version) == (8, 17)
    shapes = [[d.dim_param or d.dim_value for d in each.type.tensor_type.shape.dim] for each in model.graph.output]
    assert shapes == [["n", 8]]
