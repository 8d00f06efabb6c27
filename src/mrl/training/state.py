"""What an optimiser remembers, as named arrays and back: safetensors, not pickles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor
from torch.optim import Optimizer

from mrl.errors import InputError

Arrays = dict[str, npt.NDArray[Any]]


def saved(optimizer: Optimizer) -> Arrays:
    """`7.exp_avg` and so on: the state of each parameter by its position."""
    state = optimizer.state_dict()["state"]
    return {
        f"{index}.{name}": value.detach().cpu().contiguous().numpy().copy()
        for index, entry in state.items()
        for name, value in entry.items()
        if isinstance(value, Tensor)
    }


def restore(optimizer: Optimizer, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Give an optimiser back what it remembered. InputError if it belongs to other parameters."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for key, array in arrays.items():
        index, name = key.split(".", 1)
        if int(index) >= len(parameters):
            raise InputError(f"the checkpoint has a state for parameter {index}, there are {len(parameters)}")
        parameter = parameters[int(index)]
        optimizer.state[parameter][name] = _placed(torch.from_numpy(array.copy()), name, parameter)


_ALIKE = ("exp_avg", "exp_avg_sq", "momentum_buffer")  # of one number for each of a parameter's


def _placed(value: Tensor, name: str, parameter: Tensor) -> Tensor:
    """On the parameter's device and, as fused steps need it, laid out in memory as the parameter is."""
    if name == "step":
        return value.to(parameter.device) if parameter.device.type == "cuda" else value
    if value.shape != parameter.shape:
        if name in _ALIKE:  # a fused step would write beyond it
            raise InputError(
                f"the checkpoint has a {name} of shape {tuple(value.shape)} for a parameter of shape "
                f"{tuple(parameter.shape)}; resume with the settings that the run was started with"
            )
        return value.to(parameter.device)
    room = torch.empty_like(parameter, dtype=value.dtype, memory_format=torch.preserve_format, requires_grad=False)
    return room.copy_(value)
