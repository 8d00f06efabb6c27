"""What a run is trained on: pictures or texts, behind one face."""

from __future__ import annotations

from typing import Any, Protocol, cast

import numpy as np
from torch import nn

from mrl.card import Card
from mrl.encoders import ImageEncoder
from mrl.encoders.encoder import Encoder
from mrl.encoders.making import make_network, model_name, wanted_preparation
from mrl.encoders.module import ModuleNetwork
from mrl.encoders.networks import Network
from mrl.encoders.pixels import Fit
from mrl.encoders.preparation import Preparation
from mrl.errors import InputError
from mrl.training.augment import Augment
from mrl.training.batches import Traits, batch, class_names, traits
from mrl.training.data import ImageData, Samples
from mrl.training.feed import Source, source
from mrl.training.identity import fingerprint
from mrl.training.spec import TrainSpec
from mrl.training.stream import Stream
from mrl.training.texts import TextData

Data = Samples | Stream | TextData


class Material(Protocol):
    """Training data with what an encoder must know of them. noun: what its rows are called.

    classes: names by label; () where there are none.
    """

    @property
    def data(self) -> Any: ...

    @property
    def noun(self) -> str: ...

    @property
    def classes(self) -> tuple[str, ...]: ...

    def fingerprint(self, data: Any) -> str:
        """A digest that tells these data from others."""

    def matched(self, validation: Any) -> Any:
        """Validation data, labelled by the names of the training classes. InputError for what does not fit."""

    def encoder(self, module: nn.Module | None) -> Encoder:
        """A new one, to be trained; fresh weights come from torch's generator."""

    def source(self, encoder: Encoder) -> Source:
        """Batches of them."""


class Pictures:
    """Labelled pictures. encoder: of a run that is resumed."""

    noun = "images"

    def __init__(self, spec: TrainSpec, data: Samples | Stream, encoder: ImageEncoder | None = None) -> None:
        if spec.task != "classify":
            raise InputError(
                f"task={spec.task} is learnt from texts, and these data are pictures; name columns of texts"
            )
        wanted = wanted_preparation(spec.encoder) if encoder is None else encoder.preparation
        self.spec, self.data = spec, data
        self.about = traits(data, *((wanted.mean, wanted.std) if wanted else (None, None)))

    @property
    def classes(self) -> tuple[str, ...]:
        return self.about.classes

    def fingerprint(self, data: Samples | Stream) -> str:
        return fingerprint(data, self.about)

    def matched(self, validation: Samples) -> Samples:
        return matched(validation, self.about)

    def encoder(self, module: nn.Module | None) -> Encoder:
        spec, preparation = self.spec, prepared(self.spec, self.about)
        if module is None:
            network = make_network(spec.encoder, preparation.fit, spec.width, spec.nesting)
        else:
            network = ModuleNetwork(module, preparation.fit, spec.width or spec.nesting.width)
        width = cast(Network, network).width
        spec.nesting.check_width(width)
        name = type(module).__name__ if module else model_name(spec.encoder)
        card = Card(f"{name}-{spec.head}-{width}", width, spec.nesting)
        return ImageEncoder(cast(Network, network), card, preparation)

    def source(self, encoder: Encoder) -> Source:
        fit = cast(ImageEncoder, encoder).fit
        return source(self.data, self.spec, Augment.choose(self.spec.augment, fit, self.spec.smallest_crop))


def matched(validation: Samples, about: Traits) -> Samples:
    """Validation data with labels by the training classes' names. InputError for other sizes, none or no labels."""
    if isinstance(validation, Stream):
        raise InputError("validation data are read again and again, so they cannot be a stream; open them without")
    if isinstance(validation, ImageData):
        validation = validation.named(about.classes)
    if len(validation) == 0:
        raise InputError("the validation data are empty; give some, or none at all")
    class_names(validation)
    shape = batch(validation, np.array([0]))[0].shape[1:]
    if tuple(shape) != (*about.size, about.channels):
        raise InputError(
            f"validation images are {tuple(shape)}, training images {(*about.size, about.channels)} (H, W, C); "
            "open both with the same size and channels"
        )
    return validation


def prepared(spec: TrainSpec, about: Traits) -> Preparation:
    """What the network wants of its pictures, or what the data suggest. InputError if images have another shape."""
    wanted = wanted_preparation(spec.encoder)
    if wanted is None:
        return Preparation(Fit(about.size, about.channels), about.mean, about.std)
    if wanted.fit.shape != (*about.size, about.channels):
        raise InputError(
            f"{spec.encoder.network} takes images of {wanted.fit.shape} (H, W, C), the data have "
            f"{(*about.size, about.channels)}; open them with Opening.like(wanted_preparation(spec.encoder).fit)"
        )
    return wanted


def material(spec: TrainSpec, data: Data, encoder: Encoder | None) -> Material:
    """Training data as what they are. encoder: of a run that is resumed."""
    if isinstance(data, TextData):
        from mrl.training.wording import Wording

        return Wording(spec, data)
    return Pictures(spec, data, cast(ImageEncoder | None, encoder))
