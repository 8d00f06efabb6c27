from dataclasses import replace

import numpy as np
import pytest
import torch

from mrl.encoders import load
from mrl.errors import DivergedError, ExistsError, InputError
from mrl.nesting import Nesting
from mrl.training import Run, TrainSpec, from_arrays, train
from mrl.training.material import Pictures
from mrl.training.model import Model
from mrl.training.optimise import Rates, number_format, optimiser, threads_for
from mrl.training.team import Team
from training.pictures import TINY, stripes, tiny

LONG = TrainSpec(Nesting((2, 4)), epochs=12, batch_size=16, lr=0.01, precision="float32")


def test_training_learns_at_every_dim(tmp_path):
    run = train(LONG, tiny(96), tmp_path / "run", validation=tiny(96, seed=1), quiet=True)
    last = run.log[-1]
    assert min(last["validation"].values()) > 0.9
    assert all(last["loss"][dim] < run.log[1]["loss"][dim] for dim in ("2", "4"))
    logits = run.head.logits(run.encoder.encode(tiny(96, seed=1).images, raw=True), 4)
    assert (logits.argmax(1) == tiny(96, seed=1).labels).mean() == pytest.approx(last["validation"]["4"])


@pytest.mark.parametrize(
    ("head", "dims", "tied"), [("mrl", (2, 4), False), ("mrl-e", (2, 4), True), ("ff", (4,), False)]
)
def test_every_kind_of_head(tmp_path, head, dims, tied):
    run = train(TrainSpec(Nesting(dims), head, epochs=1), tiny(), tmp_path / "run", quiet=True)
    assert (run.head.tied, run.head.nesting.dims, run.head.classes) == (tied, dims, ("fine", "middle", "wide"))
    assert run.encoder.encode(tiny().images, dims[0]).shape == (48, dims[0])


def test_vectors_may_be_wider_than_the_widest_dim(tmp_path):
    run = train(TrainSpec(Nesting((2, 4)), width=6, epochs=1), tiny(), tmp_path / "run", quiet=True)
    assert run.card.width == 6
    assert run.encoder.encode(tiny().images).shape == (48, 6)


def test_the_seed_decides_everything_and_global_random_numbers_nothing(tmp_path):
    prints = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.manual_seed(len(prints))
        before = torch.random.get_rng_state()
        spec = TrainSpec(Nesting((2, 4)), epochs=1, seed=seed, precision="float32")
        prints.append(train(spec, tiny(), tmp_path / name, quiet=True).card.fingerprint)
        assert (torch.random.get_rng_state() == before).all()
    assert prints[0] == prints[1] != prints[2]


def test_the_log_has_every_level(tmp_path):
    run = train(TINY, tiny(), tmp_path / "run", validation=tiny(seed=1), quiet=True)
    assert [line["event"] for line in run.log] == ["start", "step", "epoch", "step", "epoch"]
    for line in run.log[1:]:
        assert set(line["loss"]) == set(line["accuracy"]) == {"2", "4"}
        assert {"epoch", "lr", "seconds", "rows_per_second"} <= set(line)
    assert set(run.log[2]["validation"]) == {"2", "4"}


def test_what_it_says_goes_to_stderr(tmp_path, capsys):
    train(TINY, tiny(), tmp_path / "run", validation=tiny(seed=1))
    said = capsys.readouterr()
    assert said.out == ""
    assert "epoch 2/2" in said.err
    assert "validation accuracy 2:" in said.err


def test_a_plain_dataset_trains_as_arrays_do(tmp_path):
    images, labels = stripes(48)

    class Plain:
        def __len__(self):
            return 48

        def __getitem__(self, index):
            return images[index][..., None], int(labels[index])

    plain = train(TINY, Plain(), tmp_path / "plain", quiet=True)
    assert plain.classes == ("0", "1", "2")
    assert plain.card.fingerprint == train(TINY, tiny(), tmp_path / "arrays", quiet=True).card.fingerprint


def test_validation_labels_go_by_name(tmp_path):
    images, labels = stripes(96, seed=1)
    turned = from_arrays(images, 2 - labels, ("wide", "middle", "fine"))
    run = train(LONG, tiny(96), tmp_path / "run", validation=turned, quiet=True)
    assert run.log[-1]["validation"]["4"] > 0.9


def test_validation_data_that_do_not_fit(tmp_path):
    small = from_arrays(stripes(6)[0][:, :6], stripes(6)[1])
    for validation, rule in (
        (small, r"validation images are \(6, 8, 1\), training images \(8, 8, 1\)"),
        (from_arrays(stripes(6)[0], None), "these data have no labels"),
        (tiny(0), "validation data are empty"),
    ):
        with pytest.raises(InputError, match=rule):
            train(TINY, tiny(), tmp_path / "run", validation=validation, quiet=True)
    assert not (tmp_path / "run").exists()


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine").touch()
    with pytest.raises(ExistsError, match="already exists and is not overwritten"):
        train(TINY, tiny(), tmp_path / "run", quiet=True)


