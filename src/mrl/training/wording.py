"""Texts as what a run is trained on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mrl.encoders.encoder import Encoder
from mrl.encoders.text import TextEncoder
from mrl.encoders.text_making import text_encoder
from mrl.encoders.tokens import Tokens
from mrl.errors import InputError
from mrl.training.augment import Ids
from mrl.training.feed import Loaded, Planned, Position, permuted
from mrl.training.listing import Labels
from mrl.training.spec import Task, TrainSpec
from mrl.training.texts import TextData

_PROMPTS = ("query", "document")  # of the first column of pairs, and of the others


class Wording:
    """Rows of texts, for the task of a spec."""

    noun = "texts"

    def __init__(self, spec: TrainSpec, data: TextData) -> None:
        if spec.augment not in ("auto", "none"):
            raise InputError(f"augment={spec.augment} varies pictures, and these data are texts; leave augment out")
        check_task(data, spec.task)
        if len(data) < 2:
            raise InputError(f"training needs at least two rows, got {len(data)}; add some")
        if spec.task == "classify" and len(np.unique(cast(Labels, data.labels))) < 2:
            raise InputError("training needs at least two classes, got one; add another one")
        _check_scores(spec, data)
        self.spec, self.data = spec, data

    @property
    def classes(self) -> tuple[str, ...]:
        return self.data.classes if self.spec.task == "classify" else ()

    def fingerprint(self, data: TextData) -> str:
        return data.fingerprint()

    def matched(self, validation: TextData) -> TextData:
        """Labelled as the training data. InputError for another shape."""
        if not isinstance(validation, TextData):
            raise InputError("the training data are texts, the validation data are not; open both as texts")
        check_task(validation, self.spec.task)
        if validation.scores is not None and self.spec.task == "scored-pairs":
            _check_several(validation.scores, "validation data")
        if self.spec.task == "pairs" and _positives(validation) < 2:
            raise InputError("among a single positive every anchor finds its own; give validation data of several")
        return validation.named(self.classes)

    def encoder(self, module: nn.Module | None) -> Encoder:
        if module is not None:
            raise InputError(
                "a network of your own takes images; name a Transformers or sentence-transformers model for texts"
            )
        suffix = self.spec.head if self.spec.task == "classify" else self.spec.task
        made = text_encoder(self.spec.encoder, self.spec.width, self.spec.nesting, suffix)
        for column in range(len(self.data.views)):
            made.tokenizer.prompt_length(prompt_of(made, self.spec.task, column))  # or there is no room for a text
        return made

    def source(self, encoder: Encoder) -> Worded:
        return Worded(self.data, self.spec, cast(TextEncoder, encoder))


def check_task(data: TextData, task: Task) -> None:
    """Raise InputError unless the rows have what a task learns from."""
    columns = len(data.views)
    if task == "classify":
        if columns != 1:
            raise InputError(f"task=classify takes one column of texts, got {columns}; name one")
        if data.labels is None or data.labels.min(initial=0) < 0:
            raise InputError("these texts have no labels; training to classify needs one for each")
    elif task == "pairs" and columns < 2:
        raise InputError(f"task=pairs takes an anchor and its positive (and hard negatives), got {columns} column")
    elif task == "scored-pairs" and (columns != 2 or data.scores is None):
        lacking = "no scores" if data.scores is None else f"{columns} columns of texts"
        raise InputError(f"task=scored-pairs takes two columns of texts and their scores, got {lacking}")


def _positives(data: TextData) -> int:
    """How many different ones there are."""
    return len(np.unique(data.keys[:, 1]))


def _check_scores(spec: TrainSpec, data: TextData) -> None:
    """Raise InputError for scores from which the loss of a spec learns nothing."""
    if spec.task != "scored-pairs" or data.scores is None:
        return
    if spec.pairs.chosen(spec.task) == "cosent":
        _check_several(data.scores, "training data")
    elif np.abs(data.scores).max() > 1:
        raise InputError(
            "loss=cosine brings similarities, which lie between -1 and 1, to the scores, and these go from "
            f"{data.scores.min():g} to {data.scores.max():g}; divide them, or take loss=cosent, which only ranks"
        )


def _check_several(scores: npt.NDArray[np.float64], where: str) -> None:
    if len(np.unique(scores)) < 2:
        raise InputError(f"all scores of the {where} are {scores[0]:g}, so no pair ranks before another; give several")


def targets(data: TextData, task: Task, at: Ids) -> np.ndarray[Any, Any]:
    """What a task learns from some rows: labels (n,), keys (n, columns) or scores (n,)."""
    found = {"classify": data.labels, "pairs": data.keys, "scored-pairs": data.scores}[task]
    chosen: np.ndarray[Any, Any] = found[at]  # type: ignore[index]  # checked before
    return chosen


def prompt_of(encoder: TextEncoder, task: Task, column: int) -> str:
    """The text before those of a column: that of queries before anchors, of documents before what they are to find."""
    return encoder.prompting.named(_PROMPTS[min(column, 1)] if task == "pairs" else None)


class Worded:
    """Batches of texts: an epoch is a permutation of the rows; cut into tokens when a batch is put together."""

    at_hand = True

    def __init__(self, data: TextData, spec: TrainSpec, encoder: TextEncoder) -> None:
        self.data, self.spec, self.encoder = data, spec, encoder

    def plans(self, epoch: int, position: Position) -> Iterator[Planned]:
        return permuted(self.spec, len(self.data), epoch, position)

    def load(self, epoch: int, indices: Ids, items: Sequence[Any]) -> Loaded:
        return self.data.taken(items), targets(self.data, self.spec.task, indices)

    def joined(self, parts: Sequence[Loaded]) -> tuple[tuple[Tokens, ...], Tensor]:
        """The columns' tokens, each padded to its longest text, and the targets."""
        columns = [
            [text for part in same for text in part] for same in zip(*(texts for texts, _ in parts), strict=True)
        ]
        made = tuple(
            self.encoder.tokens(texts, prompt_of(self.encoder, self.spec.task, column))
            for column, texts in enumerate(columns)
        )
        return made, torch.from_numpy(np.concatenate([target for _, target in parts]))
