"""RemoteEncoder against a real server on this machine, through the official client."""

import base64
import json
import re
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from encoders.wire import WIDTH, error, serving, vectors
from mrl.card import Card
from mrl.encoders.endpoint import Endpoint
from mrl.encoders.known import known_card
from mrl.encoders.remote import RemoteEncoder
from mrl.errors import CardError, EndpointError, InputError, MrlError, NestingError
from mrl.nesting import Nesting, unit_prefix

CARD = Card("toy", WIDTH, Nesting((4, 8, 16)))
TEXTS = [f"text number {i}" for i in range(11)]
KEY = "sk-very-secret-4242"
SOON = {"retry-after-ms": "1"}  # which the client honours, so that tests do not wait

pytest.importorskip("openai")


@pytest.fixture(autouse=True)
def own_environment(monkeypatch):
    for name in ("OPENAI_API_KEY", "OTHER_KEY", "OPENAI_ADMIN_KEY", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def encoder(server, card=CARD, *, prompts=None, fields=None, **how):
    return RemoteEncoder(
        "toy", card, endpoint=Endpoint(server.url, **{"retries": 0, **how}), prompts=prompts, fields=fields
    )


def bad(change=None, **how):
    """What encoding says to a server that answers so."""
    with serving(change=change, **how) as server, pytest.raises(MrlError) as caught:
        encoder(server).encode(TEXTS[:3])
    return str(caught.value).replace(server.url, "URL"), caught


# What comes back


@pytest.mark.parametrize("encoding", ["base64", "float"])
@pytest.mark.parametrize("floats", [False, True], ids=["obeys", "knows no base64"])
def test_vectors_come_as_the_server_made_them(encoding, floats):
    with serving(floats=floats) as server:
        got = encoder(server, encoding=encoding).encode(TEXTS, raw=True)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, vectors(TEXTS))
    assert server.requests[0]["encoding_format"] == encoding
    assert server.paths == ["/v1/embeddings"]


@given(batch_size=st.integers(1, 12), count=st.integers(0, 11), concurrent=st.integers(1, 5))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_batches_and_requests_at_a_time_change_nothing(batch_size, count, concurrent):
    with serving() as server:
        got = encoder(server, concurrent=concurrent).encode(TEXTS[:count], raw=True, batch_size=batch_size)
    np.testing.assert_array_equal(got, vectors(TEXTS[:count]))
    assert sorted(len(batch) for batch in server.batches) == sorted(
        len(TEXTS[:count][start : start + batch_size]) for start in range(0, count, batch_size)
    )


def test_prefixes_are_cut_as_the_metric_asks():
    whole = vectors(TEXTS)
    with serving() as server:
        model = encoder(server)
        np.testing.assert_allclose(model.encode(TEXTS), unit_prefix(whole, WIDTH), atol=1e-6)
        np.testing.assert_allclose(model.encode(TEXTS, 5), unit_prefix(whole, 5), atol=1e-6)
        np.testing.assert_array_equal(model.encode(TEXTS, 4, raw=True), whole[:, :4])
        dot = encoder(server, Card("toy", WIDTH, CARD.nesting, "dot"))
        np.testing.assert_array_equal(dot.encode(TEXTS, 8), whole[:, :8])
    assert not any("dimensions" in request for request in server.requests), "the cut is ours"


def test_no_texts_give_no_vectors_and_no_request():
    with serving() as server:
        assert encoder(server).encode([], 4).shape == (0, 4)
    assert server.requests == []


def test_answers_out_of_order_are_put_in_order():
    with serving(change=lambda d: {**d, "data": d["data"][::-1]}) as server:
        np.testing.assert_array_equal(encoder(server).encode(TEXTS, raw=True, batch_size=4), vectors(TEXTS))


def test_requests_are_under_way_together():
    """The server answers none before three are there."""
    with serving(hold=3) as server:
        got = encoder(server, concurrent=3).encode(TEXTS[:6], raw=True, batch_size=2)
    np.testing.assert_array_equal(got, vectors(TEXTS[:6]))


def test_two_threads_share_an_encoder():
    with serving() as server, ThreadPoolExecutor(2) as pool:
        model = encoder(server)
        halves = list(pool.map(lambda part: model.encode(part, raw=True), (TEXTS[:5], TEXTS[5:])))
    np.testing.assert_array_equal(np.concatenate(halves), vectors(TEXTS))


