"""Which data a run was trained on: a digest that tells another set, another order, or other labels."""

from __future__ import annotations

import hashlib
from itertools import islice

import numpy as np

from mrl.training.batches import Traits, batch, ids, labels
from mrl.training.data import Samples
from mrl.training.stream import Stream

_LOOKED_AT = 32  # images whose pixels are part of it


def fingerprint(data: Samples | Stream, about: Traits) -> str:
    """SHA-256 of number, shape, classes, labels, ids, and the pixels of some images spread over the data.

    Of a stream, its parts are looked at, and the first rows.
    """
    digest = hashlib.sha256(f"{len(data)} {about.size} {about.channels} {about.classes}".encode())
    if isinstance(data, Stream):
        digest.update(f"{len(data.shards)} {data.shards.counts} {data.shards.names}".encode())
        for raw in islice(data.read(), _LOOKED_AT):
            digest.update(f"{raw.id} {raw.label} ".encode() + np.ascontiguousarray(data.decode(raw)).tobytes())
        return digest.hexdigest()
    digest.update(np.ascontiguousarray(labels(data), np.int64).tobytes())
    keys = ids(data)
    digest.update(keys.tobytes() if keys.dtype.kind in "iu" else "\n".join(map(str, keys.tolist())).encode())
    some = np.unique(np.linspace(0, len(data) - 1, _LOOKED_AT, dtype=np.int64))
    digest.update(batch(data, some)[0].numpy().tobytes())
    return digest.hexdigest()
