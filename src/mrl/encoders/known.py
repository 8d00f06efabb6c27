"""Cards of well-known public text embedding models: what their makers say of them, with where that was read.

Only what was found written is here. A maker who names a range of dims and not a list has the powers of two within it,
and the note says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mrl.card import Card
from mrl.nesting import Metric, Nesting


@dataclass(frozen=True)
class KnownModel:
    """A public text embedding model.

    name: the maker's own. nesting: the dims trained, or else those that the maker measured; the widest is the width.
    source: where this was read. query, document: what the maker puts before a text of that kind. max_tokens: the
    longest text; None where any length is taken. normalised: whether the maker's endpoint is documented to return
    unit vectors. aliases: what others call it. answered: the width that the maker's endpoint gives when none is asked
    for, where that is not the full one. width_field: the field of a request that asks for another width; empty where
    there is none. note: what else its user has to know.
    """

    name: str
    nesting: Nesting
    source: str
    query: str = ""
    document: str = ""
    max_tokens: int | None = None
    normalised: bool = False
    aliases: tuple[str, ...] = ()
    answered: int | None = None
    width_field: str = ""
    note: str = ""
    metric: Metric = "cosine"

    @property
    def width(self) -> int:
        """Dims of a full vector."""
        return self.nesting.width

    @property
    def card(self) -> Card:
        """What its full vectors are. The weights are the maker's, so there is no fingerprint."""
        return Card(self.name, self.width, self.nesting, self.metric, self.normalised)

    @property
    def prompts(self) -> dict[str, str]:
        """The texts put before a query and a document, by name; empty for a model without."""
        both = {"query": self.query, "document": self.document}
        return both if any(both.values()) else {}

    def fields(self, width: int) -> dict[str, Any]:
        """What a request has to say for the endpoint to answer with vectors of `width` dims."""
        answered = self.width if self.answered is None else self.answered
        return {self.width_field: width} if self.width_field and width != answered else {}


def known_model(name: str) -> KnownModel | None:
    """The model of that name, with or without its owner (`owner/name`), in any case; None where it is not known."""
    return _BY_NAME.get(name.strip().lower().rsplit("/", 1)[-1])


def known_card(name: str) -> Card | None:
    """The card of the model of that name; None where it is not known."""
    model = known_model(name)
    return None if model is None else model.card


def _powers(narrowest: int, width: int) -> Nesting:
    """The powers of two from the narrowest to the width, and the width."""
    powers = (2**e for e in range(narrowest.bit_length() - 1, width.bit_length()))
    return Nesting(tuple(sorted({*(p for p in powers if p < width), width})))


_RANGE = "Its maker names a range of dims; the powers of two in it are listed."
_SENTENCE = "Represent this sentence for searching relevant passages: "  # with the blank
_OPENAI: dict[str, Any] = {
    "source": "openai.com/index/new-embedding-models-and-api-updates; OpenAI embeddings guide and API reference",
    "max_tokens": 8192,
    "normalised": True,
}
_OPENAI_NESTED: dict[str, Any] = {
    **_OPENAI,
    "width_field": "dimensions",
    "note": "The endpoint cuts to any dim; those that its maker measured are listed.",
}
_VOYAGE: dict[str, Any] = {
    "nesting": Nesting((256, 512, 1024, 2048)),
    "source": "docs.voyageai.com/reference/embeddings-api and /docs/faq (prompts, unit length)",
    "query": "Represent the query for retrieving supporting documents: ",
    "document": "Represent the document for retrieval: ",
    "max_tokens": 32_000,
    "normalised": True,
    "answered": 1024,
    "width_field": "output_dimension",
    "note": "The prompts are those of the field input_type: send the one or the other. At most 1,000 texts a request.",
}
_ARCTIC_2: dict[str, Any] = {"query": "query: ", "max_tokens": 8192, "width_field": "dimensions"}
_QWEN_3: dict[str, Any] = {
    "source": "huggingface.co/Qwen/Qwen3-Embedding-0.6B, -4B and -8B; github.com/QwenLM/Qwen3-Embedding",
    "query": "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:",
    "max_tokens": 32_768,
    "width_field": "dimensions",
    "note": _RANGE + " The query's prompt names the task: write your own for another.",
}

