"""The tokenizer of a Transformers model, by its folder or its name; read as data, nothing in it is run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mrl.disk import read_bytes
from mrl.encoders.hub import find_file, first_line, quiet, read_document
from mrl.encoders.tokens import Limits, Tokenizer, parsed
from mrl.errors import InputError

TOKENIZER = "tokenizer.json"
TOKENIZER_SETTINGS = "tokenizer_config.json"
ROLES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_VOCABULARIES = ("vocab.txt", "vocab.json", "*.model", "sentencepiece.*")
_ENDLESS = 1 << 20  # tokens from which a tokenizer's own limit says that there is none
_LENGTH = 512  # where nobody says anything


def read_tokenizer(source: str, config: Any, *, asked: int | None, said: int | None, limit: int | None) -> Tokenizer:
    """The tokenizer of a model.

    asked: max_length of the user, taken as it is. said: that of the model, else its tokenizer's own. limit: the places
    that the model has, beyond which none but the user's goes. InputError if there is no tokenizer that can be read.
    """
    settings = read_document(source, TOKENIZER_SETTINGS) or {}
    raw = _raw(source)
    special = _special(source, settings)
    length = asked
    if length is None:
        own = settings.get("model_max_length")
        own = int(own) if isinstance(own, int | float) and 0 < own < _ENDLESS else _LENGTH
        length = min(said or own, limit or said or own)
    side = "left" if settings.get("truncation_side") == "left" else "right"
    return Tokenizer(raw, Limits(length, _pad(raw, special, config), side, tuple(special.items())))


def _raw(source: str) -> bytes:
    path = find_file(source, TOKENIZER)
    return _converted(source) if path is None else read_bytes(path)


def _converted(source: str) -> bytes:
    """The tokenizer.json that Transformers makes of older files."""
    from transformers import AutoTokenizer

    folder, name = Path(source), f"{source} has no {TOKENIZER}"
    remedy = "make one: AutoTokenizer.from_pretrained(NAME).save_pretrained(FOLDER), and give the FOLDER"
    if folder.is_dir() and not any(any(folder.glob(pattern)) for pattern in _VOCABULARIES):
        raise InputError(f"{name} and no vocabulary, so its texts cannot become tokens; {remedy}")
    try:
        with quiet():
            made = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
            return str(made.backend_tokenizer.to_str()).encode()
    except Exception as error:  # code of its own, packages that are missing, files of another kind
        raise InputError(f"{name}, and none can be made of its files: {first_line(error)}; {remedy}") from error


def lower_cased(tokenizer: Tokenizer) -> Tokenizer:
    """The same tokenizer after putting a text into small letters."""
    from tokenizers.normalizers import Lowercase, Sequence

    backend = parsed(tokenizer.raw)
    before = backend.normalizer
    backend.normalizer = Lowercase() if before is None else Sequence([Lowercase(), before])
    return Tokenizer(backend.to_str().encode(), tokenizer.limits)


def _special(source: str, settings: Mapping[str, Any]) -> dict[str, str]:
    """Names of special tokens by their roles."""
    known = settings
    if not any(role in settings for role in ROLES):
        known = read_document(source, "special_tokens_map.json") or {}
    found = {role: known[role] for role in ROLES if known.get(role)}
    return {role: token["content"] if isinstance(token, Mapping) else str(token) for role, token in found.items()}


def _pad(raw: bytes, special: Mapping[str, str], config: Any) -> int:
    """The id that fills rows. Masks keep it from mattering, but where a model counts places by it."""
    backend, padding = parsed(raw), json.loads(raw).get("padding")
    token = backend.token_to_id(special["pad_token"]) if "pad_token" in special else None
    for found in (token, padding and padding.get("pad_id"), getattr(config, "pad_token_id", None)):
        if isinstance(found, int) and found >= 0:
            return found
    return 0
