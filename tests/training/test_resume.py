"""A run that was killed and taken up again ends in the weights of one that was not, bit for bit."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from mrl.disk import LOCK, read_tensors
from mrl.encoders.spec import EncoderSpec
from mrl.errors import InputError, StorageError
from mrl.nesting import Nesting
from mrl.training import Run, from_arrays, train
from mrl.training.run import RunWriter, begun
from mrl.training.spec import Checkpoints
from mrl.training.state import restore, saved
from training import resumer
from training.pictures import TINY, tiny


class Killer:
    """A worker whose children train until they are killed, or are done."""

    def __init__(self):
        command = [sys.executable, str(Path(resumer.__file__))]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def train(self, kind, root, path, workers, seconds=None):
        """Train into `path`; kill after so many seconds, if given. Whether it was killed before it was done."""
        self.process.stdin.write(f"{kind} {root} {path} {workers}\n")
        self.process.stdin.flush()
        child = int(self.process.stdout.readline())
        if seconds is not None:
            time.sleep(seconds)
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        return self.process.stdout.readline() == "killed\n"

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def killer():
    made = Killer()
    yield made
    made.close()


def contents(run):
    """What a run is: all bits of its encoder and head, and its log without times."""
    log = [{k: v for k, v in line.items() if k not in ("seconds", "rows_per_second")} for line in run.log]
    files = [read_tensors(run.path / run.manifest[name], f"mrl-{name}") for name in ("encoder", "head")]
    weights = {name: (array.dtype.str, array.tobytes()) for tensors, _ in files for name, array in tensors.items()}
    return weights, [about for _, about in files], log


def survives(killer, tmp_path, kind, kills, seed):
    """Kill so many times, at random moments and with other numbers of workers; compare each run at its end."""
    root = (resumer.folder if kind == "folder" else resumer.shards)(tmp_path / "data")
    draw = np.random.default_rng(seed)
    start = time.monotonic()
    killer.train(kind, root, tmp_path / "whole", 0)
    long = time.monotonic() - start
    whole = Run.open(tmp_path / "whole")
    done, steps, path = 0, set(), tmp_path / "killed-0"
    while done < kills:
        done += killer.train(kind, root, path, draw.integers(0, 4), draw.uniform(0.0, 0.4 * long))
        if begun(path):
            run = Run.open(path)
            run.verify()
            steps.add(run.state.step)
            if run.finished:
                compare(run, whole)
                path = tmp_path / f"killed-{done}"
            del run  # whose files would stay for as long as it is there
    killer.train(kind, root, path, 1)
    compare(Run.open(path), whole)
    assert len(steps) > 2, "the kills came too soon, or all at the same step"


def compare(killed, whole):
    assert whole.finished
    assert killed.finished
    assert contents(killed) == contents(whole)
    assert files(killed) == files(whole)


def files(run):
    """Their names, but of earlier manifests and the lock."""
    return {path.name for path in run.path.iterdir() if not path.match("manifest-*.json")} - {LOCK}


@pytest.mark.parametrize(("kind", "seed"), [("folder", 1), ("stream", 2)])
def test_a_run_killed_at_random_moments_ends_the_same(killer, tmp_path, kind, seed):
    survives(killer, tmp_path, kind, 10, seed)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "seed"), [("folder", 3), ("stream", 4)])
def test_a_run_killed_fifty_times_ends_the_same(killer, tmp_path, kind, seed):
    survives(killer, tmp_path, kind, 50, seed)


class StoppedError(Exception):
    """In place of a kill, at a known commit."""


@pytest.fixture
def interrupted(monkeypatch):
    """A function that trains until so many states were committed."""

    def begin(commits, *arguments, **options):
        committed, real = [], RunWriter.commit

        def commit(self, *args, **kwargs):
            real(self, *args, **kwargs)
            committed.append(1)
            if len(committed) == commits:
                raise StoppedError

        with monkeypatch.context() as patch:
            patch.setattr(RunWriter, "commit", commit)
            with pytest.raises(StoppedError):
                train(*arguments, quiet=True, **options)

    return begin


OFTEN = replace(TINY, epochs=4, checkpoints=Checkpoints(every_steps=1, keep=2), log_every=2)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "adafactor"])
@pytest.mark.parametrize("stop", [1, 5])
def test_every_optimiser_goes_on_exactly(tmp_path, interrupted, optimizer, stop):
    spec = replace(OFTEN, optimizer=optimizer, schedule="one-cycle", clip=1.0)
    whole = train(spec, tiny(), tmp_path / "whole", validation=tiny(seed=1), quiet=True)
    interrupted(stop, spec, tiny(), tmp_path / "run", validation=tiny(seed=1))
    run = train(spec, tiny(), tmp_path / "run", validation=tiny(seed=1), resume=True, quiet=True)
    assert contents(run) == contents(whole)


@pytest.mark.parametrize("precision", ["float32", "bf16", "float64"])
def test_every_precision_goes_on_exactly(tmp_path, interrupted, precision):
    spec = replace(OFTEN, precision=precision)
    whole = train(spec, tiny(), tmp_path / "whole", quiet=True)
    interrupted(4, spec, tiny(), tmp_path / "run")
    assert contents(train(spec, tiny(), tmp_path / "run", resume=True, quiet=True)) == contents(whole)


def test_dropout_goes_on_exactly(tmp_path, interrupted):
    """Its random numbers are a function of (seed, step), so that no random state has to be kept."""
    vit = {
        "model_type": "vit",
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "patch_size": 4,
        "hidden_dropout_prob": 0.3,
    }
    config = tmp_path / "vit.json"
    config.write_text(json.dumps(vit))
    spec = replace(OFTEN, encoder=EncoderSpec(str(config)))
    whole = train(spec, tiny(), tmp_path / "whole", quiet=True)
    interrupted(6, spec, tiny(), tmp_path / "run")
    assert contents(train(spec, tiny(), tmp_path / "run", resume=True, quiet=True)) == contents(whole)


def test_resuming_what_was_never_begun_begins_it(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "encoder-00000000.safetensors").write_bytes(b"cut short")
    run = train(TINY, tiny(), tmp_path / "run", resume=True, quiet=True)
    assert run.card == train(TINY, tiny(), tmp_path / "whole", quiet=True).card
    assert run.verify() == 2


def test_resuming_what_is_finished_changes_nothing(tmp_path):
    run = train(TINY, tiny(), tmp_path / "run", quiet=True)
    before = contents(run), (run.path / "manifest.json").read_bytes()
    again = train(TINY, tiny(), tmp_path / "run", resume=True, quiet=True)
    assert (contents(again), (run.path / "manifest.json").read_bytes()) == before


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"nesting": Nesting((4,)), "width": 4}, r"was started with nesting 2,4, not 4; resume it as it was"),
        ({"epochs": 9}, "was started with epochs 4, not 9"),
        ({"seed": 1}, "was started with seed 0, not 1"),
    ],
)
def test_a_run_of_other_settings_is_refused(tmp_path, interrupted, settings, rule):
    interrupted(3, OFTEN, tiny(), tmp_path / "run")
    with pytest.raises(InputError, match=rule):
        train(replace(OFTEN, **settings), tiny(), tmp_path / "run", resume=True, quiet=True)


def test_a_run_of_other_data_is_refused(tmp_path, interrupted):
    interrupted(3, OFTEN, tiny(), tmp_path / "run")
    turned = from_arrays(tiny().images[::-1], tiny().labels[::-1], tiny().classes)
    for other in (tiny(47), tiny(seed=1), turned):
        with pytest.raises(InputError, match=r"was trained on other data: 48 rows with fingerprint .*these are"):
            train(OFTEN, other, tmp_path / "run", resume=True, quiet=True)


def test_without_resume_a_begun_run_is_not_touched(tmp_path, interrupted):
    interrupted(3, OFTEN, tiny(), tmp_path / "run")
    with pytest.raises(StorageError, match="already exists and is not overwritten"):
        train(OFTEN, tiny(), tmp_path / "run", quiet=True)


# ---------------------------------------------------------------------------- what is kept, and when it stops


def test_the_last_states_and_the_best_are_kept(tmp_path):
    spec = replace(TINY, epochs=8, lr=0.02, checkpoints=Checkpoints(keep=2))
    run = train(spec, tiny(), tmp_path / "run", validation=tiny(seed=1), quiet=True)
    scores = [sum(line["validation"].values()) / 2 for line in run.log if line["event"] == "epoch"]
    best = int(np.argmax(scores))
    kept = sorted({best + 1, 7, 8})
    assert [state.epoch for state in run.states] == kept
    assert run.best.epoch == best + 1
    assert run.best.score == pytest.approx(max(scores))
    opened = Run.open(run.path, best=True)
    assert opened.card == opened.encoder.card
    assert opened.head.fingerprint == opened.card.fingerprint
    assert files(run) - {"manifest.json", "log.jsonl"} == {name for state in run.states for name in state.files}


def test_the_best_may_be_that_of_one_dim(tmp_path):
    spec = replace(TINY, epochs=6, lr=0.02, checkpoints=Checkpoints(select_dim=2))
    run = train(spec, tiny(), tmp_path / "run", validation=tiny(seed=1), quiet=True)
    scores = [line["validation"]["2"] for line in run.log if line["event"] == "epoch"]
    assert run.best.epoch == int(np.argmax(scores)) + 1


def test_patience_ends_a_run_that_gets_no_better(tmp_path, capsys):
    constant = from_arrays(np.full((12, 8, 8), 7, np.uint8), np.arange(12) % 3, tiny().classes)
    spec = replace(TINY, epochs=20, checkpoints=Checkpoints(patience=3))
    run = train(spec, tiny(), tmp_path / "run", validation=constant)
    epochs = [line for line in run.log if line["event"] == "epoch"]
    assert run.finished
    assert run.epoch == len(epochs) < 20
    assert run.epoch == run.best.epoch + 3
    assert "stopped: 3 epochs without a better validation accuracy" in capsys.readouterr().err


def test_a_run_that_stopped_early_is_finished(tmp_path, interrupted):
    constant = from_arrays(np.full((12, 8, 8), 7, np.uint8), np.arange(12) % 3, tiny().classes)
    spec = replace(TINY, epochs=20, checkpoints=Checkpoints(patience=3))
    whole = train(spec, tiny(), tmp_path / "whole", validation=constant, quiet=True)
    interrupted(3, spec, tiny(), tmp_path / "run", validation=constant)
    run = train(spec, tiny(), tmp_path / "run", validation=constant, resume=True, quiet=True)
    assert contents(run) == contents(whole)
    assert run.states[-1] == whole.states[-1]


def test_choosing_needs_validation_data(tmp_path):
    for how in (Checkpoints(patience=1), Checkpoints(select_dim=2)):
        with pytest.raises(InputError, match="need validation data"):
            train(replace(TINY, checkpoints=how), tiny(), tmp_path / "run", quiet=True)
    run = train(TINY, tiny(), tmp_path / "run", quiet=True)
    with pytest.raises(StorageError, match="has no best state"):
        Run.open(run.path, best=True)


def test_states_are_committed_by_the_clock_too(tmp_path):
    spec = replace(TINY, epochs=1, checkpoints=Checkpoints(every_minutes=1e-9, keep=9))
    run = train(spec, tiny(), tmp_path / "run", quiet=True)
    assert [state.step for state in run.states] == [0, 1, 2, 3]


def test_a_run_says_what_repeats_it(tmp_path):
    run = train(TINY, tiny(), tmp_path / "run", quiet=True)
    assert run.manifest["versions"]["torch"]
    assert run.manifest["data"]["rows"] == 48
    assert run.spec == TINY


def test_a_kill_before_the_first_commit_is_made_good(tmp_path, interrupted):
    """The log is written first, and nothing says yet that there is a run."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "log.jsonl").write_text('{"event": "start"}\n')
    run = train(TINY, tiny(), tmp_path / "run", resume=True, quiet=True)
    assert [line["event"] for line in run.log][:2] == ["start", "step"]