KNOWN_MODELS: tuple[KnownModel, ...] = (
    KnownModel("text-embedding-3-small", Nesting((512, 1536)), **_OPENAI_NESTED),
    KnownModel("text-embedding-3-large", Nesting((256, 1024, 3072)), **_OPENAI_NESTED),
    KnownModel("text-embedding-ada-002", Nesting((1536,)), **_OPENAI, note="Not nested."),
    KnownModel("voyage-3-large", **_VOYAGE),
    KnownModel("voyage-3.5", **_VOYAGE),
    KnownModel("voyage-3.5-lite", **_VOYAGE),
    KnownModel("voyage-4", **_VOYAGE),
    KnownModel("voyage-code-3", **_VOYAGE),
    KnownModel(
        "embed-v4.0",
        Nesting((256, 512, 1024, 1536)),
        "docs.cohere.com/docs/cohere-embed; docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-embed-v4",
        max_tokens=128_000,
        aliases=("cohere-embed-v4.0", "cohere.embed-v4", "cohere.embed-v4.0"),
        note="Queries and documents are told apart by the field input_type (search_query, search_document), not by "
        "texts. At most 96 texts a request.",
    ),
    KnownModel(
        "gemini-embedding-001",
        Nesting((768, 1536, 3072)),
        "ai.google.dev/gemini-api/docs/embeddings; vercel.com/ai-gateway/models/gemini-embedding-001",
        max_tokens=2048,
        normalised=True,
        width_field="dimensions",
        note="Its maker advises these dims; only the full width is returned at length 1. Queries and documents are "
        "told apart by a task type, not by texts.",
    ),
    KnownModel(
        "jina-embeddings-v3",
        Nesting((32, 64, 128, 256, 512, 768, 1024)),
        "arXiv 2409.10173; jina.ai/news/jina-embeddings-v3-a-frontier-multilingual-embedding-model; "
        "config_sentence_transformers.json of the model (prompts)",
        "Represent the query for retrieving evidence documents: ",
        "Represent the document for retrieval: ",
        max_tokens=8192,
        note="At its maker's endpoint the field task (retrieval.query, retrieval.passage) chooses the adapter and "
        "brings the prompt.",
        width_field="dimensions",
    ),
    KnownModel(
        "jina-embeddings-v4",
        Nesting((128, 256, 512, 1024, 2048)),
        "huggingface.co/jinaai/jina-embeddings-v4; github.com/jina-ai/jina-embeddings-v4-gguf (prompts)",
        "Query: ",
        "Passage: ",
        max_tokens=32_768,
        note="At its maker's endpoint the field task chooses the adapter and brings the prompt.",
        width_field="dimensions",
    ),
    KnownModel(
        "nomic-embed-text-v1.5",
        Nesting((64, 128, 256, 512, 768)),
        "huggingface.co/nomic-ai/nomic-embed-text-v1.5",
        "search_query: ",
        "search_document: ",
        max_tokens=8192,
        width_field="dimensions",
        note="Its maker applies a layer norm without weights to the full vector before the cut: do so to raw vectors "
        "of your own; an endpoint that cuts by itself may or may not.",
    ),
    KnownModel(
        "snowflake-arctic-embed-m-v1.5",
        Nesting((256, 768)),
        "huggingface.co/Snowflake/snowflake-arctic-embed-m-v1.5",
        _SENTENCE,
        max_tokens=512,
        width_field="dimensions",
    ),
    KnownModel(
        "snowflake-arctic-embed-m-v2.0",
        Nesting((256, 768)),
        "huggingface.co/Snowflake/snowflake-arctic-embed-m-v2.0",
        **_ARCTIC_2,
    ),
    KnownModel(
        "snowflake-arctic-embed-l-v2.0",
        Nesting((256, 1024)),
        "huggingface.co/Snowflake/snowflake-arctic-embed-l-v2.0",
        **_ARCTIC_2,
    ),
    KnownModel(
        "embeddinggemma-300m",
        Nesting((128, 256, 512, 768)),
        "ai.google.dev/gemma/docs/embeddinggemma/model_card",
        "task: search result | query: ",
        "title: none | text: ",
        max_tokens=2048,
        aliases=("embeddinggemma",),
        width_field="dimensions",
        note="A document's title, where there is one, stands in the place of none.",
    ),
    KnownModel("Qwen3-Embedding-0.6B", _powers(32, 1024), **_QWEN_3),
    KnownModel("Qwen3-Embedding-4B", _powers(32, 2560), **_QWEN_3),
    KnownModel("Qwen3-Embedding-8B", _powers(32, 4096), **_QWEN_3),
    KnownModel(
        "mxbai-embed-large-v1",
        Nesting((128, 256, 512, 1024)),
        "mixedbread.ai/docs/embeddings/mxbai-embed-large-v1 (width, prompt)",
        _SENTENCE,
        max_tokens=512,
        aliases=("mxbai-embed-large",),
        width_field="dimensions",
        note="Its maker lists no dims; these are those on which its users agree.",
    ),
    KnownModel(
        "mxbai-embed-2d-large-v1",
        _powers(64, 1024),
        "mixedbread.ai/docs/embeddings/mxbai-embed-2d-large-v1",
        _SENTENCE,
        max_tokens=512,
        width_field="dimensions",
        note=_RANGE + " It was trained to be cut in layers too.",
    ),
    KnownModel(
        "all-MiniLM-L6-v2",
        Nesting((384,)),
        "huggingface.co/sentence-transformers/all-MiniLM-L6-v2",
        max_tokens=256,
        note="Not nested.",
    ),
    KnownModel(
        "static-retrieval-mrl-en-v1",
        Nesting((32, 64, 128, 256, 512, 1024)),
        "huggingface.co/blog/static-embeddings (training script)",
        width_field="dimensions",
    ),
)

_BY_NAME = {name.lower(): model for model in KNOWN_MODELS for name in (model.name, *model.aliases)}
