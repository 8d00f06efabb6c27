import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from encoders.tiny_text import CONFIGS, NESTING, PLACES, TEXTS, encoder, tokenizer
from mrl.card import Card
from mrl.encoders import ImageEncoder, TextEncoder, load, load_encoder_file
from mrl.encoders.making import train_mode, tuned
from mrl.encoders.prompts import Prompts
from mrl.encoders.text_pooling import pooled_text
from mrl.encoders.tokens import Limits, Tokenizer, Tokens
from mrl.errors import CardError, DamagedError, InputError, NestingError
from mrl.nesting import unit_prefix


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return encoder(tmp_path_factory.mktemp("model"))


class Output:
    def __init__(self, states):
        self.last_hidden_state = states


def slowly_pooled(states, mask, start, pooling):
    """One text at a time, padding taken away first."""
    rows = []
    for row, kept in zip(states, mask.bool(), strict=True):
        row = row[kept][start:]
        rows.append({"cls": row[0], "last": row[-1], "mean": row.mean(0), "max": row.amax(0)}[pooling])
    return torch.stack(rows)


@settings(deadline=None)
@given(st.lists(st.integers(3, 6), min_size=1, max_size=4), st.integers(0, 2), st.booleans())
def test_pooling_goes_by_the_mask_wherever_the_padding_is(lengths, start, left):
    width, longest = 3, max(lengths)
    states = torch.randn(len(lengths), longest, width)
    mask = torch.stack([torch.arange(longest) < length for length in lengths]).long()
    if left:
        mask = mask.flip(1)
    tokens = Tokens(mask, mask, start)
    for pooling in ("cls", "last", "mean", "max"):
        got = pooled_text(Output(states), tokens, pooling)
        torch.testing.assert_close(got, slowly_pooled(states, mask, start, pooling))


@pytest.mark.parametrize("kind", CONFIGS)
@pytest.mark.parametrize("pooling", ["mean", "cls", "last", "max"])
def test_what_a_text_is_batched_with_does_not_matter(kind, pooling, tmp_path):
    model = encoder(tmp_path, kind, pooling=pooling)
    whole = model.encode(TEXTS)
    alone = np.concatenate([model.encode([text]) for text in TEXTS])
    np.testing.assert_allclose(whole, alone, atol=1e-6)
    for batch_size in (1, 2, 3):
        np.testing.assert_allclose(model.encode(TEXTS, batch_size=batch_size), whole, atol=1e-6)


def test_padding_on_the_left_gives_the_same_vectors_where_places_are_relative(tmp_path):
    for pooling in ("mean", "cls", "last", "max"):
        model = encoder(tmp_path / pooling, "qwen3", pooling=pooling)
        right = model.tokens(TEXTS)
        order = right.mask.argsort(dim=1, stable=True)  # zeros first
        left = Tokens(right.ids.gather(1, order), right.mask.gather(1, order))
        assert left.mask[:, -1].all()
        torch.testing.assert_close(model.vectors(left), model.vectors(right), atol=1e-5, rtol=0)


def test_prefixes_are_cut_as_the_metric_asks(model):
    raw = model.encode(TEXTS, raw=True)
    assert raw.shape == (3, 16)
    assert raw.dtype == np.float32
    np.testing.assert_array_equal(model.encode(TEXTS, 4, raw=True), raw[:, :4])
    np.testing.assert_allclose(model.encode(TEXTS, 4), unit_prefix(raw, 4), atol=1e-6)
    assert model.encode([], 4).shape == (0, 4)
    tokens = model.tokens(TEXTS)
    np.testing.assert_allclose(model.vectors(tokens).numpy(), raw, atol=1e-6)


def test_sequences_of_strings_of_any_kind(model):
    want = model.encode(TEXTS)
    np.testing.assert_array_equal(model.encode(tuple(TEXTS)), want)
    np.testing.assert_array_equal(model.encode(np.array(TEXTS)), want)


def test_a_long_text_is_cut_and_counted(tmp_path):
    model = encoder(tmp_path, max_length=6)
    assert model.max_length == 6
    long, short = "a man is eating food the dog", "a man is"
    tokens = model.tokens([long, short])
    assert tokens.mask.sum(1).tolist() == [6, 5]
    assert tokens.ids[0, -1] == tokens.ids[1, 4] == 3  # [SEP] stays
    assert model.cut_texts == 1
    np.testing.assert_allclose(model.encode([long]), model.encode(["a man is eat"]), atol=1e-6)
    assert model.cut_texts == 2


def test_prompts_are_put_before_texts_by_name(tmp_path):
    model = encoder(tmp_path, query_prompt="query: ", document_prompt="text: ")
    assert model.prompts == {"query": "query: ", "document": "text: "}
    bare = model.encode([f"query: {text}" for text in TEXTS])
    np.testing.assert_array_equal(model.encode(TEXTS, prompt="query"), bare)
    tokens = model.tokens(TEXTS, "text: ")
    torch.testing.assert_close(tokens.ids, model.tokens([f"text: {text}" for text in TEXTS]).ids)
    assert not np.allclose(model.encode(TEXTS), bare)  # no prompt is the default