def test_tokens_are_counted():
    with serving() as server:
        model = encoder(server)
        model.encode(TEXTS, batch_size=4)
        assert model.tokens_used == 3 * len(TEXTS)
        model.encode(["one"])
        assert model.tokens_used == 3 * len(TEXTS) + 1


@pytest.mark.parametrize("usage", [None, {}, {"total_tokens": None}, {"total_tokens": 0}])
def test_a_server_that_counts_no_tokens_is_taken(usage):
    with serving(change=lambda d: {**d, "usage": usage}) as server:
        model = encoder(server)
        model.encode(TEXTS)
    assert model.tokens_used == 0


# What is sent


def test_prompts_are_put_before_the_texts():
    with serving() as server:
        model = encoder(server, prompts={"query": "search: ", "document": ""})
        model.encode(["a", "b"], prompt="query")
        model.encode(["a"], prompt="document")
        model.encode(["a"])
        with pytest.raises(InputError, match="toy has no prompt 'title'; known are: document, query"):
            model.encode(["a"], prompt="title")
    assert server.batches == [["search: a", "search: b"], ["a"], ["a"]]


def test_an_encoder_without_prompts_says_so():
    with serving() as server:
        with pytest.raises(InputError, match="toy has no prompt 'title'; known are: none"):
            encoder(server).encode(["a"], prompt="title")
        encoder(server).encode(["a"], prompt="query")  # as of a text encoder, nothing stands before it then
    assert server.batches == [["a"]]


def test_further_fields_travel():
    with serving() as server:
        encoder(server, fields={"input_type": "query"}).encode(["a"])
    assert server.requests[0] == {"input": ["a"], "model": "toy", "encoding_format": "base64", "input_type": "query"}


def test_the_key_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("OTHER_KEY", f"{KEY}\n")
    with serving() as server:
        encoder(server).encode(["a"])
        encoder(server, key_variable="OTHER_KEY").encode(["a"])
    assert [headers.get("Authorization") for headers in server.headers] == [None, f"Bearer {KEY}"]


def test_a_known_model_brings_its_card_and_prompts():
    with serving(width=1024) as server:
        model = RemoteEncoder("mixedbread-ai/mxbai-embed-large-v1", endpoint=server.url)
        got = model.encode(["a"], 128, prompt="query")
    assert model.card == known_card("mxbai-embed-large-v1")
    text = "Represent this sentence for searching relevant passages: a"
    assert server.requests[0] == {
        "input": [text],
        "model": "mixedbread-ai/mxbai-embed-large-v1",
        "encoding_format": "base64",
    }
    np.testing.assert_allclose(got, unit_prefix(vectors([text], 1024), 128), atol=1e-6)


def test_an_endpoint_that_answers_narrower_by_itself_is_asked_for_the_full_width():
    with serving(width=2048) as server:
        assert RemoteEncoder("voyage-3.5", endpoint=server.url).encode(["a"]).shape == (1, 2048)
        narrow = Card("voyage-3.5", 1024, Nesting((256, 512, 1024)))
        RemoteEncoder("voyage-3.5", narrow, endpoint=server.url, fields={"output_dimension": 1024}).encode(["a"])
    assert [request.get("output_dimension") for request in server.requests] == [2048, 1024]


def test_a_narrower_card_of_a_known_model_asks_for_that_width():
    card = Card("stored vectors", 512, Nesting((512,)))
    with serving(width=1536) as server:
        got = RemoteEncoder("text-embedding-3-small", card, endpoint=server.url).encode(["a"])
    assert server.requests[0]["dimensions"] == 512
    np.testing.assert_allclose(got, unit_prefix(vectors(["a"], 1536), 512), atol=1e-6)


# Models that are not known


def test_an_unknown_model_needs_a_card():
    with pytest.raises(InputError, match=r"'toy' is no model that is known here; give its card, or let .*connect"):
        RemoteEncoder("toy", endpoint="http://127.0.0.1:1/v1")


def test_connect_learns_the_width():
    with serving() as server:
        model = RemoteEncoder.connect("toy", endpoint=server.url)
        assert model.card == Card("toy", WIDTH, Nesting((WIDTH,)))
        nested = RemoteEncoder.connect("toy", endpoint=server.url, nesting=Nesting((4, 8)), metric="dot")
        assert nested.card == Card("toy", WIDTH, Nesting((4, 8)), "dot")
        assert nested.encode(TEXTS, 4).shape == (11, 4)
        with pytest.raises(NestingError, match="need vectors of at least 32 dims, got 16"):
            RemoteEncoder.connect("toy", endpoint=server.url, nesting=Nesting((8, 32)))


