import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import oracles
from mrl.disk import Folder
from mrl.errors import DamagedError, InputError, NestingError, StorageError
from mrl.heads import HeadWeights
from mrl.nesting import Nesting

NESTING = Nesting((2, 4, 7))
CLASSES = ("cat", "dog", "café", "猫", "")
both = pytest.mark.parametrize("tied", [False, True], ids=["separate", "tied"])
with_bias = pytest.mark.parametrize("bias", [False, True], ids=["no bias", "bias"])


def made(tied, bias=True, dtype=np.float32, nesting=NESTING, seed=0):
    draws = np.random.default_rng(seed)
    dims = nesting.dims[-1:] if tied else nesting.dims
    weights = tuple(draws.standard_normal((5, dim)).astype(dtype) for dim in dims)
    biases = tuple(draws.standard_normal(5).astype(dtype) for _ in dims) if bias else ()
    return HeadWeights(nesting, tied, weights, biases, CLASSES)


def check_same(got, want):
    assert (got.nesting, got.tied, got.classes) == (want.nesting, want.tied, want.classes)
    for mine, theirs in ((got.weights, want.weights), (got.biases, want.biases)):
        assert len(mine) == len(theirs)
        for a, b in zip(mine, theirs, strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)


# --------------------------------------------------------------------------------------------- logits


@both
@with_bias
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_logits_are_those_of_the_slow_twin(tied, bias, dtype):
    head, x = made(tied, bias, dtype), np.random.default_rng(1).standard_normal((6, 9)).astype(dtype)
    for dim in range(2, 8):
        if head.serves(dim):
            level = 0 if tied else NESTING.dims.index(dim)
            want = oracles.logits(x, head.weights[level][:, :dim], head.biases[level] if bias else None)
            got = head.logits(x, dim)
            assert got.dtype == dtype
            np.testing.assert_allclose(got, want, atol=50 * np.finfo(dtype).eps)


@both
def test_logits_keep_the_axes_before_the_last(tied):
    head, x = made(tied), np.random.default_rng(1).standard_normal((2, 3, 7)).astype(np.float32)
    assert head.logits(x, 4).shape == (2, 3, 5)
    np.testing.assert_allclose(head.logits(x, 4)[1, 2], head.logits(x[1, 2], 4), rtol=1e-5)


@given(st.sets(st.integers(1, 40), min_size=1, max_size=5), st.booleans(), st.integers(0, 45))
def test_what_a_head_serves_is_what_it_gives(dims, tied, dim):
    head = made(tied, nesting=Nesting(tuple(sorted(dims))))
    want = min(dims) <= dim <= max(dims) if tied else dim in dims
    assert head.serves(dim) == want
    if want:
        weight, bias = head.at(dim)
        assert (weight.shape, bias.shape, head.count) == ((5, dim), (5,), 5)
    else:
        said = f"this head was trained at {head.nesting} and has no weights for dim {dim}; take one of these dims, or"
        with pytest.raises(NestingError, match=said):
            head.at(dim)
        with pytest.raises(NestingError, match=said):
            head.logits(np.ones((1, 60)), dim)


def test_a_head_without_biases_gives_none():
    assert made(tied=True, bias=False).at(3)[1] is None


def test_vectors_narrower_than_the_dim_are_refused():
    with pytest.raises(NestingError, match=r"cannot cut 4 dims from vectors of shape \(1, 3\); 1 ≤ dim ≤ 3"):
        made(tied=False).logits(np.ones((1, 3)), 4)


# --------------------------------------------------------------------------------------------- some classes


@both
@with_bias
@given(rows=st.permutations(range(5)), count=st.integers(1, 5))
def test_a_head_of_some_classes_gives_their_logits(tied, bias, rows, count):
    head, x = made(tied, bias), np.random.default_rng(1).standard_normal((3, 7)).astype(np.float32)
    some = [CLASSES[row] for row in rows[:count]]
    part = head.only(some)
    assert (part.classes, part.count, part.nesting, part.tied) == (tuple(some), count, NESTING, tied)
    for dim in NESTING.dims:
        np.testing.assert_allclose(part.logits(x, dim), head.logits(x, dim)[:, rows[:count]], rtol=1e-5, atol=1e-6)


def test_a_head_of_all_classes_is_the_head():
    check_same(made(tied=False).only(CLASSES), made(tied=False))


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        (("cat", "eel", "ant"), "this head has no classes 'eel', 'ant' among its 5 named ones; give names of its own"),
        ((), "a head needs at least one class and each once, got none"),
        (("cat", "dog", "cat"), "a head needs at least one class and each once, got cat, dog, cat"),
    ],
)
def test_classes_that_a_head_cannot_be_cut_to(classes, said):
    with pytest.raises(InputError, match=re.escape(said)):
        made(tied=True).only(classes)