def test_what_prompts_mean():
    prompts = Prompts({"query": "q ", "passage": "p "}, "passage")
    assert [prompts.named(name) for name in ("query", "document", "passage", None)] == ["q ", "p ", "p ", "p "]
    assert [Prompts({}).named(name) for name in ("query", "document", None)] == ["", "", ""]
    with pytest.raises(InputError, match="there is no prompt named 'title'; known are document, passage, query"):
        prompts.named("title")
    with pytest.raises(InputError, match="the default prompt 'other' is none of document, passage, query"):
        Prompts(prompts.texts, "other")


def test_a_prompt_can_be_left_out_of_the_pooling(tmp_path):
    model = encoder(tmp_path)
    apart = TextEncoder(model.network, model.card, model.tokenizer, Prompts({"query": "query : "}, pooled=False))
    tokens = apart.tokens(TEXTS, "query : ")
    assert tokens.start == 3  # [CLS] query :
    whole = model.network.model(input_ids=tokens.ids, attention_mask=tokens.mask).last_hidden_state
    torch.testing.assert_close(apart.vectors(tokens), slowly_pooled(whole, tokens.mask, 3, "mean"), atol=1e-6, rtol=0)
    np.testing.assert_array_equal(apart.encode(TEXTS), model.encode(TEXTS))
    assert not np.allclose(apart.encode(TEXTS, prompt="query"), model.encode([f"query : {t}" for t in TEXTS]))


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["a", "", "b"], "the text at position 1 is empty, got ''; leave it out or fill it in"),
        (["a", "b", " \n"], r"the text at position 2 is empty, got ' \\n'"),
        (["a", None], "texts must be strings, got NoneType at position 1; convert it, or leave it out"),
        ([["a", "b"]], "texts must be strings, got list at position 0"),
        (b"bytes", "texts must be strings, got int at position 0"),
        ("a", "texts must be several, got one string 'a'; put it into a list"),
        (None, "texts must be a list of strings, got NoneType"),
        (["a", "\ud800"], r"the text at position 1 holds half a character, '\\ud800'; correct it"),
    ],
)
def test_what_is_no_text(model, texts, said):
    with pytest.raises(InputError, match=said):
        model.encode(texts)
    with pytest.raises(InputError, match=said):
        model.tokens(texts)


def test_a_text_without_tokens(tmp_path):
    model = encoder(tmp_path)
    bare = tokenizer()
    bare.post_processor = None
    none = TextEncoder(model.network, model.card, Tokenizer(bare.to_str().encode(), Limits(8)), Prompts({}))
    assert none.encode(["a"]).shape == (1, 16)
    with pytest.raises(InputError, match=r"the text '\\x07' has no tokens to the tokenizer; leave it out"):
        none.encode(["a", "\a"])


def test_what_else_cannot_be_asked(model):
    with pytest.raises(NestingError, match="dim 3 cannot be read: this embedding was trained at 4,8,16"):
        model.encode(TEXTS, 3)
    with pytest.raises(InputError, match="batch_size must be at least 1, got 0"):
        model.encode(TEXTS, batch_size=0)
    with pytest.raises(InputError, match="there is no prompt named 'title'; known are document, query"):
        model.encode(TEXTS, prompt="title")
    with pytest.raises(
        InputError,
        match=r"the prompt 'a a .* has 32 tokens and leaves no room for a text within max_length=28; shorten",
    ):
        model.tokens(TEXTS, "a " * 30)


def test_what_does_not_belong_together(model):
    raw = model.tokenizer.raw
    with pytest.raises(
        InputError, match=f"max_length={PLACES + 1} is beyond the {PLACES} positions of this bert model"
    ):
        TextEncoder(model.network, model.card, Tokenizer(raw, Limits(PLACES + 1)), Prompts({}))
    more = tokenizer()
    more.add_tokens([f"more{i}" for i in range(20)])
    with pytest.raises(InputError, match="the tokenizer has ids up to 42, the model knows 32 tokens; take both"):
        TextEncoder(model.network, model.card, Tokenizer(more.to_str().encode(), Limits(8)), Prompts({}))
    with pytest.raises(CardError, match="vectors of width 16, its card says 32"):
        TextEncoder(model.network, Card("x", 32, NESTING), model.tokenizer, Prompts({}))
    with pytest.raises(InputError, match="max_length must be more than the 2 special tokens of every text, got 2"):
        Tokenizer(raw, Limits(2))
    with pytest.raises(InputError, match=r"the tokenizer\.json cannot be read: .*; fetch it again"):
        Tokenizer(b"{}", Limits(8))