def test_connect_sees_unit_vectors():
    def unit(document):
        rows = [np.frombuffer(base64.b64decode(item["embedding"]), "<f4") for item in document["data"]]
        half = [(row / np.linalg.norm(row)).astype(np.float16).tolist() for row in rows]
        return {**document, "data": [{**item, "embedding": v} for item, v in zip(document["data"], half, strict=True)]}

    with serving(change=unit) as server:
        assert RemoteEncoder.connect("toy", endpoint=server.url).card.normalised


def test_connect_asks_nothing_of_a_known_model():
    with serving() as server:
        model = RemoteEncoder.connect("text-embedding-3-small", endpoint=server.url, nesting=Nesting((256, 1536)))
    assert server.requests == []
    assert model.card.nesting == Nesting((256, 1536))
    assert model.card.normalised


# Texts, dims and settings that are refused


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["a", ""], "text 1 is empty, and has no embedding; leave it out"),
        (["a", "b", " \n"], "text 2 is empty"),
        (["a", "\ud83d"], "text 1 holds half a character"),
        (["a", None], "text 1 is NoneType, not a text; give strings"),
        ("a text", "give a list of texts, got one text"),
    ],
)
def test_what_is_no_text_is_refused_before_anything_is_sent(texts, message):
    with serving() as server, pytest.raises(InputError, match=message):
        encoder(server, prompts={"query": "q: "}).encode(texts, prompt="query")
    assert server.requests == []


def test_dims_and_batches_are_checked_before_anything_is_sent():
    with serving() as server:
        with pytest.raises(NestingError, match="dim 2 cannot be read"):
            encoder(server).encode(TEXTS, 2)
        for size in (0, 2049):
            with pytest.raises(InputError, match=f"batch_size must be from 1 to 2048, got {size}"):
                encoder(server).encode(TEXTS, batch_size=size)
    assert server.requests == []


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"url": "host/v1"}, r"'host/v1' is no endpoint; give the base address without /embeddings, as in https://"),
        ({"url": "https://host/v1/embeddings/"}, "is no endpoint"),
        ({"url": "ftp://host"}, "is no endpoint"),
        ({"url": "http://"}, "is no endpoint"),
        ({"url": "http://host name/v1"}, "is no endpoint"),
        ({"url": "http://host:99999/v1"}, "has no valid host and port"),
        ({"url": "http://[::1/v1"}, "has no valid host and port"),
        ({"timeout": 0}, "timeout must be > 0"),
        ({"timeout": float("nan")}, "timeout must be > 0"),
        ({"retries": -1}, "retries must be ≥ 0"),
        ({"concurrent": 0}, "concurrent must be ≥ 1"),
        ({"encoding": "int8"}, "unknown encoding 'int8'; known are base64, float"),
    ],
)
def test_bad_settings_are_refused(how, message):
    with pytest.raises(InputError, match=message):
        Endpoint(**{"url": "https://host/v1", **how})


@pytest.mark.parametrize("url", [f"https://me:{KEY}@host/v1", f"https://host/v1?key={KEY}", f"https://host/v1#{KEY}"])
def test_addresses_with_credentials_are_refused_without_repeating_them(url):
    with pytest.raises(InputError, match="holds no credentials") as caught:
        Endpoint(url)
    assert KEY not in str(caught.value)


# Servers that fail


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
def test_passing_failures_are_retried(status):
    with serving(failures=[(status, error("busy"), SOON)] * 2) as server:
        got = encoder(server, retries=2).encode(TEXTS, raw=True)
    np.testing.assert_array_equal(got, vectors(TEXTS))
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (400, error("This model's maximum context length is 8192 tokens"), "refuses the request (400: This model's ma"),
        (
            413,
            {"message": "batch size 64 > maximum allowed batch size 32", "type": "Validation"},
            "(413: batch size 64",
        ),
        (
            422,
            {"detail": "Too\n long"},
            "refuses the request (422: Too long), for texts 0 to 2; shorten what",
        ),
        (400, {"object": "error", "message": "no dimensions", "code": 400}, "(400: no dimensions)"),
        (400, b"<html>nginx</html>", "(400: <html>nginx</html>)"),
        (400, b"", "(400: no words)"),
        (400, error("x" * 1000), "(400: " + "x" * 300 + "…)"),
        (401, error("no key"), "refuses the key (401: no key); put the right key into the environment"),
        (
            404,
            error("no such model"),
            "has no embeddings of 'toy' (404: no such model); check the model's name, an",
        ),
        (429, error("slow down"), "asks for a pause (429: slow down); wait, or ask less at a time with concurrent an"),
        (500, error("oops"), "fails (500: oops); try again later"),
    ],
)
def test_refusals_are_told_in_the_server_s_words(status, body, message):
    said, caught = bad(failures=[(status, body)])
    assert caught.type is EndpointError
    assert said.startswith("URL ")
    assert message in said


