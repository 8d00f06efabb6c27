"""What a pretrained network wants of its pictures, from the plain JSON that lies beside its weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mrl.encoders.fit import Fit, Resample
from mrl.encoders.preparation import Preparation
from mrl.encoders.spec import EncoderSpec
from mrl.errors import InputError

_RESAMPLE: dict[int, Resample] = {2: "bilinear", 3: "bicubic"}  # as Pillow numbers them
_WARPED = 384  # pixels from which ConvNeXt's preparation stretches the whole picture and cuts nothing off


def wanted_preparation(spec: EncoderSpec) -> Preparation | None:
    """How pictures were prepared for the weights that a spec begins with; None where the data decide.

    InputError where the model does not say; StorageError where it cannot be read.
    """
    from mrl.encoders.configuration import configuration, is_config

    if spec.network == "residual" or not spec.pretrained or is_config(spec.network):
        return None
    config = configuration(spec.network)
    channels = getattr(config, "num_channels", 3)
    about = _processor(spec.network)
    fit = _fit(about, _sides(getattr(config, "image_size", 224), "image_size"), channels)
    mean, std = _statistics(about, channels)
    return Preparation(fit, mean, std)


def _processor(source: str) -> Mapping[str, Any]:
    from mrl.encoders.hub import read_document

    about = read_document(source, "preprocessor_config.json")
    if about is None:
        about = (read_document(source, "processor_config.json") or {}).get("image_processor")
    if about is None:
        raise InputError(
            f"{source} has no preprocessor_config.json, so how its pictures were normalised is unknown; copy it there "
            'from the model that it came from, or write one: {"image_mean": [...], "image_std": [...]} (0 to 1)'
        )
    return about


def _fit(about: Mapping[str, Any], default: tuple[int, int], channels: int) -> Fit:
    """The size that the network sees, and the share of the picture that is kept."""
    number = about.get("resample", 2)
    if number not in _RESAMPLE:
        raise InputError(f"preprocessor_config.json asks for resample {number}; give 2 (bilinear) or 3 (bicubic)")
    size = about.get("size") or {}
    edge = size.get("shortest_edge") if isinstance(size, Mapping) else None
    if edge and about.get("crop_pct"):
        return Fit((edge, edge), channels, None if edge >= _WARPED else about["crop_pct"], _RESAMPLE[number])
    if about.get("crop_size") and about.get("do_center_crop", True):
        cut = _sides(about["crop_size"], "crop_size")
        whole = (edge,) if edge else _sides(size or about["crop_size"], "size")
        return Fit(cut, channels, min(1.0, min(cut) / min(whole)), _RESAMPLE[number])
    if edge:
        return Fit((edge, edge), channels, 1.0, _RESAMPLE[number])
    return Fit(_sides(size or default, "size"), channels, None, _RESAMPLE[number])


def _sides(size: Any, name: str) -> tuple[int, int]:
    """(H, W) of 224, [224, 224] or {"height": 224, "width": 224}."""
    sides = size
    if isinstance(size, Mapping):
        sides = (size.get("height"), size.get("width"))
    elif isinstance(size, int):
        sides = (size, size)
    if not isinstance(sides, Sequence) or len(sides) != 2 or not all(isinstance(side, int) for side in sides):
        raise InputError(f"cannot read {name} {size!r} of a model; give its pixels, as in 224")
    return (sides[0], sides[1])


def _statistics(about: Mapping[str, Any], channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of the channels' values, 0 to 255."""
    factor = about.get("rescale_factor", 1 / 255) if about.get("do_rescale", True) else 1.0
    scale = 255.0 if math.isclose(factor, 1 / 255) else 1 / factor
    normalise = about.get("do_normalize", True)
    if normalise and not (about.get("image_mean") and about.get("image_std")):
        raise InputError("preprocessor_config.json has no image_mean and image_std; write them there, from 0 to 1")
    values = (about["image_mean"], about["image_std"]) if normalise else ([0.0] * channels, [1.0] * channels)
    if [len(each) for each in values] != [channels, channels]:
        raise InputError(
            f"preprocessor_config.json normalises {len(values[0])} channels, the network has {channels}; correct it"
        )
    return tuple(scale * float(m) for m in values[0]), tuple(scale * float(s) for s in values[1])
