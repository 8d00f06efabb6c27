"""A table: vectors on disk in one segment, with ids, labels and a card, committed block by block.

TABLE/manifest.json          sealed: card, rows, label names, and every file's size and checksum
TABLE/000000.vectors.npy     (rows of the block, width) float32 or float16
TABLE/000000.ids.npy         int64 or strings
TABLE/000000.labels.npy      int64, where the rows have labels

Blocks are only ever added: a committed one is never written again, so a reader keeps what it opened.

Vectors of other formats are opened by `open_vectors`, which makes of each a `Source`.
"""

from mrl.vectors.beside import read_ids, read_labels
from mrl.vectors.described import Described
from mrl.vectors.files import Block
from mrl.vectors.formats import FORMATS, Drop, is_table, open_vectors
from mrl.vectors.held import Embedded, Held
from mrl.vectors.source import Source
from mrl.vectors.table import Table
from mrl.vectors.writer import TableWriter

__all__ = [
    "FORMATS",
    "Block",
    "Described",
    "Drop",
    "Embedded",
    "Held",
    "Source",
    "Table",
    "TableWriter",
    "is_table",
    "open_vectors",
    "read_ids",
    "read_labels",
]
