"""The engines that ours is held against, each with its build knobs in its name and its query knobs in ladders.

FAISS, usearch and hnswlib, inner product of vectors of unit length (which orders as cosine and L2 do). A build knob
makes another peer ("HNSW32 efC40"), query knobs stand in ladders, the cheapest setting first: a ladder is climbed
until its recall is as good as perfect. A peer is asked as its documentation tells a user to: parameter objects are
made once, a batch is one call, and threads are its own.

`spaces` says in which space each is tried: raw, pca (the PCA rotation) and random (a random rotation: what RaBitQ
wishes for, whose own rotation would have to be paid at each query). Queries are rotated for free. Graphs over
floats are tried raw alone: a rotation changes no score, so it changes no step of theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, Protocol

import faiss
import numpy as np
import numpy.typing as npt

Floats, Ids = npt.NDArray[np.float32], npt.NDArray[np.int64]
Setting = dict[str, int]
Search = Callable[[Floats, int], Ids]  # (q, d) and k to (q, k) row numbers, -1 where there are none

IP = faiss.METRIC_INNER_PRODUCT
STILL = ("raw",)  # where a rotation changes nothing: graphs over floats
EF = (10, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 160, 192, 256, 384, 512, 768)
PROBES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
FACTORS = (2, 4, 8, 16, 32, 64)


class Built(Protocol):
    """An index in memory."""

    def at(self, setting: Setting, threads: int) -> Search:
        """Its search with these query knobs; valid until the next call."""

    def save(self, path: Path) -> None:
        """Write it as its library does."""


@dataclass(frozen=True)
class Peer:
    """name: with build knobs. base: those of the same base share what `make` gives. make: rows (n, d) and threads to
    what takes long to build. view: that and the rows to what is searched. load: from a saved file."""

    name: str
    base: str
    make: Callable[[Floats, int], Any]
    view: Callable[[Any, Floats], Built]
    load: Callable[[Path, int], Built]
    ladders: tuple[tuple[Setting, ...], ...] = (({},),)
    spaces: tuple[str, ...] = ("raw", "pca")

    def build(self, rows: Floats, threads: int) -> Built:
        return self.view(self.make(rows, threads), rows)


@dataclass(frozen=True)
class Faiss:
    """A FAISS index. parameters: those of one setting, made once. set: for what has no parameters of one search."""

    index: Any
    parameters: Callable[[Setting], Any] = lambda setting: None
    rows: Floats | None = None  # kept alive

    def at(self, setting: Setting, threads: int) -> Search:
        faiss.omp_set_num_threads(threads)
        chosen = self.parameters(setting)
        return lambda queries, k: self.index.search(queries, k, params=chosen)[1]

    def save(self, path: Path) -> None:
        faiss.write_index(self.index, str(path))


@dataclass(frozen=True)
class Usearch:
    """scale: 0, or what queries are multiplied with before they are rounded to int8."""

    index: Any
    scale: float = 0.0

    def at(self, setting: Setting, threads: int) -> Search:
        self.index.expansion_search = setting["expansion"]

        def search(queries: Floats, k: int) -> Ids:
            asked = to_int8(queries, self.scale) if self.scale else queries
            keys = self.index.search(asked, k, threads=1 if len(queries) == 1 else threads).keys
            return np.asarray(keys).reshape(len(queries), -1)

        return search

    def save(self, path: Path) -> None:
        self.index.save(str(path))
        path.with_suffix(".scale").write_text(str(self.scale))


@dataclass(frozen=True)
class Hnswlib:
    index: Any

    def at(self, setting: Setting, threads: int) -> Search:
        self.index.set_ef(setting["ef"])
        return lambda queries, k: self.index.knn_query(queries, k, num_threads=threads)[0]

    def save(self, path: Path) -> None:
        self.index.save_index(str(path))


def filled(index: Any, rows: Floats, threads: int) -> Any:
    """Trained and with all rows."""
    faiss.omp_set_num_threads(threads)
    if not index.is_trained:
        index.train(rows)
    index.add(rows)
    return index


def hnsw(rows: Floats, threads: int, m: int, construction: int, codes: int | None = None) -> Any:
    width = rows.shape[1]
    index = faiss.IndexHNSWFlat(width, m, IP) if codes is None else faiss.IndexHNSWSQ(width, codes, m, IP)
    index.hnsw.efConstruction = construction
    return filled(index, rows, threads)


def ivf(rows: Floats, threads: int, lists: int, kind: Callable[[Any, int], Any]) -> Any:
    """kind: quantiser and width to an empty index."""
    quantiser = faiss.IndexFlatIP(rows.shape[1])
    index = kind(quantiser, rows.shape[1])
    index.own_fields = True
    quantiser.this.disown()
    index.cp.min_points_per_centroid = 1
    return filled(index, rows, threads)


def hnsw_parameters(setting: Setting) -> Any:
    return faiss.SearchParametersHNSW(efSearch=setting["ef"])


def ivf_parameters(setting: Setting) -> Any:
    return faiss.IVFSearchParameters(nprobe=setting["nprobe"])


def ivf_rabitq_parameters(setting: Setting) -> Any:
    made = faiss.IVFRaBitQSearchParameters()
    made.nprobe, made.qb = setting["nprobe"], 8
    return made


def refined(base: Callable[[Setting], Any] | None, setting: Setting) -> Any:
    inner = base(setting) if base else None
    return faiss.IndexRefineSearchParameters(k_factor=float(setting["factor"]), base_index_params=inner)


def _plain(parameters: Callable[[Setting], Any] | None) -> dict[str, Any]:
    chosen = parameters or (lambda setting: None)
    return {
        "view": lambda index, rows: Faiss(index, chosen),
        "load": lambda path, width: Faiss(faiss.read_index(str(path)), chosen),
    }


def _refined(parameters: Callable[[Setting], Any] | None) -> dict[str, Any]:
    chosen = partial(refined, parameters)
    return {
        "view": lambda index, rows: Faiss(faiss.IndexRefineFlat(index, faiss.swig_ptr(rows)), chosen, rows),
        "load": lambda path, width: Faiss(faiss.read_index(str(path)), chosen),
    }


def ladder(knob: str, values: Iterable[int], **fixed: int) -> tuple[Setting, ...]:
    return tuple({**fixed, knob: value} for value in values)


def exact() -> list[Peer]:
    def flat(rows: Floats, threads: int) -> Any:
        return filled(faiss.IndexFlatIP(rows.shape[1]), rows, threads)

    def panorama(levels: int, rows: Floats, threads: int) -> Any:
        return filled(faiss.IndexFlatIPPanorama(rows.shape[1], levels), rows, threads)

    found = [Peer("FlatIP", "FlatIP", flat, **_plain(None), spaces=("raw",))]
    for levels in (4, 8, 16, 32, 64):
        name = f"FlatIPPanorama {levels} levels"
        found.append(Peer(name, name, partial(panorama, levels), **_plain(None)))
    return found


def graphs() -> list[Peer]:
    found = []
    kinds = {"": None, " SQ8": faiss.ScalarQuantizer.QT_8bit, " fp16": faiss.ScalarQuantizer.QT_fp16}
    for (code, kind), m, construction in product(kinds.items(), (16, 32), (40, 200)):
        base = f"HNSW{m}{code} efC{construction}"
        make = partial(hnsw, m=m, construction=construction, codes=kind)
        spaces = ("raw", "pca") if code == " SQ8" else STILL
        found.append(Peer(base, base, make, **_plain(hnsw_parameters), ladders=(ladder("ef", EF),), spaces=spaces))
        if kind is not None:
            ladders = tuple(ladder("ef", [ef for ef in EF if ef >= 10 * f], factor=f) for f in (2, 4))
            found.append(
                Peer(f"{base} + refine", base, make, **_refined(hnsw_parameters), ladders=ladders, spaces=spaces)
            )
    return found


def inverted(lists: Iterable[int]) -> list[Peer]:
    """IVF-flat, and IVF-PQ fast-scan and IVF-RaBitQ with refinement."""
    found, everywhere = [], ("raw", "pca")
    for n in lists:
        probes = [p for p in PROBES if p <= n]
        name = f"IVF{n} flat"
        make = partial(ivf, lists=n, kind=lambda q, d, n=n: faiss.IndexIVFFlat(q, d, n, IP))
        found.append(Peer(name, name, make, **_plain(ivf_parameters), ladders=(ladder("nprobe", probes),)))
        ladders = tuple(ladder("nprobe", probes, factor=factor) for factor in FACTORS)
        for share in (2, 4, 8):
            kind = lambda q, d, n=n, s=share: faiss.IndexIVFPQFastScan(q, d, n, d // s, 4, IP)  # noqa: E731
            name = f"IVF{n} PQ d/{share}x4fs + refine"
            made = partial(ivf, lists=n, kind=kind)
            found.append(Peer(name, name, made, **_refined(ivf_parameters), ladders=ladders, spaces=everywhere))
        for bits in (1, 2, 4):
            kind = lambda q, d, n=n, b=bits: faiss.IndexIVFRaBitQFastScan(q, d, n, IP, 32, True, b)  # noqa: E731
            name = f"IVF{n} RaBitQ {bits} bits fs + refine"
            made = partial(ivf, lists=n, kind=kind)
            some = ladders if bits == 1 else ladders[:3]
            found.append(Peer(name, name, made, **_refined(ivf_rabitq_parameters), ladders=some, spaces=everywhere))
    return found


def rabitq() -> list[Peer]:
    def make(bits: int, rows: Floats, threads: int) -> Any:
        index = faiss.IndexRaBitQFastScan(rows.shape[1], IP, 32, bits)
        index.qb = 8
        return filled(index, rows, threads)

    def plain(rows: Floats, threads: int) -> Any:
        return filled(faiss.IndexRaBitQ(rows.shape[1], IP, 1), rows, threads)

    everywhere, name = ("raw", "pca", "random"), "RaBitQ 1 bits, no fs, + refine"
    # The sums of a fast scan are 16 bits wide and overflow beyond about 2,500 dims, so that recall is lost for good.
    found = [Peer(name, name, plain, **_refined(None), ladders=(ladder("factor", FACTORS),), spaces=everywhere)]
    for bits in (1, 2, 4, 8):
        name, made = f"RaBitQ {bits} bits fs", partial(make, bits)
        found.append(Peer(name, name, made, **_plain(None), spaces=everywhere))
        ladders = (ladder("factor", FACTORS if bits == 1 else FACTORS[:3]),)
        found.append(Peer(f"{name} + refine", name, made, **_refined(None), ladders=ladders, spaces=everywhere))
    return found


def to_int8(vectors: Floats, scale: float) -> npt.NDArray[np.int8]:
    return np.rint(np.clip(vectors * scale, -127, 127)).astype(np.int8)


def usearches() -> list[Peer]:
    """Its own cast to int8 keeps few levels of long vectors: we also round them ourselves, by one scale of all rows."""
    from usearch.index import Index

    def make(kind: str, m: int, rows: Floats, threads: int) -> tuple[Any, float]:
        dtype, own, _ = kind.partition(" scaled")
        scale = 127 / float(np.quantile(np.abs(rows[:10_000]), 0.9999)) if own else 0.0
        made = Index(ndim=rows.shape[1], metric="ip", dtype=dtype, connectivity=m, expansion_add=128)
        made.add(np.arange(len(rows)), to_int8(rows, scale) if own else rows, threads=threads)
        return made, scale

    def load(path: Path, width: int) -> Built:
        return Usearch(Index.restore(str(path)), float(path.with_suffix(".scale").read_text()))

    found = []
    for kind, m in product(("f32", "f16", "bf16", "i8", "i8 scaled"), (16, 32)):
        name = f"usearch {kind} M{m}"
        view = lambda made, rows: Usearch(*made)  # noqa: E731
        spaces = ("raw", "pca") if kind.startswith("i8") else STILL
        found.append(Peer(name, name, partial(make, kind, m), view, load, (ladder("expansion", EF),), spaces))
    return found


def hnswlibs() -> list[Peer]:
    import hnswlib

    def make(m: int, construction: int, rows: Floats, threads: int) -> Any:
        made = hnswlib.Index(space="ip", dim=rows.shape[1])
        made.init_index(max_elements=len(rows), M=m, ef_construction=construction)
        made.add_items(rows, num_threads=threads)
        return made

    def load(path: Path, width: int) -> Built:
        found = hnswlib.Index(space="ip", dim=width)
        found.load_index(str(path))
        return Hnswlib(found)

    found = []
    for m, construction in product((16, 32), (40, 200)):
        name = f"hnswlib M{m} efC{construction}"
        view = lambda index, rows: Hnswlib(index)  # noqa: E731
        found.append(Peer(name, name, partial(make, m, construction), view, load, (ladder("ef", EF),), STILL))
    return found


def peers(lists: Iterable[int]) -> list[Peer]:
    """All, those that build fast first."""
    return [*exact(), *rabitq(), *inverted(lists), *graphs(), *hnswlibs(), *usearches()]
