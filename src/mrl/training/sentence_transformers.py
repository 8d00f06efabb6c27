"""`MatryoshkaLoss`: sentence-transformers' loss of that name over our one-pass losses, for its own trainer.

Called in the same way and of the same value. The model runs as it is, nothing of it is patched; what its columns of
texts become is handed to one loss for all dims. Needs sentence-transformers 6.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist

from mrl.errors import InputError, MissingError
from mrl.nesting import Nesting, level_coefficients
from mrl.nn import NestedLoss, nested, nested_cosent, nested_cosine, nested_distillation, nested_info_nce

try:
    from sentence_transformers import util
    from sentence_transformers.base.losses.merged_forward import embed_columns
    from sentence_transformers.sentence_transformer import losses
except ImportError as error:
    raise MissingError(
        "this loss is for the trainer of sentence-transformers, 6 or newer: pip install 'sentence-transformers>=6'"
    ) from error

Columns = list[Tensor]  # (n, d) each
Common = Mapping[str, Any]  # nesting and level_weights
# Prefixes have length 1, so all of these are cosines.
_ALIKE = (util.cos_sim, util.pairwise_cos_sim, util.dot_score, util.pairwise_dot_score)


class MatryoshkaLoss(nn.Module):
    """A loss of sentence-transformers at every dim, Σ_m c_m · loss(prefixes of m dims, rescaled to length 1).

    model: the SentenceTransformer. loss: one of its losses. In one pass, no product of two vectors computed twice:
    MultipleNegativesRankingLoss (its symmetric form and hard negatives too, `gather_across_devices` by one collective
    for all dims), CoSENTLoss, CosineSimilarityLoss, MSELoss. By the plain loop: these with options that one pass does
    not know, and whatever else computes its loss from embeddings.
    matryoshka_dims: rising or falling. matryoshka_weights: c_m, one per dim in the order of the dims, default 1.
    n_dims_per_step: how many dims are drawn for a training step, −1 for all. What is drawn is weighed by the number of
    dims over that of the drawn ones, so that the mean gradient is that of all; evaluation takes all.

    Where it differs from sentence-transformers': a teacher's prefix (MSELoss) is rescaled as the student's is, and may
    be wider; the drawn dims are weighed. `levels` holds the last step's loss at each dim, narrowest first and
    unweighted, NaN where a dim was not drawn.

    Raises NestingError for dims that do not nest or exceed the model's, InputError for a loss that cannot be had so.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: nn.Module,
        matryoshka_dims: Sequence[int],
        matryoshka_weights: Sequence[float] | None = None,
        n_dims_per_step: int = -1,
    ) -> None:
        super().__init__()
        self.model, self.loss = model, loss
        falling = len(matryoshka_dims) > 1 and matryoshka_dims[0] > matryoshka_dims[-1]
        order = -1 if falling else 1
        self.nesting = Nesting(tuple(matryoshka_dims[::order]))
        weights = None if matryoshka_weights is None else matryoshka_weights[::order]
        self.weights = level_coefficients(self.nesting, weights)
        self.n_dims_per_step = n_dims_per_step
        self.levels: Tensor | None = None
        if n_dims_per_step != -1 and n_dims_per_step < 1:
            raise InputError(f"n_dims_per_step must be −1 for all or at least 1, got {n_dims_per_step}")
        width = model.get_embedding_dimension()  # type: ignore[operator]
        if width is not None:
            self.nesting.check_width(width)
        _check(loss)

    def forward(self, sentence_features: Iterable[dict[str, Any]], labels: Tensor | None = None) -> Tensor:
        """The weighted sum over the dims, 0-d. sentence_features: one per column of texts. labels: as the loss has."""
        columns = embed_columns(self.model, sentence_features)
        drawn, weights = self._drawn()
        common = {"nesting": Nesting(tuple(self.nesting.dims[i] for i in drawn)), "level_weights": weights}
        found = _one_pass(self.loss, columns, labels, common) or _by_loop(self.loss, columns, labels, common)
        self.levels = found.levels.new_full((len(self.nesting),), torch.nan)
        self.levels[drawn] = found.levels
        return found.total

    def _drawn(self) -> tuple[list[int], list[float]]:
        """Places of this step's dims, rising, and their weights."""
        count, few = len(self.nesting), self.n_dims_per_step
        if few < 1 or few >= count or not self.model.training:
            return list(range(count)), list(self.weights)
        # Python's generator, as sentence-transformers uses: the same in all processes, which must draw the same dims.
        drawn = sorted(count - 1 - i for i in random.sample(range(count), few))
        return drawn, [self.weights[i] * count / few for i in drawn]

    def get_config_dict(self) -> dict[str, Any]:
        """What a model card says of this loss."""
        return {
            "loss": type(self.loss).__name__,
            "matryoshka_dims": list(self.nesting.dims),
            "matryoshka_weights": list(self.weights),
            "n_dims_per_step": self.n_dims_per_step,
        }

    @property
    def citation(self) -> str:
        """BibTeX for the model card."""
        return """
@misc{kusupati2024matryoshka,
    title={Matryoshka Representation Learning},
    author={Aditya Kusupati and Gantavya Bhatt and Aniket Rege and Matthew Wallingford and Aditya Sinha and
        Vivek Ramanujan and William Howard-Snyder and Kaifeng Chen and Sham Kakade and Prateek Jain and Ali Farhadi},
    year={2024},
    eprint={2205.13147},
    archivePrefix={arXiv},
    primaryClass={cs.LG}
}
"""


