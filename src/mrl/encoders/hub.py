"""Files of a Transformers model, by its folder or its name; they are read as data and nothing in them is run."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from mrl.errors import InputError, StorageError

T = TypeVar("T")

_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")


def read_document(source: str, name: str) -> dict[str, Any] | None:
    """A JSON file of a model, by the model's folder or name; None if it has no such file. StorageError, InputError."""
    return _read(source, name, dict)


def read_list(source: str, name: str) -> list[Any] | None:
    """As `read_document`, of a JSON file that holds a list."""
    return _read(source, name, list)


def _read(source: str, name: str, kind: type[T]) -> T | None:
    path = find_file(source, name)
    if path is None:
        return None
    try:
        document: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StorageError(f"cannot read {path}: {error}; fetch it again") from error
    if not isinstance(document, kind):
        wanted = "object" if kind is dict else "list"
        raise InputError(f"{path} must hold a JSON {wanted}, got a {type(document).__name__}; fetch it again")
    return document


def find_file(source: str, name: str) -> Path | None:
    """A file of a model, by the model's folder or name; None if it has no such file. StorageError."""
    path = Path(source) / name if Path(source).is_dir() else _fetched(source, name)
    return path if path is not None and path.is_file() else None


def _fetched(source: str, name: str) -> Path | None:
    """Where the library keeps a file of a named model, fetched if need be."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    remedy = (
        "check the name, or run `hf download NAME --local-dir FOLDER` where there is a network, and give the FOLDER"
    )
    if not _NAME.fullmatch(source):
        raise StorageError(f"{source} is no folder here, nor the name of a model; {remedy}")
    try:
        with quiet():
            return Path(hf_hub_download(source, name))
    except LocalEntryNotFoundError as error:
        raise StorageError(f"{source} is no folder here, and no such model could be fetched; {remedy}") from error
    except EntryNotFoundError:
        return None
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise StorageError(f"{source} is no folder here, and no such model was found; {remedy}") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Without Transformers' own messages and progress bars, which are as they were afterwards."""
    import huggingface_hub.utils
    import transformers.utils.logging

    hub: Any = huggingface_hub.utils
    talk: Any = transformers.utils.logging
    level, bars, hidden = talk.get_verbosity(), talk.is_progress_bar_enabled(), hub.are_progress_bars_disabled()
    talk.set_verbosity_error()
    talk.disable_progress_bar()
    try:
        with silent("huggingface_hub"):
            yield
    finally:
        talk.set_verbosity(level)
        if bars:
            talk.enable_progress_bar()
        (hub.disable_progress_bars if hidden else hub.enable_progress_bars)()


@contextmanager
def silent(name: str) -> Iterator[None]:
    """Without a library's warnings, such as that it tries again; what fails in the end is told as an error."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def first_line(error: BaseException) -> str:
    """The first line that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__