# --------------------------------------------------------------------------------------------- refusals


def weights(*shapes):
    return tuple(np.zeros(shape, np.float32) for shape in shapes)


@pytest.mark.parametrize(
    ("tied", "shapes"),
    [(False, [(5, 2), (5, 4)]), (False, [(5, 2), (5, 4), (4, 7)]), (False, [(5, 2), (5, 7), (5, 4)]), (False, []),
     (False, [(2, 5), (4, 5), (7, 5)]), (True, [(5, 2), (5, 4), (5, 7)]), (True, [(5, 4)]), (True, []),
     (True, [(7,)])],
)  # fmt: skip
def test_weights_that_do_not_fit_the_nesting_are_refused(tied, shapes):
    what = "a tied head" if tied else "separate heads"
    want = "[('classes', 7)]" if tied else "[('classes', 2), ('classes', 4), ('classes', 7)]"
    said = f"{what} at dims 2,4,7 need weights {want}, got {shapes}"
    with pytest.raises(NestingError, match=re.escape(said)):
        HeadWeights(NESTING, tied, weights(*shapes))


def test_biases_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match=re.escape("biases must be 1 arrays of shape (5,), got [(4,)]")):
        HeadWeights(NESTING, True, weights((5, 7)), weights((4,)))
    with pytest.raises(InputError, match=re.escape("biases must be 3 arrays of shape (5,), got [(5,)]")):
        HeadWeights(NESTING, False, weights((5, 2), (5, 4), (5, 7)), weights((5,)))


def test_class_names_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="2 class names for 5 classes"):
        HeadWeights(NESTING, True, weights((5, 7)), (), ("cat", "dog"))


# --------------------------------------------------------------------------------------------- files


@both
@with_bias
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_head_is_read_as_it_was_saved(tmp_path, tied, bias, dtype):
    head = made(tied, bias, dtype)
    head.save(tmp_path / "head.safetensors")
    check_same(HeadWeights.load(str(tmp_path / "head.safetensors")), head)


def test_a_head_of_more_than_ten_levels_keeps_their_order(tmp_path):
    head = made(tied=False, nesting=Nesting(tuple(range(1, 14))))
    head.save(tmp_path / "head")
    check_same(HeadWeights.load(tmp_path / "head"), head)


