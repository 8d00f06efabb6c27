"""An endpoint that speaks OpenAI's embeddings wire: how it is asked, and what its refusals mean."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from mrl.encoders.answer import Vectors, vectors_in
from mrl.errors import EndpointError, InputError, MissingError
from mrl.options import check_choices, check_number

if TYPE_CHECKING:
    from openai import APIError, APIStatusError, OpenAI

Encoding = Literal["base64", "float"]


@dataclass(frozen=True)
class Endpoint:
    """Where an embeddings API is, and how it is asked.

    url: the base address, as in https://host/v1. key_variable: the environment variable that holds the key; where it is
    not set, as for most local servers, none is sent. timeout: seconds without a word from the server after which a
    request is given up. retries: how often it is repeated after a failed connection, 408, 409, 429 or 5xx, with growing
    pauses or those that Retry-After asks for. concurrent: requests under way at a time. encoding: how vectors travel;
    float for a server that refuses base64. Raises InputError for an address with credentials: it is shown in messages.
    """

    url: str
    key_variable: str = "OPENAI_API_KEY"
    timeout: float = 60.0
    retries: int = 5
    concurrent: int = 4
    encoding: Encoding = "base64"

    def __post_init__(self) -> None:
        _check_address(self.url)
        check_choices(self, {"encoding": Encoding})
        check_number("timeout", self.timeout, 0, float("inf"), above=True)
        check_number("retries", self.retries, 0, 100)
        check_number("concurrent", self.concurrent, 1, 64)

    def client(self) -> OpenAI:
        """The official client for this address. MissingError says which extra brings it."""
        try:
            from openai import OpenAI
        except ImportError:
            raise MissingError("a remote encoder needs openai: pip install 'mrl[remote]'") from None
        key = self._key() or _NO_KEY
        return OpenAI(api_key=key, base_url=self.url, timeout=self.timeout, max_retries=self.retries)

    def ask(
        self, client: OpenAI, texts: Sequence[str], first: int, model: str, fields: Mapping[str, Any]
    ) -> tuple[Vectors, int]:
        """One request: the vectors (n, width) in the order of the texts, float32, and the tokens that it used.

        first: the position of the first text among all, for messages. fields: further fields of the request.
        EndpointError tells what went wrong, after the retries.
        """
        from openai import APIError, Omit

        where = f"texts {first} to {first + len(texts) - 1}"
        key = None if client.api_key == _NO_KEY else client.api_key
        try:
            answer = client.embeddings.create(
                model=model,
                input=list(texts),
                encoding_format=self.encoding,
                extra_body=dict(fields) or None,
                extra_headers=None if key else {"Authorization": Omit()},
            )
        except APIError as error:
            # `from None`: the client's error may repeat the key.
            raise EndpointError(self._refusal(error, model, where, key)) from None
        except ValueError as error:  # of the client's JSON parser
            raise EndpointError(f"{self._garbled(where)}: {error}; {_ADDRESS}") from None
        return vectors_in(answer, len(texts), self._garbled(where))

    def _garbled(self, where: str) -> str:
        return f"{self.url} gave no embeddings for {where}"

    def _refusal(self, error: APIError, model: str, where: str, key: str | None) -> str:
        """What an error of the client means, and what to do; without the key, which some servers repeat."""
        from openai import APIConnectionError, APIStatusError, APITimeoutError

        tried = f" after {self.retries} {'retry' if self.retries == 1 else 'retries'}" if self.retries else ""
        if isinstance(error, APITimeoutError):
            return (
                f"{self.url} did not answer within {self.timeout:g} s{tried} for {where}; "
                "raise the timeout, or ask for fewer texts at a time with batch_size"
            )
        if isinstance(error, APIConnectionError):
            return (
                f"cannot reach {self.url}{tried}: {_line(error.__cause__ or error, key)}; "
                "check the address and that its server runs"
            )
        if isinstance(error, APIStatusError):
            said = f"{error.status_code}: {_line(_words(error.body), key) or 'no words'}"
            meaning = _meaning(error.status_code, model)
            return f"{self.url} {meaning} ({said}){self._remedy(error, tried, where)}"
        return f"{self._garbled(where)}: {_line(error, key)}; {_ADDRESS}"

    def _remedy(self, error: APIStatusError, tried: str, where: str) -> str:
        status = error.status_code
        if status in (401, 403):
            return f"; put the right key into the environment variable {self.key_variable}, which is {self._state()}"
        if status == 404:
            return f"; check the model's name, and that the address is the base one ({_BASE})"
        if status == 429:
            pause = error.response.headers.get("retry-after", "")
            until = f"wait {pause} s" if pause.isdigit() else "wait"
            return f"{tried}; {until}, or ask less at a time with concurrent and batch_size"
        if status >= 500:
            return f"{tried}; try again later"
        return f", for {where}; shorten what is too long, or ask for fewer texts at a time with batch_size"

    def _state(self) -> str:
        return "set" if self._key() else "not set"

    def _key(self) -> str:
        """The key, empty where there is none. InputError, without it, where no header could hold it."""
        key = os.environ.get(self.key_variable, "").strip()
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise InputError(f"the key in {self.key_variable} has characters that no HTTP header holds; set it again")
        return key


_NO_KEY = "none"  # the client insists on a key; with this one the header is left out
_BASE = "as in https://host/v1"
_ADDRESS = f"check that the address is that of an OpenAI-compatible API, {_BASE}"


def _check_address(url: str) -> None:
    """Raise InputError for what is no base address, without repeating one that may hold a secret."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and len(url.split()) == 1
    except ValueError:  # of a port or an IPv6 address
        raise InputError(f"an endpoint's address has no valid host and port; give the base one, {_BASE}") from None
    if parts.username or parts.password or parts.query or parts.fragment:
        raise InputError(
            f"an endpoint's address holds no credentials, `?` or `#`; give the base one, {_BASE}, "
            "and the key in an environment variable"
        )
    if not usable or parts.path.rstrip("/").endswith("/embeddings"):
        raise InputError(f"{url!r} is no endpoint; give the base address without /embeddings, {_BASE}")


def _meaning(status: int, model: str) -> str:
    meaning = {
        401: "refuses the key",
        403: "refuses the key",
        404: f"has no embeddings of {model!r}",
        429: "asks for a pause",
    }
    return meaning.get(status, "fails" if status >= 500 else "refuses the request")


def _words(body: object) -> object:
    """The server's words in the shapes that servers give them."""
    while isinstance(body, Mapping):
        body = next((body[name] for name in ("message", "error", "detail") if body.get(name)), "")
    return body or ""


def _line(words: object, key: str | None) -> str:
    """One line of at most 300 characters without the key."""
    line = " ".join(str(words).split())
    line = line.replace(key, "[key]") if key else line  # before the cut, which could leave a part of it
    return line if len(line) <= 300 else f"{line[:300]}…"