def test_what_is_saved_loads_the_same(tmp_path):
    model = encoder(tmp_path, "roberta", width=8, nesting=type(NESTING)((4, 8)), query_prompt="query: ", max_length=9)
    model.save(tmp_path / "encoder.safetensors")
    for loaded in (
        load(tmp_path / "encoder.safetensors"),
        load_encoder_file(tmp_path / "encoder.safetensors"),
        TextEncoder.load(tmp_path / "encoder.safetensors"),
    ):
        assert isinstance(loaded, TextEncoder)
        assert (loaded.card, loaded.prompts, loaded.max_length) == (model.card, model.prompts, 9)
        assert loaded.network.config == model.network.config
        assert not loaded.network.training
        np.testing.assert_array_equal(loaded.encode(TEXTS, prompt="query"), model.encode(TEXTS, prompt="query"))
    assert model.card.model == "roberta-tiny-8"
    with pytest.raises(InputError, match="describes its own text network; leave network= out"):
        load(tmp_path / "encoder.safetensors", torch.nn.Linear(2, 2))
    with pytest.raises(InputError, match=r"this file is a text encoder's; read it with mrl\.encoders\.load"):
        ImageEncoder.load(tmp_path / "encoder.safetensors")


def test_weights_in_float64_stay_so(tmp_path):
    model = encoder(tmp_path)
    model.module.double()
    model.save(tmp_path / "encoder.safetensors")
    loaded = load(tmp_path / "encoder.safetensors")
    assert loaded.card == model.card
    np.testing.assert_array_equal(loaded.encode(TEXTS), model.encode(TEXTS))


def test_a_flipped_byte_is_found(tmp_path):
    path = tmp_path / "encoder.safetensors"
    encoder(tmp_path).save(path)
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    with pytest.raises(DamagedError, match=r"encoder\.safetensors is damaged"):
        load(path)


def test_the_fingerprint_is_that_of_weights_and_tokenizer(model, tmp_path):
    assert encoder(tmp_path).card.fingerprint == model.card.fingerprint != ""
    other = json.loads(model.tokenizer.raw)
    other["normalizer"]["lowercase"] = False
    tokens = Tokenizer(json.dumps(other).encode(), model.tokenizer.limits)
    changed = TextEncoder(model.network, model.card, tokens, model.prompting)
    assert changed.card.fingerprint != model.card.fingerprint
    with torch.no_grad():
        model.network.model.embeddings.word_embeddings.weight[0, 0] += 1
    assert encoder(tmp_path).card.fingerprint != model.card.fingerprint


def test_what_is_trained(tmp_path):
    model = encoder(tmp_path, width=8, nesting=type(NESTING)((4, 8)))
    network = model.network
    count = {tune: {id(p) for p in tuned(network, tune)} for tune in ("all", "last", "head")}
    block = {id(p) for p in network.model.encoder.layer[-1].parameters()}
    projection = {id(p) for p in network.layers.parameters()}
    assert count["head"] == projection
    assert count["last"] == block | projection
    assert count["all"] == {id(p) for p in network.parameters()}
    tuned(network, "last")
    network(model.tokens(TEXTS)).sum().backward()
    assert {id(p) for p in network.parameters() if p.grad is not None} == count["last"]


@pytest.mark.parametrize("kind", CONFIGS)
def test_every_trained_weight_gets_a_gradient(kind, tmp_path):
    model = encoder(tmp_path, kind, width=8, nesting=type(NESTING)((4, 8)))
    for tune in ("all", "last", "head"):
        parameters = tuned(model.network, tune)
        train_mode(model.network, tune)
        model.module.zero_grad()
        model.network(model.tokens(TEXTS)).square().sum().backward()
        assert parameters
        assert all(p.grad is not None for p in parameters)


def test_dropout_acts_in_training_alone_and_encoding_leaves_the_mode(tmp_path):
    model = encoder(tmp_path)
    tokens = model.tokens(TEXTS)
    train_mode(model.network, "all")
    assert not torch.equal(model.network(tokens), model.network(tokens))
    np.testing.assert_array_equal(model.encode(TEXTS), model.encode(TEXTS))
    assert model.network.training


@pytest.mark.parametrize("width", [None, 8])
def test_vectors_are_float32_under_autocast_too(width, tmp_path):
    model = encoder(tmp_path, width=width, nesting=type(NESTING)((4, 8)))
    tokens = model.tokens(TEXTS)
    with torch.autocast("cpu", torch.bfloat16):
        assert model.network(tokens).dtype == torch.float32
    assert not model.vectors(tokens).requires_grad


def test_the_multiply_adds_are_those_of_the_products(tmp_path):
    network = encoder(tmp_path, width=8, nesting=type(NESTING)((4, 8))).network
    length, hidden, inner, layers = PLACES, 16, 32, 2  # a text of 64 tokens, or of all places
    products = layers * length * (4 * hidden * hidden + 2 * hidden * inner + 2 * length * hidden)
    assert network.macs == products + hidden * 8


def test_a_limit_on_the_length(model):
    short = model.limited(5)
    assert (short.max_length, model.max_length) == (5, PLACES - 4)
    assert np.array_equal(short.encode(["a man is eating food"]), short.encode(["a man is"]))
    assert short.cut_texts == 1
    with pytest.raises(InputError, match=f"max_length={PLACES + 1} is beyond the {PLACES} positions"):
        model.limited(PLACES + 1)