def test_the_newest_head_of_a_run_is_read(tmp_path):
    run = Folder.create(tmp_path / "run", "mrl-run")
    for epoch in (1, 2):
        head = made(tied=False, seed=epoch)
        name = f"head-{epoch:04d}.safetensors"
        run.commit({name: head.sealed()}, {"head": name}, keep=lambda _: False)
        check_same(HeadWeights.load(run.path), head)
    raw = (run.path / name).read_bytes()
    (run.path / name).write_bytes(oracles.flipped(raw, len(raw) // 2, 3))
    with pytest.raises(DamagedError, match=r"head-0002.safetensors is damaged"):
        HeadWeights.load(run.path)


def test_a_flipped_byte_is_noticed(tmp_path):
    made(tied=True).save(tmp_path / "head")
    raw = (tmp_path / "head").read_bytes()
    for position in range(len(raw)):
        (tmp_path / "head").write_bytes(oracles.flipped(raw, position, position % 8))
        with pytest.raises(DamagedError, match=r"/head is damaged"):
            HeadWeights.load(tmp_path / "head")


def test_what_holds_no_head_is_refused(tmp_path):
    Folder.create(tmp_path / "table", "mrl-table").commit({}, {}, keep=lambda _: True)
    with pytest.raises(InputError, match=r"manifest.json holds 'mrl-table', not 'mrl-run'"):
        HeadWeights.load(tmp_path / "table")
    with pytest.raises(
        InputError, match=r"manifest.json holds 'mrl-table', not 'mrl-head'; give the path of a mrl-head"
    ):
        HeadWeights.load(tmp_path / "table" / "manifest.json")
    with pytest.raises(StorageError, match=r"cannot read .*nothing: No such file"):
        HeadWeights.load(tmp_path / "nothing")


# --------------------------------------------------------------------------------------------- the paper's own code


class ReferenceLayer(torch.nn.Module):
    """The layer of the paper's code, by its names: one linear layer a dim, or one of full width that is cut."""

    def __init__(self, dims, classes, efficient, bias):
        super().__init__()
        self.dims, self.efficient = dims, efficient
        for i, dim in enumerate(dims[-1:] if efficient else dims):
            setattr(self, f"nesting_classifier_{i}", torch.nn.Linear(dim, classes, bias=bias))

    def forward(self, x):
        if not self.efficient:
            return [getattr(self, f"nesting_classifier_{i}")(x[:, :dim]) for i, dim in enumerate(self.dims)]
        weight, bias = self.nesting_classifier_0.weight, self.nesting_classifier_0.bias
        cut = [x[:, :dim] @ weight[:, :dim].T for dim in self.dims]
        return cut if bias is None else [logits + bias for logits in cut]


@pytest.mark.parametrize("prefix", ["", "fc.", "module.fc."])
@with_bias
@both
def test_the_layer_of_the_papers_code_is_read(tmp_path, tied, bias, prefix):
    torch.manual_seed(0)
    layer, x = ReferenceLayer(NESTING.dims, 5, tied, bias), torch.randn(6, 9)
    state = {f"{prefix}{name}": tensor for name, tensor in layer.state_dict().items()}
    state[f"{prefix.removesuffix('fc.')}conv1.weight"] = torch.zeros(3, 3, 7, 7)
    head = HeadWeights.from_reference(state, NESTING if tied else None)
    head.save(tmp_path / "head")
    head = HeadWeights.load(tmp_path / "head")
    assert (head.tied, head.nesting, head.count, len(head.biases)) == (tied, NESTING, 5, bias * (1 if tied else 3))
    with torch.no_grad():
        for dim, want in zip(NESTING.dims, layer(x), strict=True):
            np.testing.assert_allclose(head.logits(x.numpy(), dim), want.numpy(), rtol=1e-5, atol=1e-6)


def test_the_ladder_of_the_paper_keeps_its_order():
    dims = Nesting.parse("8..2048").dims
    state = {f"nesting_classifier_{i}.weight": np.full((2, dim), i) for i, dim in enumerate(dims)}
    head = HeadWeights.from_reference(dict(sorted(state.items(), reverse=True)))
    assert head.nesting.dims == dims
    assert [weight[0, 0] for weight in head.weights] == list(range(9))


def test_one_classifier_under_one_dim_is_not_tied():
    head = HeadWeights.from_reference({"nesting_classifier_0.weight": np.ones((3, 4))}, Nesting((4,)))
    assert not head.tied


def test_one_classifier_does_not_tell_its_dims():
    said = "one classifier of width 8: is it MRL-E? name its dims, as in nesting=8..8"
    with pytest.raises(NestingError, match=re.escape(said)):
        HeadWeights.from_reference({"nesting_classifier_0.weight": np.ones((3, 8))})


@pytest.mark.parametrize(
    ("state", "nesting", "said"),
    [({}, None, "no nesting_classifier_0.weight, nesting_classifier_1.weight … in []; give the state dict of"),
     ({"classifier.weight": (3, 4)}, None, "in ['classifier.weight']; give the state dict"),
     ({"nesting_classifier_1.weight": (3, 4)}, None, "no nesting_classifier_0.weight"),
     ({"nesting_classifier_0.weight": (3, 2), "nesting_classifier_2.weight": (3, 4)}, None, "no nesting_classifier_0"),
     ({"xnesting_classifier_0.weight": (3, 2)}, None, "no nesting_classifier_0.weight"),
     ({"nesting_classifier_0.weight": (3, 4), "nesting_classifier_1.weight": (3, 2)}, None, "strictly increasing"),
     ({"nesting_classifier_0.weight": (3, 2), "nesting_classifier_1.weight": (4, 4)}, None, "need weights"),
     ({"nesting_classifier_0.weight": (3, 8)}, Nesting((2, 4)), "a tied head at dims 2,4 need weights"),
     ({"nesting_classifier_0.weight": (3, 2), "nesting_classifier_1.weight": (3, 4)}, Nesting((2, 8)), "need weights"),
     ({"nesting_classifier_0.weight": (3, 2), "nesting_classifier_1.weight": (3, 4),
       "nesting_classifier_1.bias": (3,)}, None, "biases must be 2 arrays of shape (3,), got [(3,)]")],
)  # fmt: skip
def test_a_state_that_is_no_nested_head_is_refused(state, nesting, said):
    with pytest.raises(InputError, match=re.escape(said)):
        HeadWeights.from_reference({name: np.ones(shape) for name, shape in state.items()}, nesting)