class Odd(nn.Module):
    """A network of one's own: a number without axes, a mask of -inf, a norm that counts, and a frozen layer."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.frozen = nn.Linear(64, 16).requires_grad_(False)
        self.norm = nn.BatchNorm1d(16, momentum=None)
        self.scale = nn.Parameter(torch.tensor(0.5))
        self.last = nn.Linear(16, 4)
        self.register_buffer("mask", torch.full((3,), float("-inf")))

    def forward(self, x):
        return self.last(self.scale * self.norm(self.frozen(x.flatten(1))).relu())


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "adafactor"])
def test_a_network_of_ones_own_goes_on_exactly(tmp_path, interrupted, optimizer):
    spec = replace(OFTEN, optimizer=optimizer)
    whole = train(spec, tiny(), tmp_path / "whole", network=Odd(), quiet=True)
    interrupted(5, spec, tiny(), tmp_path / "run", network=Odd())
    run = train(spec, tiny(), tmp_path / "run", network=Odd(), resume=True, quiet=True)
    assert contents(run) == contents(whole)
    encoder = run.load_encoder(Odd())
    assert torch.equal(encoder.module.module.frozen.weight, Odd().frozen.weight)
    assert not torch.equal(encoder.module.module.scale, Odd().scale)


def test_validation_data_are_part_of_a_run(tmp_path, interrupted):
    interrupted(3, OFTEN, tiny(), tmp_path / "run", validation=tiny(seed=1))
    for other, rule in ((None, "started with validation data"), (tiny(seed=2), "started with other validation data")):
        with pytest.raises(InputError, match=rule):
            train(OFTEN, tiny(), tmp_path / "run", validation=other, resume=True, quiet=True)
    interrupted(3, OFTEN, tiny(), tmp_path / "other")
    with pytest.raises(InputError, match="started without validation data"):
        train(OFTEN, tiny(), tmp_path / "other", validation=tiny(seed=1), resume=True, quiet=True)


def test_a_stream_of_other_parts_is_refused(tmp_path, interrupted):
    data = resumer.opened("stream", resumer.shards(tmp_path / "data", 3))
    interrupted(3, resumer.SPEC, data, tmp_path / "run")
    other = resumer.opened("stream", resumer.shards(tmp_path / "other", 2))
    with pytest.raises(InputError, match="was trained on other data"):
        train(resumer.SPEC, other, tmp_path / "run", resume=True, quiet=True)


def test_what_a_kill_left_of_a_finished_run_is_cleared(tmp_path):
    run = train(TINY, tiny(), tmp_path / "run", quiet=True)
    (run.path / "progress-00000003.safetensors").write_bytes(b"left over")
    train(TINY, tiny(), tmp_path / "run", resume=True, quiet=True)
    assert not (run.path / "progress-00000003.safetensors").exists()


def test_what_decides_no_weight_may_change(tmp_path, interrupted):
    interrupted(3, OFTEN, tiny(), tmp_path / "run")
    spec = replace(OFTEN, log_every=5, checkpoints=Checkpoints(keep=3))
    run = train(spec, tiny(), tmp_path / "run", resume=True, quiet=True)
    assert len(run.states) == 3
    assert run.spec.checkpoints.keep == 3
    assert run.card == train(OFTEN, tiny(), tmp_path / "whole", quiet=True).card


@pytest.mark.parametrize("make", [torch.optim.AdamW, lambda p: torch.optim.SGD(p, momentum=0.9)])
def test_the_memory_of_other_parameters_is_refused(make):
    """A fused step would write beyond it."""
    wide, narrow = (nn.Parameter(torch.ones(size)) for size in (6, 2))
    wide.grad = torch.ones(6)
    first, other = make([wide]), make([narrow])
    first.step()
    with pytest.raises(InputError, match=r"of shape \(6,\) for a parameter of shape \(2,\); resume with the settings"):
        restore(other, saved(first))
