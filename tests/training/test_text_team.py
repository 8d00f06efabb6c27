"""Two processes that train on texts, each with its slice of every batch, end in the weights of one process."""

import numpy as np
import pytest

from mrl.disk import read_tensors
from mrl.training import Run
from training import text_teamwork
from training.phrases import still
from training.test_team import launch


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Every case, trained by a team of two and by one process."""
    path = tmp_path_factory.mktemp("team")
    model = still(path / "tiny")
    done = launch(2, text_teamwork.__file__, model, path)
    assert done.returncode == 0, done.stderr[-3000:]
    text_teamwork.run(model, path, "one")
    return path


@pytest.mark.parametrize("name", text_teamwork.TASKS)
def test_two_processes_make_the_weights_of_one(folder, name):
    """The rows of both are compared with each other, and the scale learns from both."""
    team, one = (Run.open(folder / f"{who}-{name}") for who in ("team", "one"))
    ours, theirs = (read_tensors(run.path / run.manifest["encoder"], "mrl-encoder")[0] for run in (team, one))
    assert ours.keys() == theirs.keys()
    for key, array in ours.items():
        np.testing.assert_allclose(array, theirs[key], rtol=0, atol=1e-8, err_msg=key)


@pytest.mark.parametrize("name", text_teamwork.TASKS)
def test_two_processes_write_one_log(folder, name):
    team, one = (Run.open(folder / f"{who}-{name}").log for who in ("team", "one"))
    assert team[0]["processes"] == 2
    for ours, theirs in zip(team[1:], one[1:], strict=True):
        for what in ("loss", "accuracy", "validation", "scale", "bias"):
            assert ours.get(what) == pytest.approx(theirs.get(what), abs=2e-6)


@pytest.mark.slow
def test_a_batch_with_fewer_pairs_than_processes(tmp_path):
    model = still(tmp_path / "tiny")
    code = f"""
import sys; sys.path.insert(0, {str(text_teamwork.Path(text_teamwork.__file__).parents[1])!r})
from training.phrases import pairs, spec
from mrl.training import train
train(spec({str(model)!r}, batch_size=2, epochs=1), pairs(5), {str(tmp_path / "run")!r}, quiet=True)
"""
    script = tmp_path / "script.py"
    script.write_text(code)
    done = launch(3, script)
    assert done.returncode != 0
    assert "a batch of 1 pairs leaves nothing to compare them with in 3 processes" in done.stderr
