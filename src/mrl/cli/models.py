"""What a verb encodes with: a run, an encoder of its own, or a model behind an endpoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mrl.errors import InputError
from mrl.nesting import Nesting
from mrl.options import option

if TYPE_CHECKING:
    from mrl.encoders import ImageEncoder, RemoteEncoder, TextEncoder
    from mrl.training import Run

MODEL = (
    "A folder that `mrl train` wrote, the file of an encoder, a sentence-transformers folder, or, with --endpoint, a "
    "model's name there."
)
KEY = "OPENAI_API_KEY"


@dataclass(frozen=True)
class Remote:
    """The options of a model behind an endpoint."""

    endpoint: str | None = option(None, "Address of an OpenAI-compatible endpoint, as https://api.openai.com/v1.")
    key_variable: str = option(KEY, "The environment variable that holds the endpoint's key.")
    dims: str | None = option(None, "The model's trained dims, as 256,512; without them, as the model is known.")


def opened(
    model: str, remote: Remote, *, best: bool, device: str | None
) -> Run | ImageEncoder | TextEncoder | RemoteEncoder:
    """The model that is meant, ready to encode. InputError for options of another kind of model."""
    if remote.endpoint is None:
        _check_none(model, remote)
        return _here(Path(model), best, device)
    if best or device:
        said = "--best" if best else f"--device {device}"
        raise InputError(f"{said} is of encoders that run here, and --endpoint asks one elsewhere; leave it out")
    from mrl.encoders import Endpoint, RemoteEncoder

    nesting = None if remote.dims is None else Nesting.parse(remote.dims)
    where = Endpoint(remote.endpoint, key_variable=remote.key_variable)
    return RemoteEncoder.connect(model, endpoint=where, nesting=nesting)


def _check_none(model: str, remote: Remote) -> None:
    if remote.key_variable != KEY:
        raise InputError(
            f"--key-variable {remote.key_variable} is of an endpoint, and there is none; give --endpoint too"
        )
    if remote.dims is not None:
        raise InputError(f"--dims {remote.dims} is of an endpoint's model; {model} says its own, so leave it out")


def _here(path: Path, best: bool, device: str | None) -> Run | ImageEncoder | TextEncoder:
    from mrl.disk import Folder
    from mrl.encoders import load
    from mrl.training import Run
    from mrl.training.team import default_device

    if path.is_dir() and Folder.committed(path):
        return Run.open(path, best=best)
    if best:
        raise InputError(
            f"{path} is one encoder, of which there is no best; give the run's folder, or leave --best out"
        )
    model = load(path)
    model.to(default_device(device))
    return model
