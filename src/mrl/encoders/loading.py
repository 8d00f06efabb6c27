"""Encoders that are there already: of a run, of a file of their own, of a sentence-transformers folder."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from mrl.disk import Folder, read_tensors
from mrl.encoders.encoder import KIND
from mrl.encoders.encoder import RUN_KIND as RUN_KIND
from mrl.encoders.image import ImageEncoder
from mrl.encoders.sentence_folder import MODULES
from mrl.encoders.text import TextEncoder
from mrl.errors import InputError, StorageError
from mrl.heads import chosen


def load(run: str | Path, network: nn.Module | None = None, *, best: bool = False) -> ImageEncoder | TextEncoder:
    """The newest encoder of a run folder, its bytes compared with their checksums; or that of an encoder's own file,
    or of a sentence-transformers folder.

    network: your own module, where an image encoder was trained with one; it gets the saved weights. best: of a run,
    the encoder of the best validation. StorageError if there is none, DamagedError naming the file whose bytes
    changed, InputError for what would need code of strangers.
    """
    path = Path(run)
    if path.is_file():
        return load_encoder_file(path, network)
    if (path / MODULES).is_file():
        from mrl.encoders.text_making import of_folder

        if network is not None or best:
            raise InputError(f"{path} is a sentence-transformers folder with one network; leave network= and best out")
        return of_folder(path)
    if not path.exists():
        raise StorageError(
            f"there is no {path}; give a run, an encoder's file or a sentence-transformers folder, which is fetched "
            "from the hub with `hf download NAME --local-dir FOLDER`"
        )
    folder = Folder.open(path, RUN_KIND)
    return load_encoder_file(folder.verified(chosen(folder, best=best)["encoder"]), network)


def load_encoder_file(path: str | Path, network: nn.Module | None = None) -> ImageEncoder | TextEncoder:
    """The encoder of one file, image or text, as the file says. network: as of `load`.

    DamagedError if a byte changed, InputError if the module is missing or another.
    """
    tensors, about = read_tensors(Path(path), KIND)
    if about["network"]["kind"] != "text":
        return ImageEncoder.restored(tensors, about, network)
    if network is not None:
        raise InputError(f"{path} describes its own text network; leave network= out")
    return TextEncoder.restored(tensors, about)