def test_the_pause_that_a_server_asks_for_is_kept():
    with serving(failures=[(429, error("slow down"), {"retry-after": "0.01"})]) as server:
        np.testing.assert_array_equal(encoder(server, retries=1).encode(["a"], raw=True), vectors(["a"]))
    assert len(server.requests) == 2


def test_what_is_no_passing_failure_is_not_retried():
    for status in (400, 401, 403, 404, 422):
        with serving(failures=[(status, error("no"))]) as server, pytest.raises(EndpointError, match=str(status)):
            encoder(server, retries=5).encode(["a"])
        assert len(server.requests) == 1


def test_an_error_after_the_retries_counts_them():
    said = r"asks for a pause \(429: slow down\) after 2 retries; wait, or ask"
    with serving(failures=[(429, error("slow down"), SOON)] * 3) as server, pytest.raises(EndpointError, match=said):
        encoder(server, retries=2).encode(["a"])
    assert len(server.requests) == 3


def test_a_pause_too_long_for_the_client_is_told():
    said, _ = bad(failures=[(429, error("slow down"), {"retry-after": "3600"})])
    assert "wait 3600 s, or ask less at a time" in said


def test_a_refusal_names_the_batch_and_stops_the_rest():
    texts = [f"text {i}" for i in range(400)]
    refusal = pytest.raises(EndpointError, match="for texts 0 to 1; shorten")
    with serving(failures=[(400, error("too long"))]) as server, refusal:
        encoder(server, concurrent=1).encode(texts, batch_size=2)
    assert len(server.requests) < 200


def test_an_endpoint_that_is_down_is_named():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"  # bound and not listening: it refuses
        model = RemoteEncoder("toy", CARD, endpoint=Endpoint(url, retries=1))
        with pytest.raises(
            EndpointError, match=rf"cannot reach {url} after 1 retry: .*refused.*; check the address and"
        ):
            model.encode(["a"])
    assert issubclass(EndpointError, ConnectionError)


def test_a_server_that_keeps_silent_is_given_up():
    with serving(failures=[("silent", b"")]) as server:
        said = f"{server.url} did not answer within 0.2 s for texts 0 to 0; raise the timeout, or ask for fewer texts"
        with pytest.raises(EndpointError, match=re.escape(said)):
            encoder(server, timeout=0.2).encode(["a"])


def test_a_connection_that_breaks_is_retried_and_told():
    short = [(200, {}, {"content-length": 1000, "connection": "close"})]
    with serving(failures=short) as server:
        np.testing.assert_array_equal(encoder(server, retries=1).encode(["a"], raw=True), vectors(["a"]))
    with serving(failures=short) as server, pytest.raises(EndpointError, match="cannot reach"):
        encoder(server).encode(["a"])


# Answers that are none


def items(change):
    """A change of the list of vectors."""
    return lambda document: {**document, "data": change(document["data"])}


def embeddings(change):
    """A change of each vector."""
    return items(lambda data: [{**item, "embedding": change(item["embedding"])} for item in data])


