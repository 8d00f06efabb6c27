"""Two processes, started by torchrun over gloo, end in the weights of one process with the joined batch."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrl.disk import read_tensors
from mrl.training import Run
from mrl.training.team import slices
from training import teamwork
from training.pictures import tiny


@given(st.integers(0, 40), st.integers(1, 5), st.integers(1, 4))
def test_a_team_shares_every_row_once(rows, parts, size):
    shares = [slices(np.arange(rows), parts, rank, size) for rank in range(size)]
    assert all(len(mine) == parts for mine in shares)
    together = [row for part in range(parts) for mine in shares for row in mine[part].tolist()]
    assert together == list(range(rows))
    lengths = [len(rows) for mine in shares for rows in mine]
    assert max(lengths) - min(lengths) <= 1


def launch(processes, *command):
    """Run a script or module by so many processes."""
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run([*words, *map(str, command)], env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Every case, trained by a team of two and by one process."""
    path = tmp_path_factory.mktemp("team")
    done = launch(2, teamwork.__file__, path)
    assert done.returncode == 0, done.stderr[-3000:]
    teamwork.run(path, "one")
    return path


def weights(run):
    files = [read_tensors(run.path / run.manifest[file], f"mrl-{file}")[0] for file in ("encoder", "head")]
    return {name: array.tobytes() for tensors in files for name, array in tensors.items()}


def test_three_processes_go_on_exactly(tmp_path):
    done = launch(3, teamwork.__file__, tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    for norm in ("group", "batch"):
        resumed, whole = (Run.open(tmp_path / f"{how}-{norm}") for how in ("resumed", "whole"))
        assert weights(resumed) == weights(whole)


def test_the_command_line_speaks_once(tmp_path):
    images = tiny(12)
    np.savez(tmp_path / "a.npz", images=images.images, labels=images.labels, classes=images.classes)
    words = ("train", tmp_path / "a.npz", "--dims", "2,4", "--epochs", 1, "--out", tmp_path / "run")
    done = launch(2, "-m", "mrl", *words)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout == f"{tmp_path / 'run'}\n"
    assert done.stderr.count("12 images, 3 classes") == 1


@pytest.mark.parametrize("name", teamwork.CASES)
def test_two_processes_make_the_weights_of_one(folder, name):
    team, one = (Run.open(folder / f"{who}-{name}") for who in ("team", "one"))
    for file in ("encoder", "head"):
        ours, theirs = (read_tensors(run.path / run.manifest[file], f"mrl-{file}")[0] for run in (team, one))
        assert ours.keys() == theirs.keys()
        for key, array in ours.items():
            assert array.dtype == np.float64
            np.testing.assert_allclose(array, theirs[key], rtol=0, atol=1e-8, err_msg=key)


@pytest.mark.parametrize("name", teamwork.CASES)
def test_two_processes_write_one_log(folder, name):
    team, one = (Run.open(folder / f"{who}-{name}").log for who in ("team", "one"))
    assert [line["event"] for line in team] == [line["event"] for line in one]
    assert team[0]["processes"] == 2
    for ours, theirs in zip(team[1:], one[1:], strict=True):
        for what in ("loss", "accuracy", "validation"):
            assert ours.get(what) == pytest.approx(theirs.get(what), abs=2e-6)
