"""Where nested vectors live: a store that is read segment by segment, and the searches that continue scores.

INDEX/manifest.json              sealed: card, layout, blocks, map, graphs, and every file's size and checksum
INDEX/000000.0-32.float32.npy    coordinates 0 … 31 of the rows of block 0 (see `blocks` for its other files)
INDEX/map-000000.safetensors     the orthogonal map that the rows went through, if any, or what a cut left of it
INDEX/000007.graph               an HNSW graph over a prefix
"""

from mrl.retrieval.building import BuildSpec
from mrl.retrieval.index import Index
from mrl.retrieval.layout import Layout
from mrl.retrieval.plan import HNSW, Plan, Scan, Stage
from mrl.retrieval.results import Results, Work
from mrl.retrieval.rows import Batch, Rows

__all__ = ["HNSW", "Batch", "BuildSpec", "Index", "Layout", "Plan", "Results", "Rows", "Scan", "Stage", "Work"]
