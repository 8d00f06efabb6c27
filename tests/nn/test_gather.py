"""Two processes, started by torchrun over gloo, have the loss and the gradients of one with the joined batch."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from nn import gathering


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What each process found."""
    folder = tmp_path_factory.mktemp("gathered")
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [*words, gathering.__file__, str(folder)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


NAMES = [(size, case) for size in gathering.SIZES for case in gathering.CASES if gathering.fits(size, case)]


@pytest.mark.parametrize(("size", "case"), NAMES, ids=lambda text: text)
def test_two_processes_give_the_joined_batch(found, size, case):
    joined = gathering.Share(gathering.SIZES[size], gathering.CASES[case]).run(gather=False)
    parts = [one[gathering.name(size, case)] for one in found]
    torch.testing.assert_close(sum(p["total"] for p in parts) / 2, joined["total"], rtol=1e-10, atol=1e-10)
    assert sum(p["hits"] for p in parts).tolist() == joined["hits"].tolist()
    averaged = list(zip(*([g / 2 for g in p["gradients"]] for p in parts), strict=True))  # as DDP averages
    for (one, two), whole in zip(averaged[:3], joined["gradients"][:3], strict=True):
        torch.testing.assert_close(torch.cat([one, two]), whole, rtol=1e-10, atol=1e-10)
    for (one, two), whole in zip(averaged[3:], joined["gradients"][3:], strict=True):
        torch.testing.assert_close(one + two, whole, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("case", ["plain", "symmetric", "siglip"])
@pytest.mark.parametrize("levels", [1, 9])
def test_vectors_are_gathered_once_and_gradients_reduced_once(found, case, levels):
    for one in found:
        sent = {name: count for name, count in one["counts"][case, levels].items() if name.startswith("vectors")}
        assert sorted(sent.values()) == [1, 1], one["counts"]
        assert one["counts"][case, levels] == one["counts"][case, 1]


def test_what_differs_between_processes_is_refused_by_all(found):
    for one in found:
        assert "all processes must gather the same kinds" in one["refusal"]
        assert "process 0: 8 dims" in one["refusal"]
        assert "process 1: 9 dims" in one["refusal"]
