"""The cards of well-known models."""

import pytest

from mrl.card import Card
from mrl.encoders.known import KNOWN_MODELS, known_card, known_model
from mrl.nesting import Nesting

NESTED = [model for model in KNOWN_MODELS if len(model.nesting) > 1]


def test_each_name_is_one_model():
    names = [name.lower() for model in KNOWN_MODELS for name in (model.name, *model.aliases)]
    assert len(set(names)) == len(names)
    for model in KNOWN_MODELS:
        for name in (model.name, *model.aliases):
            assert known_model(name) is model


@pytest.mark.parametrize("model", KNOWN_MODELS, ids=lambda model: model.name)
def test_a_card_says_what_the_model_is(model):
    assert known_card(model.name) == model.card
    assert model.card.width == model.nesting.width == model.nesting.dims[-1]
    assert model.card.nesting == model.nesting
    assert model.card.model == model.name
    assert model.card.metric == "cosine"
    assert Card.from_json(model.card.to_json()) == model.card


@pytest.mark.parametrize("model", KNOWN_MODELS, ids=lambda model: model.name)
def test_each_says_where_it_was_read(model):
    assert model.source
    assert model.max_tokens is None or model.max_tokens >= 256
    assert not {"query", "document"} ^ set(model.prompts) or model.prompts == {}


@pytest.mark.parametrize("model", KNOWN_MODELS, ids=lambda model: model.name)
def test_a_request_asks_for_a_width_only_where_the_endpoint_would_answer_another(model):
    assert model.fields(model.answered or model.width) == {}
    if model.width_field:
        other = model.nesting.dims[0]
        assert model.fields(other) == {model.width_field: other}
    else:
        assert model.fields(1) == {}


@pytest.mark.parametrize(
    "name",
    [
        "nomic-embed-text-v1.5",
        "nomic-ai/nomic-embed-text-v1.5",
        "NOMIC-AI/Nomic-Embed-Text-v1.5",
        "openrouter/nomic-ai/nomic-embed-text-v1.5",
        " nomic-embed-text-v1.5 ",
    ],
)
def test_owner_and_case_do_not_matter(name):
    assert known_card(name) == Card("nomic-embed-text-v1.5", 768, Nesting((64, 128, 256, 512, 768)))


@pytest.mark.parametrize("name", ["", "/", "nomic-embed-text", "text-embedding-3", "voyage-3.5/", "toy"])
def test_what_is_not_known_is_not_guessed(name):
    assert known_model(name) is None
    assert known_card(name) is None


@pytest.mark.parametrize(
    ("name", "dims", "tokens"),
    [
        ("text-embedding-3-small", (512, 1536), 8192),
        ("text-embedding-3-large", (256, 1024, 3072), 8192),
        ("text-embedding-ada-002", (1536,), 8192),
        ("voyage-code-3", (256, 512, 1024, 2048), 32000),
        ("Cohere/Cohere-embed-v4.0", (256, 512, 1024, 1536), 128000),
        ("google/embeddinggemma-300m", (128, 256, 512, 768), 2048),
        ("Qwen/Qwen3-Embedding-0.6B", (32, 64, 128, 256, 512, 1024), 32768),
        ("Qwen/Qwen3-Embedding-4B", (32, 64, 128, 256, 512, 1024, 2048, 2560), 32768),
        ("Qwen/Qwen3-Embedding-8B", (32, 64, 128, 256, 512, 1024, 2048, 4096), 32768),
        ("mixedbread-ai/mxbai-embed-2d-large-v1", (64, 128, 256, 512, 1024), 512),
        ("sentence-transformers/all-MiniLM-L6-v2", (384,), 256),
    ],
)
def test_dims_and_lengths_as_their_makers_give_them(name, dims, tokens):
    model = known_model(name)
    assert model.nesting.dims == dims
    assert model.max_tokens == tokens


def test_prompts_end_where_the_text_begins():
    assert known_model("Qwen3-Embedding-8B").prompts["query"].endswith("\nQuery:")
    assert known_model("snowflake-arctic-embed-l-v2.0").prompts == {"query": "query: ", "document": ""}
    assert known_model("text-embedding-3-small").prompts == {}
    for model in KNOWN_MODELS:
        for prompt in (p for p in model.prompts.values() if p and not model.name.startswith("Qwen")):
            assert prompt.endswith(": ")


def test_unit_vectors_are_only_promised_by_documentation():
    promised = {model.name for model in KNOWN_MODELS if model.normalised}
    assert {"text-embedding-3-small", "voyage-3.5", "gemini-embedding-001"} <= promised
    assert not any(model.normalised for model in KNOWN_MODELS if "huggingface.co" in model.source)
