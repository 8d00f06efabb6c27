"""Our MatryoshkaLoss beside sentence-transformers' own: alone, in its trainer, and by two processes."""

from __future__ import annotations

import itertools
import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mrl.errors import InputError, MissingError, NestingError

pytest.importorskip("sentence_transformers", minversion="6")

from datasets import Dataset
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
    util,
)
from sentence_transformers.sentence_transformer import losses
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from transformers import BertConfig, BertModel, BertTokenizerFast

from mrl.training.sentence_transformers import MatryoshkaLoss

WORDS = "a the man woman dog cat plays sings runs sleeps eats rain snow falls sea is blue red big small here".split()
DIMS = [32, 20, 5]  # falling, as sentence-transformers' users write them; no multiples of anything


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A BERT of two layers over a few words."""
    path = tmp_path_factory.mktemp("bert")
    (path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]))
    BertTokenizerFast(str(path / "vocab.txt")).save_pretrained(path)
    torch.manual_seed(0)
    config = BertConfig(vocab_size=5 + len(WORDS), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
                        intermediate_size=48, max_position_embeddings=24)  # fmt: skip
    BertModel(config).save_pretrained(path)
    return path


def model_of(folder):
    transformer = Transformer(str(folder))
    return SentenceTransformer(modules=[transformer, Pooling(32, "mean")], device="cpu")


def texts(count, seed):
    chooser = random.Random(seed)
    return [" ".join(chooser.choices(WORDS, k=chooser.randint(2, 7))) for _ in range(count)]


class Embeddings(torch.nn.Module):
    """Stands where sentence-transformers has a model: what is asked for is there already."""

    def get_embedding_dimension(self):
        return 32

    def forward(self, features):
        return dict(features)


def vectors(columns, rows=7, seed=0):
    generator = torch.Generator().manual_seed(seed)
    base = torch.randn(rows, 32, generator=generator, dtype=torch.float64)
    noise = (torch.randn(rows, 32, generator=generator, dtype=torch.float64) for _ in range(columns))
    return [(base + more).requires_grad_() for more in noise]


def value(loss, columns, labels=None):
    """The loss and its gradients with respect to the columns."""
    total = loss([{"sentence_embedding": column} for column in columns], labels)
    return total, torch.autograd.grad(total, columns)


def assert_alike(make, columns, labels=None, dims=DIMS, weights=None, tolerance=1e-10):
    ours, theirs = (
        value(kind(model := Embeddings(), make(model), dims, weights), columns, labels)
        for kind in (MatryoshkaLoss, losses.MatryoshkaLoss)
    )
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


SCORES = torch.tensor([0.1, 0.9, 0.5, 0.5, 0.0, 1.0, 0.2], dtype=torch.float64)
RANKING = {
    "plain": {},
    "scaled": {"scale": 3.5},
    "dot": {"similarity_fct": util.dot_score},
    "symmetric": {"directions": ("query_to_doc", "doc_to_query"), "partition_mode": "per_direction"},
    "joint": {"directions": ("query_to_doc", "doc_to_query")},
    "all directions": {"directions": ("query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc")},
    "hardened": {"hardness_mode": "in_batch_negatives", "hardness_strength": 2.0},
    "own similarity": {"similarity_fct": util.euclidean_sim},
}


@pytest.mark.parametrize("columns", [2, 3, 4])
@pytest.mark.parametrize("options", RANKING.values(), ids=RANKING)
def test_ranking_is_sentence_transformers(options, columns):
    assert_alike(lambda model: losses.MultipleNegativesRankingLoss(model, **options), vectors(columns))


PAIRS = {
    "cosent": losses.CoSENTLoss,
    "cosent, scaled": lambda model: losses.CoSENTLoss(model, scale=4.0),
    "cosent, own similarity": lambda model: losses.CoSENTLoss(model, similarity_fct=util.pairwise_euclidean_sim),
    "angle": losses.AnglELoss,
    "contrastive": losses.OnlineContrastiveLoss,
}


@pytest.mark.parametrize("make", PAIRS.values(), ids=PAIRS)
def test_scored_pairs_are_sentence_transformers(make):
    labels = (SCORES > 0.4).long() if make is losses.OnlineContrastiveLoss else SCORES
    dims = [32, 20, 6] if make is losses.AnglELoss else DIMS  # the angle needs halves
    assert_alike(make, vectors(2), labels, dims)


@pytest.mark.parametrize(
    "options", [{}, {"loss_fct": torch.nn.L1Loss()}, {"cos_score_transformation": torch.nn.ReLU()}]
)
def test_regression_is_sentence_transformers(options):
    assert_alike(lambda model: losses.CosineSimilarityLoss(model, **options), vectors(2), SCORES, tolerance=1e-6)


class Renamed(losses.MultipleNegativesRankingLoss):
    """A subclass that computes nothing of its own."""


@pytest.mark.parametrize("make", [Renamed, losses.TripletLoss])
def test_triplets_are_sentence_transformers(make):
    assert_alike(make, vectors(3), dims=[5, 20, 32], weights=[0.5, 2, 1])


@pytest.mark.parametrize("make", [losses.MultipleNegativesRankingLoss, losses.CoSENTLoss])
def test_a_last_batch_of_one_pair_is_0_as_there(make):
    ours, gradients = value(MatryoshkaLoss(Embeddings(), make(Embeddings()), DIMS), vectors(2, rows=1), SCORES[:1])
    assert ours == 0
    assert all((gradient == 0).all() for gradient in gradients)


@pytest.mark.parametrize("make", [losses.MSELoss, lambda model: losses.EmbedDistillLoss(model, "cosine")])
def test_a_teacher_at_full_width_is_sentence_transformers(make):
    student, other, teacher = (column.detach().requires_grad_() for column in vectors(3))
    teacher = torch.nn.functional.normalize(teacher.detach(), dim=1)
    assert_alike(make, [student, other], teacher, [32])
    assert_alike(make, [student, other], torch.stack([teacher, teacher.roll(1, 0)], 1), [32])


def test_a_teachers_prefix_is_rescaled_here_and_not_there():
    (teacher,) = vectors(1)
    labels = torch.nn.functional.normalize(teacher.detach(), dim=1)
    ours, theirs = (
        kind(model := Embeddings(), losses.MSELoss(model), DIMS)([{"sentence_embedding": teacher}], labels)
        for kind in (MatryoshkaLoss, losses.MatryoshkaLoss)
    )
    assert ours < 1e-12 < 1e-3 < theirs  # a student equal to its teacher
    wide = torch.cat([labels, labels], 1)
    loss = MatryoshkaLoss(Embeddings(), losses.MSELoss(Embeddings()), DIMS)
    assert loss([{"sentence_embedding": teacher}], wide) < 1e-12


def test_losses_in_parts_are_summed():
    loss = MatryoshkaLoss(Embeddings(), losses.GlobalOrthogonalRegularizationLoss(Embeddings()), DIMS)
    parts = losses.GlobalOrthogonalRegularizationLoss(Embeddings())
    columns = vectors(2)
    cut = [[torch.nn.functional.normalize(column[:, :dim], dim=1) for column in columns] for dim in DIMS]
    truth = sum(sum(parts.compute_loss_from_embeddings(each).values()) for each in cut)
    torch.testing.assert_close(value(loss, columns)[0], truth)


def test_levels_are_there_after_a_step():
    loss = MatryoshkaLoss(Embeddings(), losses.CoSENTLoss(Embeddings()), DIMS, [1, 2, 4])
    assert loss.levels is None
    total, _ = value(loss, vectors(2), SCORES)
    assert not loss.levels.requires_grad
    torch.testing.assert_close(total, (loss.levels * torch.tensor([4.0, 2.0, 1.0], dtype=torch.float64)).sum())


def test_the_mean_over_all_draws_is_the_loss_of_all_dims():
    """Every set of two of three dims, each as likely as the others."""
    columns = vectors(2)
    whole = MatryoshkaLoss(model := Embeddings(), losses.CoSENTLoss(model), DIMS, [1, 2, 4])
    total, gradients = value(whole, columns, SCORES)
    pairs, means = list(itertools.combinations(DIMS, 2)), []
    for pair in pairs:
        weights = [w * 3 / 2 for dim, w in zip(DIMS, [1, 2, 4], strict=True) if dim in pair]
        means.append(value(MatryoshkaLoss(model, losses.CoSENTLoss(model), pair, weights), columns, SCORES))
    torch.testing.assert_close(sum(part for part, _ in means) / len(pairs), total)
    for i in range(2):
        torch.testing.assert_close(sum(part[i] for _, part in means) / len(pairs), gradients[i])


def test_a_draw_is_sentence_transformers_weighed_and_evaluation_takes_all():
    columns, model = vectors(2), Embeddings()
    ours = MatryoshkaLoss(model, losses.CoSENTLoss(model), DIMS, n_dims_per_step=2)
    theirs = losses.MatryoshkaLoss(model, losses.CoSENTLoss(model), DIMS, n_dims_per_step=2)
    seen = set()
    for seed in range(12):
        random.seed(seed)
        mine = value(ours, columns, SCORES)
        random.seed(seed)
        peer = value(theirs, columns, SCORES)
        torch.testing.assert_close(mine[0], peer[0] * 3 / 2)
        torch.testing.assert_close(mine[1], tuple(gradient * 3 / 2 for gradient in peer[1]))
        seen.add(tuple(ours.levels.isfinite().tolist()))
    assert seen == {(True, True, False), (True, False, True), (False, True, True)}
    model.eval()
    assert value(ours, columns, SCORES)[0] == value(MatryoshkaLoss(model, ours.loss, DIMS), columns, SCORES)[0]


class Keeping:
    """Keeps the value of every step of a loss."""

    def __init__(self):
        self.values = []

    def __call__(self, _, __, output):
        self.values.append(output.item())


def trained(folder, tmp_path, kind, make, data, **arguments):
    """The values of the steps, and the model after them."""
    torch.manual_seed(0)
    model = model_of(folder)
    loss = kind(model, make(model), DIMS)
    loss.register_forward_hook(keeping := Keeping())
    settings = SentenceTransformerTrainingArguments(
        str(tmp_path / kind.__module__), max_steps=3, per_device_train_batch_size=8, learning_rate=1e-3, seed=1,
        report_to="none", save_strategy="no", disable_tqdm=True, use_cpu=True, dataloader_pin_memory=False,
        **arguments,
    )  # fmt: skip
    SentenceTransformerTrainer(model, settings, train_dataset=data, loss=loss).train()
    return keeping.values, model


DATA = {
    "ranking": (losses.MultipleNegativesRankingLoss, {"anchor": 0, "positive": 1, "negative": 2}),
    "cosent": (losses.CoSENTLoss, {"sentence1": 0, "sentence2": 1, "score": None}),
}


@pytest.mark.parametrize(("make", "columns"), DATA.values(), ids=DATA)
def test_the_trainer_trains_as_with_its_own(folder, tmp_path, make, columns):
    scores = [random.Random(5).random() for _ in range(24)]
    data = Dataset.from_dict({name: scores if i is None else texts(24, i) for name, i in columns.items()})
    (ours, model), (theirs, other) = (
        trained(folder, tmp_path, kind, make, data) for kind in (MatryoshkaLoss, losses.MatryoshkaLoss)
    )
    assert len(ours) == 3
    assert ours == pytest.approx(theirs, rel=1e-5)
    assert model.encode("a dog runs") == pytest.approx(other.encode("a dog runs"), rel=1e-3, abs=1e-4)
    model.save(str(tmp_path / "saved"))
    text = (tmp_path / "saved" / "README.md").read_text()
    assert "mrl.training.sentence_transformers.MatryoshkaLoss" in text
    assert "kusupati2024matryoshka" in text


def test_no_forward_is_patched(folder):
    model = model_of(folder)
    before = dict(vars(model))
    loss = MatryoshkaLoss(model, losses.CoSENTLoss(model), DIMS)
    features = [model.preprocess(texts(3, seed)) for seed in (0, 1)]
    loss(features, torch.tensor([0.0, 1.0, 0.5])).backward()
    assert "forward" not in vars(model)
    assert vars(model).keys() == before.keys()


def refused(error, text, *args, **options):
    with pytest.raises(error, match=text):
        MatryoshkaLoss(*args, **options)


def test_what_does_not_fit_is_refused_with_the_rule(folder):
    model = Embeddings()
    plain = losses.CoSENTLoss(model)
    refused(NestingError, "strictly increasing, got", model, plain, [32, 5, 20])
    refused(NestingError, "strictly increasing, got", model, plain, [32, 20, 20])
    refused(NestingError, "strictly increasing, got", model, plain, [])
    refused(NestingError, "at least 64 dims, got 32", model, plain, [64, 32])
    refused(InputError, "level_weights must be 3 finite numbers", model, plain, DIMS, [1, 2])
    refused(InputError, "must be −1 for all or at least 1, got 0", model, plain, DIMS, n_dims_per_step=0)
    cached = losses.CachedMultipleNegativesRankingLoss(model_of(folder))
    refused(InputError, r"take MultipleNegativesRankingLoss.*gradient_checkpointing=True", model, cached, DIMS)
    softmax = losses.SoftmaxLoss(model_of(folder), 32, 2)
    refused(InputError, "SoftmaxLoss does not compute its loss from embeddings", model, softmax, DIMS)
    projecting = losses.MSELoss(model_of(folder), projection_dim=64)
    refused(InputError, "leave out projection_dim", model, projecting, DIMS)


def test_labels_that_are_no_teacher_are_refused_with_the_rule():
    loss = MatryoshkaLoss(Embeddings(), losses.MSELoss(Embeddings()), DIMS)
    for labels, said in ((None, "got None"), (SCORES, r"got \(7,\)"), (torch.ones(7, 3, 32), r"got \(7, 3, 32\)")):
        with pytest.raises(InputError, match=rf"the teacher's vectors, .*{said}"):
            value(loss, vectors(2), labels)
    with pytest.raises(NestingError, match="at least 32 dims, got 31"):
        value(loss, vectors(2), torch.ones(7, 31))


def test_without_sentence_transformers_the_error_says_what_to_install():
    code = "import sys; sys.modules['sentence_transformers'] = None; import mrl.training.sentence_transformers"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert MissingError.__name__ in done.stderr
    assert "pip install 'sentence-transformers>=6'" in done.stderr


TWO = """
import os, sys, torch
from torch import distributed as dist
sys.path.insert(0, sys.argv[1])
from test_sentence_transformers import Embeddings, MatryoshkaLoss, losses, value, vectors, DIMS

dist.init_process_group("gloo")
rank = dist.get_rank()
for symmetric in (False, True):
    options = {"directions": ("query_to_doc", "doc_to_query"), "partition_mode": "per_direction"} if symmetric else {}
    own = [column.detach()[3 * rank : 3 * rank + 3].requires_grad_() for column in vectors(3, rows=6)]
    found = []
    for kind in (MatryoshkaLoss, losses.MatryoshkaLoss):
        model = Embeddings()
        inner = losses.MultipleNegativesRankingLoss(model, gather_across_devices=True, **options)
        found.append(value(kind(model, inner, DIMS), own))
    torch.testing.assert_close(found[0], found[1], rtol=1e-10, atol=1e-10)
print(f"alike {rank}\\n", end="")  # in one piece
dist.destroy_process_group()
"""


def test_two_processes_gather_as_sentence_transformers_does(tmp_path):
    (tmp_path / "two.py").write_text(TWO)
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*words, str(tmp_path / "two.py"), str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert sorted(line for line in done.stdout.splitlines() if "alike" in line) == ["alike 0", "alike 1"]
