"""Where nested vectors live: a store that is read segment by segment, and the searches that continue scores.

INDEX/manifest.json              sealed: card, layout, blocks, map, engines, and every file's size and checksum
INDEX/000000.0-32.float32.npy    coordinates 0 … 31 of the rows of block 0 (see `blocks` for its other files)
INDEX/map-000000.safetensors     the orthogonal map that the rows went through, if any, or what a cut left of it
INDEX/000007.graph               an engine over a prefix: a graph, or lists of rows
"""

from mrl.retrieval.building import BuildSpec
from mrl.retrieval.engine import HNSW, IVF, RaBitQ, Scan
from mrl.retrieval.index import Index
from mrl.retrieval.layout import Layout
from mrl.retrieval.plan import Plan, Stage
from mrl.retrieval.results import Results, Work
from mrl.retrieval.rows import Batch, Rows

__all__ = [
    "HNSW",
    "IVF",
    "Batch",
    "BuildSpec",
    "Index",
    "Layout",
    "Plan",
    "RaBitQ",
    "Results",
    "Rows",
    "Scan",
    "Stage",
    "Work",
]
