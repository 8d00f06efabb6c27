"""Team: the processes that train one model together, through Accelerate; most often a single one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn


class Team:
    """rank: this process, from 0. size: how many there are. device: where this one computes.

    Started by `torchrun` or `accelerate launch`, each process works on its slice of every batch and gradients are
    summed, so that the weights are those of one process with the whole batch, where no norm mixes rows.
    """

    def __init__(self, device: str | None = None) -> None:
        from accelerate import Accelerator

        cpu = (device or "").startswith("cpu") or not torch.cuda.is_available()
        # The number format is the loop's own affair: Accelerate would keep the first one for the whole process.
        self._accelerator = Accelerator(cpu=cpu, mixed_precision="no")
        self.rank: int = self._accelerator.process_index
        self.size: int = self._accelerator.num_processes
        self.device = self._accelerator.device if self.size > 1 else _device(device)

    @property
    def main(self) -> bool:
        """Whether this process writes and speaks."""
        return self.rank == 0

    def share(self, indices: npt.NDArray[np.int64], parts: int) -> list[npt.NDArray[np.int64]]:
        """This process's slice of each of the `parts` in which a batch is worked on; some may be empty."""
        return slices(indices, parts, self.rank, self.size)

    def wrap(self, module: nn.Module, *, idle_weights: bool) -> nn.Module:
        """The module whose backward pass averages gradients over the team. idle_weights: some may get none."""
        if self.size == 1:
            return module
        ddp = torch.nn.parallel.DistributedDataParallel
        places = None if self.device.type == "cpu" else [self.device]
        wrapped: nn.Module = ddp(module, device_ids=places, find_unused_parameters=idle_weights)
        return wrapped

    @contextmanager
    def gradients_later(self, module: nn.Module, later: bool) -> Iterator[None]:
        """Leave averaging to a later backward pass."""
        if later and self.size > 1:
            with self._accelerator.no_sync(module):
                yield
        else:
            yield

    def total(self, values: Tensor) -> Tensor:
        """The sum of each process's tensor."""
        if self.size == 1:
            return values
        summed: Tensor = self._accelerator.reduce(values.to(self.device), "sum")
        return summed.to(values.device)

    def agree(self, flag: bool) -> bool:
        """What the main process says."""
        if self.size == 1:
            return flag
        return bool(self.total(torch.tensor(float(self.main and flag))) > 0)

    def wait(self) -> None:
        """Until every process is here."""
        self._accelerator.wait_for_everyone()


def slices(indices: npt.NDArray[np.int64], parts: int, rank: int, size: int) -> list[npt.NDArray[np.int64]]:
    """What one of `size` processes gets of each of the parts: together they get every index once."""
    return np.array_split(indices, parts * size)[rank::size]


def _device(name: str | None) -> torch.device:
    return torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))


def reseed(*numbers: int) -> None:
    """Set torch's random state as a function of these numbers alone, so that nothing of it must be kept."""
    state: Any = np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]
    torch.manual_seed(int(state) >> 1)