def test_a_loss_that_is_not_finite_stops_and_leaves_the_epoch_before(tmp_path):
    spec = TrainSpec(Nesting((2, 4)), epochs=5, batch_size=16, lr=1e30, precision="float32")
    rule = (
        r"the loss at dim 2 was no longer finite in epoch 1, step \d+; .* Lower lr \(now 1e\+30\) or set clip. "
        r".*the state before, at epoch 0"
    )
    with pytest.raises(DivergedError, match=rule):
        train(spec, tiny(), tmp_path / "run", quiet=True)
    run = Run.open(tmp_path / "run")
    assert run.epoch == 0
    assert np.isfinite(run.encoder.encode(tiny().images)).all()


def test_weights_that_are_not_finite_are_not_committed(tmp_path):
    spec = TrainSpec(Nesting((2, 4)), epochs=2, batch_size=48, lr=3e38, warmup=0.0, precision="float32")
    with pytest.raises(DivergedError, match="weights were no longer finite at the end of epoch 1"):
        train(spec, tiny(), tmp_path / "run", quiet=True)
    assert np.isfinite(load(tmp_path / "run").encode(tiny().images)).all()


def test_fewer_images_than_a_batch_and_an_odd_last_batch(tmp_path):
    for n in (3, 17):
        run = train(TINY, tiny(n), tmp_path / str(n), quiet=True)
        assert run.epoch == 2


def test_clipping_bounds_the_gradient(tmp_path):
    spec = TrainSpec(Nesting((2, 4)), epochs=1, clip=1e-3, precision="float32")
    assert train(spec, tiny(), tmp_path / "run", quiet=True).epoch == 1


def test_bf16_and_float32_agree_on_the_loss():
    images, labels = torch.from_numpy(tiny().images), torch.from_numpy(tiny().labels)
    losses = []
    for precision in ("float32", "bf16"):
        spec = TrainSpec(Nesting((2, 4)), precision=precision)
        losses.append(Model.new(spec, Pictures(spec, tiny()), Team("cpu")).loss(images, labels).total.item())
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


def test_the_number_format_is_what_was_asked_for():
    cpu = torch.device("cpu")
    assert number_format("float32", cpu) == torch.float32
    assert number_format("bf16", cpu) == torch.bfloat16
    assert number_format("auto", cpu) in (torch.float32, torch.bfloat16)


def test_norms_and_biases_do_not_decay():
    model = Model.new(TINY, Pictures(TINY, tiny()), Team("cpu"))
    decayed, spared = optimiser(model.trained(), TINY).param_groups
    assert (decayed["weight_decay"], spared["weight_decay"]) == (TINY.weight_decay, 0.0)
    assert all(p.ndim > 1 for p in decayed["params"])
    assert all(p.ndim == 1 for p in spared["params"])
    assert len(decayed["params"]) + len(spared["params"]) == len(model.parameters())


@pytest.mark.parametrize("schedule", ["cosine", "linear", "one-cycle", "constant"])
def test_the_rate_rises_and_falls(schedule):
    rates = Rates(TrainSpec(Nesting((2,)), lr=2.0, warmup=0.2, schedule=schedule), 100)
    found = np.array([rates.lr(step) for step in range(100)])
    assert found.max() == found[20] == 2.0
    assert np.all(np.diff(found[:20]) > 0)
    if schedule == "constant":
        assert (found[20:] == 2.0).all()
    else:
        assert np.all(np.diff(found[20:]) < 0)
        assert found[-1] < 0.03


def test_one_cycle_is_that_of_torch():
    weights = [torch.zeros(1, requires_grad=True)]
    theirs = torch.optim.SGD(weights, lr=2.0, momentum=0.95)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        theirs, 2.0, total_steps=101, pct_start=0.21, final_div_factor=10_000
    )
    ours = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=2.0)
    rates = Rates(TrainSpec(Nesting((2,)), lr=2.0, momentum=0.95, warmup=0.2, schedule="one-cycle"), 100)
    for step in range(100):
        rates.apply(ours, step)
        for name in ("lr", "momentum"):
            assert ours.param_groups[0][name] == pytest.approx(theirs.param_groups[0][name], rel=0.03), (step, name)
        theirs.step()
        schedule.step()


@pytest.mark.parametrize("name", ["adamw", "sgd", "adafactor"])
def test_every_optimiser_learns(tmp_path, name):
    rate = {"adamw": 0.01, "sgd": 0.02, "adafactor": 0.05}[name]
    spec = replace(LONG, optimizer=name, lr=rate, epochs=8)
    run = train(spec, tiny(96), tmp_path / "run", validation=tiny(96, seed=1), quiet=True)
    assert run.log[-1]["validation"]["4"] > 0.8


def test_small_work_gets_few_threads_and_the_setting_comes_back():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    with threads_for(1) as few, threads_for(1 << 40) as still_few:
        assert (few, still_few) == (1, 1)
    with threads_for(1 << 40) as all_of_them:
        assert all_of_them == 4
    assert torch.get_num_threads() == 4
    torch.set_num_threads(before)