def first(value):
    """The first vector replaced."""
    return items(lambda data: [{**data[0], "embedding": value}, *data[1:]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (items(lambda data: data[1:]), "2 vectors came for 3 texts"),
        (items(lambda data: [*data, data[0]]), "4 vectors came for 3 texts"),
        (items(lambda data: [data[0], data[0], data[1]]), "their indices are not those from 0 to 2, each once"),
        (items(lambda data: [{"embedding": item["embedding"]} for item in data]), "their indices are not those"),
        (items(lambda data: [{**item, "index": [1]} for item in data]), "their indices are not those"),
        (items(lambda data: [1, 2, 3]), "their indices are not those"),
        (items(lambda data: []), "0 vectors came for 3 texts"),
        (items(lambda data: "data"), "its answer has no list of data"),
        (items(lambda data: [{**item, "embedding": None} for item in data]), "one has shape (), not (width,)"),
        (embeddings(lambda e: "!!"), "one is neither base64 of float32 nor a list of numbers"),
        (
            embeddings(lambda e: base64.b64encode(b"12345").decode()),
            "one is neither base64 of float32 nor a list of numbers",
        ),
        (embeddings(lambda e: ["a"]), "one is neither base64 of float32 nor a list of numbers"),
        (embeddings(lambda e: []), "one has shape (0,), not (width,)"),
        (embeddings(lambda e: [[1.0]]), "one has shape (1, 1), not (width,)"),
        (first([1.0] * 3), "their widths differ, [3, 16]"),
        (first([float("nan")] * WIDTH), "1 of 3 vectors are not finite"),
        (first([float("inf")] * WIDTH), "1 of 3 vectors are not finite"),
        (first([1e300] * WIDTH), "1 of 3 vectors are not finite"),
        (first([None] * WIDTH), "1 of 3 vectors are not finite"),
        (lambda document: [], "its answer has no list of data"),
        (lambda document: {}, "its answer has no list of data"),
        (lambda document: b"<html>Welcome</html>", "its answer has no list of data"),
    ],
)
def test_answers_that_are_none_are_refused(change, message):
    said, caught = bad(change)
    assert caught.type is EndpointError
    assert said.startswith("URL gave no embeddings for texts 0 to 2: ")
    assert message in said
    assert "check that " in said


def test_truncated_json_is_refused():
    def cut(body):
        return (200, body, {"content-type": "application/json"})

    said, caught = bad(failures=[cut(json.dumps({"data": []}).encode()[:-4])])
    assert caught.type is EndpointError
    assert "URL gave no embeddings for texts 0 to 2: " in said
    assert "check that the address is that of an OpenAI-compatible API, as in https://host/v1" in said


def test_another_width_is_refused_naming_both():
    said, caught = bad(width=8)
    assert caught.type is CardError
    assert said == (
        "URL answers for toy with vectors of width 8, its card says 16; "
        "ask for the right model, or give a card of width 8"
    )


# The key stays where it is


def shown(error):
    """All that a traceback would print."""
    seen = []
    while error is not None:
        seen.append(f"{error!r} {error}")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n".join(seen)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500])
def test_the_key_is_in_no_error(monkeypatch, status):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    said, caught = bad(failures=[(status, error(f"Incorrect API key provided: {KEY}."))])
    assert "Incorrect API key provided: [key]." in said
    assert KEY not in shown(caught.value)
    if status in (401, 403):
        assert "put the right key into the environment variable OPENAI_API_KEY, which is set" in said


def test_no_part_of_the_key_is_left_where_words_are_cut(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for before in range(280, 302):
        said, _ = bad(failures=[(400, error("x" * before + KEY))])
        assert "sk-" not in said


def test_the_key_is_in_no_repr(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serving() as server:
        model = encoder(server)
    assert repr(model) == f"RemoteEncoder('toy', endpoint='{server.url}', width=16)"
    assert KEY not in f"{model} {model.endpoint!r} {vars(model)}"


def test_a_key_that_no_header_holds_is_refused_without_repeating_it(monkeypatch):
    for key in (f"{KEY}\nX: y", f"{KEY}ä", f"{KEY} {KEY}"):
        monkeypatch.setenv("OPENAI_API_KEY", key)
        with pytest.raises(InputError, match="the key in OPENAI_API_KEY has characters that no HTTP") as caught:
            RemoteEncoder("toy", CARD, endpoint="http://127.0.0.1:1/v1")
        assert KEY not in shown(caught.value)


# What it needs


def run(code):
    return subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)


def test_torch_is_not_needed():
    done = run(
        "import sys\nfrom mrl.encoders.remote import RemoteEncoder\nfrom mrl.encoders.known import known_card\n"
        "RemoteEncoder('voyage-4', endpoint='http://127.0.0.1:1/v1')\n"
        "print({'torch', 'transformers'} & set(sys.modules))"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "set()\n", "")


def test_without_the_client_the_extra_is_named():
    done = run(
        "import sys\nsys.modules['openai'] = None\nfrom mrl.encoders.remote import RemoteEncoder\n"
        "RemoteEncoder('voyage-4', endpoint='http://127.0.0.1:1/v1')"
    )
    assert "MissingError: a remote encoder needs openai: pip install 'mrl[remote]'" in done.stderr
