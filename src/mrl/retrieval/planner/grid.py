"""The full grid of plans: map × dims × engine × its knobs × keep × the encodings of the re-rank, and scans of codes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from math import log2, sqrt

from mrl.retrieval.encodings import ENCODINGS, bytes_per_row
from mrl.retrieval.engine import HNSW, IVF, Engine, Scan, engine_text
from mrl.retrieval.plan import REFERENCE, Plan, Stage

DIMS = (16, 24, 32, 48, 64, 96, 128, 192, 256)
EFS = (10, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 128, 192, 256, 384)
PROBES = (1, 2, 4, 8, 16, 32, 64, 128)
KEEPS = (10, 12, 14, 16, 18, 20, 22, 25, 28, 32, 36, 40, 50, 60, 75, 100, 150, 200, 300)
LONG = 4  # times k, at least, that both go on to
CHANGES = ({"m": 32}, {"ef_construction": 100}, {"codes": "float16"})  # of a graph with 16, 40 and int8
CODES = ("1bit", "int8")  # of lists
CHAINS = (("float32",), ("int12",), ("int8",), ("int8", "float32"), ("int8", "int12"))
SCANNED = ("1bit", "int8", "int12", "float16")  # encodings of a scan; the reference, too, of a prefix
NARROWEST = 16  # dims of a prefix that is scanned
MIDDLE = 2  # times k: what an int8 re-rank keeps for the finer one behind it
ROW_BYTES = 12  # of a row beside its coordinates: an id and a length


@dataclass(frozen=True)
class Way:
    """What proposes: an engine with its build knobs over `dim` dims, after the map or on the vectors as they are.

    encoding: what a scan reads; engines have codes of their own.
    """

    mapped: bool
    dim: int
    engine: Engine
    encoding: str = REFERENCE

    @property
    def scans(self) -> bool:
        """Whether it reads the store, and nothing has to be built."""
        return isinstance(self.engine, Scan)

    def __str__(self) -> str:
        if self.scans:
            return f"a scan of {Stage(self.dim, 1, self.encoding)}".replace(":1", "", 1)
        return f"{self.dim}/{engine_text(self.engine)}" + (" mapped" if self.mapped else "")


def lists(rows: int) -> tuple[int, int, int]:
    """Numbers of lists that are tried over so many rows: about the root of them, half and twice that."""
    middle = 2 ** round(log2(sqrt(rows)))
    return max(middle // 2, 1), middle, min(2 * middle, rows)


def dims(width: int) -> tuple[int, ...]:
    """Prefixes that are tried; the full width is none of them."""
    return tuple(dim for dim in DIMS if dim <= width // 2) or (width,)


def scans(width: int, trained: Iterable[int]) -> Iterator[Way]:
    """Scans of the full width in every coarser encoding; of prefixes that were trained, in all of them."""
    for dim in sorted({width, *(dim for dim in trained if NARROWEST <= dim < width)}, reverse=True):
        for encoding in SCANNED if dim == width else (*SCANNED, REFERENCE):
            yield Way(False, dim, Scan(), encoding)


def chains(way: Way, width: int) -> tuple[tuple[str, ...], ...]:
    """The re-ranks that may follow: behind a scan those that see more of a row, and none coarser; or no re-rank."""
    if not way.scans:
        return CHAINS
    own = ENCODINGS.index(_read(way))
    return ((), *(chain for chain in CHAINS if ENCODINGS.index(chain[0]) >= own + (way.dim == width)))


def kept(chain: tuple[str, ...], keep: int, k: int) -> list[int]:
    """How many rows each re-rank of the chain keeps, of `keep` that it gets."""
    return [*([min(MIDDLE * k, keep)] * (len(chain) - 1)), k] if chain else []


def asked(engine: Engine, rows: int, k: int) -> Iterator[Engine]:
    """The engine with each of its query knobs, cheapest first."""
    if isinstance(engine, HNSW):
        yield from (replace(engine, ef=ef) for ef in ladder(EFS, k) if k <= ef <= max(rows, k))
    elif isinstance(engine, IVF):
        yield from (replace(engine, probes=probes) for probes in PROBES if probes <= engine.lists)
    else:
        yield engine


def ladder(steps: tuple[int, ...], k: int) -> tuple[int, ...]:
    """The steps up to `LONG` times k at least: beyond the last one its octave is repeated, twice as large each time."""
    while steps[-1] < LONG * k:
        steps = (*steps, 2 * steps[-2], 2 * steps[-1])
    return steps


def longest(engine: Engine, rows: int, k: int) -> int:
    """How many proposals the engine is asked for, where a plan has to find k rows."""
    return min(engine.ef if isinstance(engine, HNSW) else ladder(KEEPS, k)[-1], rows)


def keeps(longest: int, k: int) -> tuple[int, ...]:
    """How many proposals may be re-ranked, of a list of so many."""
    return tuple(sorted({keep for keep in (*ladder(KEEPS, k), k) if k <= keep <= longest}))


def plan_of(way: Way, engine: Engine, keep: int, chain: tuple[str, ...], shape: tuple[int, int, str]) -> Plan:
    """The plan. engine: with its query knob. shape: the vectors' width, k, and the map's name."""
    width, k, turn = shape
    rerank = [
        Stage(width, count, REFERENCE if name == "float32" else name)
        for name, count in zip(chain, kept(chain, keep, k), strict=True)
    ]
    return Plan((Stage(way.dim, keep, way.encoding, engine), *rerank), turn if way.mapped else "")


def plan_bytes(way: Way, chain: tuple[str, ...], rows: int, width: int) -> int:
    """Memory that a plan's searches read from: its engine's, or the codes that it scans, and those of the re-rank."""
    if not way.scans:
        return engine_bytes(way, rows, width) + chain_bytes(chain, rows, width)
    lengths = 4 * (way.dim < width and len(chain) > 0)  # of the prefix
    own = 0 if _read(way) in chain else bytes_per_row(_read(way), way.dim)
    return rows * (own + lengths) + chain_bytes(chain, rows, width)


def _read(way: Way) -> str:
    return "float32" if way.encoding == REFERENCE else way.encoding


def engine_bytes(way: Way, rows: int, width: int) -> int:
    """Memory of the engine: its vectors, links or lists, and its map."""
    each = {"1bit": way.dim / 8 + 8, "int8": way.dim, "float16": 2 * way.dim, "float32": 4 * way.dim}
    engine, shared = way.engine, 4 * width * way.dim * way.mapped
    if isinstance(engine, HNSW):
        links = 4 * (2 * engine.m + engine.m / (engine.m - 1) + 1) + 12  # the lowest layer, those above, and places
        return int(rows * (each[engine.codes] + links)) + shared
    if isinstance(engine, IVF):
        return int(rows * (each[engine.codes] + 8)) + 4 * engine.lists * way.dim + shared
    return int(rows * each["1bit"]) + shared


def chain_bytes(chain: tuple[str, ...], rows: int, width: int) -> int:
    """Memory that the re-rank reads from: each encoding, ids and lengths."""
    return rows * (sum(bytes_per_row(name, width) for name in chain) + ROW_BYTES)
