"""Tables of pictures, opened with Hugging Face `datasets`."""

from __future__ import annotations

import csv
import glob
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mrl.encoders.hub import silent
from mrl.errors import InputError, MissingError, StorageError
from mrl.training.opening import Rows
from mrl.training.sources import WHOLE, Source, of_split

_BATCH = 256  # rows of a .parquet that are decoded at once: a group of rows may be the whole file


def load(source: Source, rows: Rows, columns: Sequence[str] | None = None, *, stream: bool) -> Any:
    """A `Dataset`, or an `IterableDataset` if `stream`; columns: the only ones needed, where they can be read alone."""
    with quietly(source):
        import datasets

        if source.kind == "hub":
            return datasets.load_dataset(source.files[0], split=rows.split, streaming=stream)
        if source.mapped:
            data = _saved(source, rows) if source.kind == "saved" else _loaded(source, **_reading(source))
            return data.to_iterable_dataset(num_shards=_parts(source, data)) if stream else data
        if source.kind == "parquet":
            only = None if columns is None else list(columns)
            return _loaded(source, streaming=stream, columns=only, batch_size=_BATCH)
        return _loaded(source, streaming=stream)


def _loaded(source: Source, **more: Any) -> Any:
    from datasets import load_dataset

    files = {"train": [glob.escape(file) for file in source.files]}
    return load_dataset(source.kind, data_files=files, split="train", **more)


def _saved(source: Source, rows: Rows) -> Any:
    from datasets import load_from_disk

    saved = load_from_disk(source.files[0])
    splits = saved if isinstance(saved, dict) else {WHOLE: saved, str(saved.split or WHOLE): saved}
    return of_split(splits, rows.split, source.name).with_format(None)


def _parts(source: Source, data: Any) -> int:
    """In which a dataset on disk is streamed: as many as it has files."""
    files = data.cache_files if source.kind == "saved" else source.files
    return max(1, min(len(data), len(files)))


def counts(source: Source, rows: Rows) -> tuple[int, ...] | None:
    """Rows of each shard of a stream, where that can be had without reading them all."""
    if source.mapped:
        data = load(source, rows, stream=False)
        parts = _parts(source, data)
        return tuple(len(data.shard(parts, i, contiguous=True)) for i in range(parts))
    if source.kind != "parquet":
        return None
    import pyarrow.parquet as pq

    with quietly(source):
        return tuple(pq.read_metadata(file).num_rows for file in source.files)


def _reading(source: Source) -> dict[str, Any]:
    """Every column as text, so that no class is lost for being called NA or 007, and chunks agree on their types."""
    from datasets import Features, Value

    separator = "\t" if source.files[0].lower().endswith(".tsv") else ","
    headers = [_header(file, separator) for file in source.files]
    features = Features({name: Value("string") for name in headers[0]})
    return {"features": features, "sep": separator, "keep_default_na": False, "na_values": [""]}


def _header(path: str, separator: str) -> list[str]:
    """The names of the columns. InputError if the first row is longer: its first cells would become an index, unseen,
    as those of a later one would not."""
    with Path(path).open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file, delimiter=separator)
        header, first = next(rows, []), []
        with suppress(csv.Error):  # of a text that is longer than this reader takes
            first = next(rows, [])
    if len(first) > len(header):
        raise InputError(
            f"the first row of {path} has {len(first)} cells for {len(header)} columns; put what holds a separator "
            "into quotes"
        )
    return header


@contextmanager
def quietly(source: Source) -> Iterator[None]:
    """Without progress bars, and with errors in the house's words. MissingError without `datasets`."""
    try:
        import datasets
    except ImportError:
        raise MissingError("tables need datasets: pip install 'mrl[train]', or give folders of images") from None
    shown = not datasets.are_progress_bars_disabled()
    if shown:
        datasets.disable_progress_bars()
    try:
        with silent("huggingface_hub"), silent("datasets"), explained(source):
            yield
    finally:
        if shown:
            datasets.enable_progress_bars()


@contextmanager
def explained(source: Source) -> Iterator[None]:
    """With errors in the house's words."""
    import pyarrow as pa
    from datasets.exceptions import DatasetsError

    try:
        yield
    except (InputError, StorageError):
        raise
    except (OSError, ValueError, csv.Error, DatasetsError, pa.ArrowException) as error:
        generated = isinstance(error, DatasetsError) and error.__cause__  # what went wrong, under a general word
        raise _refusal(source, generated or error) from error


def _refusal(source: Source, error: BaseException) -> InputError | StorageError:
    reason = str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__
    if source.kind != "hub":
        if "corresponds to no data" in reason or "No columns to parse" in reason:
            return InputError(f"{source.name} has no rows; give a table that has some")
        quotes = ", and what holds a separator in quotes" if source.kind == "csv" else ""
        return InputError(f"cannot read {source.name} as {source.kind}: {reason}; see that its files are whole{quotes}")
    name = source.files[0]
    if isinstance(error, OSError):
        return StorageError(
            f"there is no {name} here, and the hub did not give a dataset of that name: {reason}; "
            "see that it is spelt right and that this machine is online, or download it and give the files"
        )
    return InputError(f"cannot read {name} from the hub: {reason}; download it and give the files")