def _check(loss: nn.Module) -> None:
    """Raise InputError for a loss that gives no way to its value from embeddings."""
    name = type(loss).__name__
    if getattr(loss, "uses_gradient_cache", False):
        raise InputError(
            f"{name} runs the model again while gradients are computed, which this does not; take "
            f"{name.removeprefix('Cached')}, whose memory does not grow with batch² here, and for the model's own "
            "memory gradient_checkpointing=True in the training arguments"
        )
    if not hasattr(loss, "compute_loss_from_embeddings"):
        raise InputError(
            f"{name} does not compute its loss from embeddings (it has no compute_loss_from_embeddings), so it cannot "
            "be had at prefixes; take another loss, or sentence-transformers' own MatryoshkaLoss"
        )
    if getattr(loss, "projection", None) is not None:
        raise InputError(f"{name} projects full vectors, which prefixes are not; leave out projection_dim")


def _by_loop(loss: Any, columns: Columns, labels: Tensor | None, common: Common) -> NestedLoss:
    """The loss on every prefix, one after the other."""
    teachers = _teachers(columns, labels) if isinstance(loss, losses.EmbedDistillLoss) else []

    def at(*views: Tensor) -> Tensor:
        cut = list(views[: len(columns)])
        value = loss.compute_loss_from_embeddings(cut, list(views[len(columns) :]) if teachers else labels)
        parts = list(value.values()) if isinstance(value, dict) else [value]
        return torch.stack(parts).sum()

    return nested(at, *columns, *teachers, metric="cosine", **common)


def _one_pass(loss: Any, columns: Columns, labels: Tensor | None, common: Common) -> NestedLoss | None:
    """The loss at all dims together; None where that is not known. A subclass may compute it in its own way."""
    known: dict[type, Callable[[Any, Columns, Any, Common], NestedLoss | None]] = {
        losses.MultipleNegativesRankingLoss: _ranking,
        losses.CoSENTLoss: _cosent,
        losses.CosineSimilarityLoss: _cosine,
        losses.EmbedDistillLoss: _distilled,
    }
    for kind, make in known.items():
        if type(loss).compute_loss_from_embeddings is kind.compute_loss_from_embeddings:  # type: ignore[attr-defined]
            return make(loss, columns, labels, common)
    return None


def _ranking(loss: Any, columns: Columns, _: Tensor | None, common: Common) -> NestedLoss | None:
    both = set(loss.directions) == {"query_to_doc", "doc_to_query"} and loss.partition_mode == "per_direction"
    hardened = loss.hardness_mode is not None and loss.hardness_strength > 0
    if hardened or loss.similarity_fct not in _ALIKE or not (both or set(loss.directions) == {"query_to_doc"}):
        return None
    gather = loss.gather_across_devices and dist.is_available() and dist.is_initialized()
    if not gather and len(columns[0]) < 2 and len(columns) < 3:
        return None  # the last batch of an epoch may be one pair, with a loss of 0
    queries, documents, *hard = columns
    return nested_info_nce(
        queries,
        documents,
        negatives=torch.cat(hard) if hard else None,
        scale=loss.scale,
        symmetric=both,
        gather=gather,
        **common,
    )


def _cosent(loss: Any, columns: Columns, labels: Tensor, common: Common) -> NestedLoss | None:
    if loss.similarity_fct not in _ALIKE or len(columns[0]) < 2:
        return None
    return nested_cosent(columns[0], columns[1], labels.view(-1), scale=loss.scale, **common)


def _cosine(loss: Any, columns: Columns, labels: Tensor, common: Common) -> NestedLoss | None:
    plain = type(loss.loss_fct) is nn.MSELoss and loss.loss_fct.reduction == "mean"
    if not plain or type(loss.cos_score_transformation) is not nn.Identity:
        return None
    return nested_cosine(columns[0], columns[1], labels.view(-1), **common)


def _distilled(loss: Any, columns: Columns, labels: Tensor, common: Common) -> NestedLoss | None:
    if loss.distance_metric != "mse":
        return None
    pairs = zip(columns, _teachers(columns, labels), strict=True)
    found = [nested_distillation(student, teacher, **common) for student, teacher in pairs]
    total, levels = torch.stack([part.total for part in found]), torch.stack([part.levels for part in found])
    return NestedLoss(total.mean(), levels.mean(0))


def _teachers(columns: Columns, labels: Tensor | None) -> Columns:
    """A teacher's vectors for every column, (n, e) each. labels: (n, e) for all, or (n, columns, e)."""
    if labels is None or labels.ndim not in (2, 3) or (labels.ndim == 3 and labels.shape[1] != len(columns)):
        raise InputError(
            f"labels must be the teacher's vectors, (rows, dims) for all columns of texts or (rows, {len(columns)}, "
            f"dims), got {None if labels is None else tuple(labels.shape)}; compute them once and keep them as `label`"
        )
    teachers: Tensor = labels.detach().to(columns[0])
    return [teachers if teachers.ndim == 2 else teachers[:, i] for i in range(len(columns))]
