"""Team: the processes that train one model together, started by a launcher; most often a single one."""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mrl.errors import InputError


class Team:
    """rank: this process, from 0. size: how many there are. device: where this one computes.

    Started by `torchrun` or `accelerate launch`, each process works on its slice of every batch and gradients are
    summed, so that the weights are those of one process with the whole batch, where no norm mixes rows.
    """

    def __init__(self, device: str | None = None) -> None:
        self.rank, self.size, self.device = 0, 1, default_device(device)
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            self._join(device)

    def _join(self, device: str | None) -> None:
        """Let Accelerate find the others and this process's own device among those of its machine."""
        from accelerate import PartialState

        if device not in (None, "cpu", "cuda"):
            raise InputError(
                f"in a team every process has a device of its own, got {device}; leave it out, or give cpu"
            )
        joined = torch.distributed.is_initialized()
        state = PartialState(cpu=device == "cpu" or not torch.cuda.is_available())
        self.rank, self.size, self.device = state.process_index, state.num_processes, state.device
        if not joined:
            atexit.register(_part)

    @property
    def main(self) -> bool:
        """Whether this process writes and speaks."""
        return self.rank == 0

    def share(self, indices: npt.NDArray[np.int64], parts: int) -> list[npt.NDArray[np.int64]]:
        """This process's slice of each of the `parts` in which a batch is worked on; some may be empty."""
        return slices(indices, parts, self.rank, self.size)

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module whose backward pass averages gradients over the team."""
        if self.size == 1:
            return module
        places = None if self.device.type == "cpu" else [self.device]
        # Looking for weights without a gradient, torch never regroups the others after the first step, so that sums
        # are taken in the same order in a run that was interrupted.
        return nn.parallel.DistributedDataParallel(module, device_ids=places, find_unused_parameters=True)

    @contextmanager
    def gradients_later(self, module: nn.Module, later: bool) -> Iterator[None]:
        """Leave averaging to a later backward pass."""
        if later and isinstance(module, nn.parallel.DistributedDataParallel):
            with module.no_sync():
                yield
        else:
            yield

    def total(self, values: Tensor) -> Tensor:
        """The sum of each process's tensor."""
        if self.size == 1:
            return values
        summed = values.to(self.device, copy=True)
        torch.distributed.all_reduce(summed)
        return summed.to(values.device)

    def agree(self, flag: bool) -> bool:
        """What the main process says."""
        return flag if self.size == 1 else bool(self.total(torch.tensor(float(self.main and flag))) > 0)

    def check_same(self, what: str, value: int) -> None:
        """Raise InputError unless every process has the same whole number, of 24 bits, so that sums are exact."""
        mean = self.total(torch.tensor(float(value), dtype=torch.float64)) / self.size
        square = self.total(torch.tensor(float(value) ** 2, dtype=torch.float64)) / self.size
        if float(square - mean**2) > 0.25:
            raise InputError(f"the processes of this team differ in {what}; give all of them the same data and --out")

    def as_main(self, module: nn.Module) -> None:
        """Give every process the main one's buffers, such as the statistics of norms, each of which saw other rows."""
        if self.size > 1:
            for buffer in module.buffers():
                torch.distributed.broadcast(buffer, 0)

    def wait(self) -> None:
        """Until every process is here."""
        if self.size > 1:
            torch.distributed.barrier()


def _part() -> None:
    """Leave the others while Python is whole: threads of theirs that outlive it abort the process now and then."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def slices(indices: npt.NDArray[np.int64], parts: int, rank: int, size: int) -> list[npt.NDArray[np.int64]]:
    """What one of `size` processes gets of each of the parts: together they get every index once."""
    return np.array_split(indices, parts * size)[rank::size]


def default_device(name: str | None) -> torch.device:
    """A device by name, else a GPU if there is one. InputError for one that is not here."""
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        if device.type != "cuda":
            torch.empty(0, device=device)
            return device
    except (RuntimeError, AssertionError, NotImplementedError):  # each kind of device refuses in its own way
        raise InputError(f"there is no device {name!r} here; give one as cpu or cuda:1, or leave it out") from None
    if (device.index or 0) >= (found := torch.cuda.device_count()):
        raise InputError(f"there is no device {name!r} here, which has {found} GPUs; give another, or leave it out")
    return device


def reseed(*numbers: int) -> None:
    """Set torch's random state as a function of these numbers alone, so that nothing of it must be kept."""
    state = int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])
    torch.manual_seed(state >> 1)
