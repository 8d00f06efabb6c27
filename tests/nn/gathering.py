"""One process of a team, started by torchrun, which leaves its losses and gradients in FOLDER; and the joined batch."""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path

import torch
from torch import distributed as dist
from torch.utils._python_dispatch import TorchDispatchMode

from mrl import Nesting
from mrl.errors import InputError
from mrl.nn import Keys, nested_info_nce, nested_siglip

CASES = {
    "plain": {},
    "symmetric": {"symmetric": True},
    "margin": {"margin": 0.1, "symmetric": True},
    "keys": {"keys": ("queries", "documents", "negatives")},
    "symmetric keys": {"symmetric": True, "keys": ("queries", "documents", "negatives")},
    "query keys": {"symmetric": True, "keys": ("queries",)},
    "mask": {"mask": True},
    "siglip": {"bias": True},
    "siglip keys": {"bias": True, "keys": ("documents", "negatives")},
}
SIZES = {  # pairs and negatives of each process
    "even": ((4, 2), (4, 2)),
    "uneven": ((5, 0), (2, 3)),
    "no negatives": ((1, 0), (6, 0)),
    "nothing of its own": ((0, 1), (3, 0)),
}
DIMS = (3, 5, 6, 9)


class Collectives(TorchDispatchMode):
    """Counts what goes between processes, by name and by whether it carries floats."""

    def __init__(self):
        super().__init__()
        self.counts = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.namespace == "c10d":
            vectors = any(x.is_floating_point() for x in args if isinstance(x, torch.Tensor))
            self.counts[("vectors " if vectors else "") + func.__name__.split(".")[0]] += 1
        return func(*args, **(kwargs or {}))


class Share:
    """A process's part of a batch, and what the loss makes of it. rank None: all of it."""

    def __init__(self, sizes, options, dtype=torch.float64, rank=None):
        draw = torch.Generator().manual_seed(0)
        pairs, negatives = (sum(size[which] for size in sizes) for which in (0, 1))
        rows = [slice(0, pairs), slice(0, negatives)]
        if rank is not None:
            starts = [sum(size[which] for size in sizes[:rank]) for which in (0, 1)]
            rows = [slice(start, start + size) for start, size in zip(starts, sizes[rank], strict=True)]
        whole = [torch.randn(n, 11, generator=draw, dtype=dtype) for n in (pairs, pairs, negatives)]
        cuts = dict(zip(("queries", "documents", "negatives"), (rows[0], rows[0], rows[1]), strict=True))
        self.views = [x[cut].clone().requires_grad_() for x, cut in zip(whole, cuts.values(), strict=True)]
        self.scale = torch.tensor(3.0, dtype=dtype, requires_grad=True)
        self.bias = torch.tensor(-1.0, dtype=dtype, requires_grad=True)
        keys = {kind: torch.randint(-(2**62), 2**62, (4,), generator=draw) for kind in cuts}
        draws = {kind: torch.randint(0, 4, (max(pairs, negatives),), generator=draw) for kind in cuts}
        keys["negatives"] = keys["documents"]
        self.options = {name: value for name, value in options.items() if name not in ("keys", "bias", "mask")}
        self.siglip = "bias" in options
        if "keys" in options:
            self.options["keys"] = Keys(**{
                kind: keys[kind][draws[kind]][: negatives if kind == "negatives" else pairs][cuts[kind]]
                for kind in options["keys"]
            })  # fmt: skip
        if "mask" in options:
            mask = torch.rand(pairs, pairs + negatives, generator=draw) < 0.3
            mask.diagonal().fill_(False)
            self.options["mask"] = mask[rows[0]]
        self.weight = 1.0 if rank is None else len(sizes) * sizes[rank][0] / pairs

    def run(self, gather, dims=DIMS):
        function = nested_siglip if self.siglip else nested_info_nce
        bias = {"bias": self.bias} if self.siglip else {}
        queries, documents, negatives = self.views
        loss = function(
            queries,
            documents,
            negatives=negatives if len(negatives) else None,
            nesting=Nesting(dims),
            scale=self.scale,
            gather=gather,
            chunk_bytes=500,
            **bias,
            **self.options,
        )
        (loss.total * self.weight).backward()
        own = [torch.zeros_like(x) if x.grad is None else x.grad for x in (*self.views, self.scale, self.bias)]
        return {"total": loss.total.detach() * self.weight, "hits": loss.hits, "gradients": own}


def name(size, case):
    return f"{size}, {case}"


def fits(size, case):
    """Keys of negatives need negatives everywhere; the mask is drawn for the joined batch and so fits always."""
    return "negatives" not in CASES[case].get("keys", ()) or size == "even"


def main(folder):
    rank = dist.get_rank()
    found = {
        name(size, case): Share(SIZES[size], CASES[case], rank=rank).run(gather=True)
        for size in SIZES
        for case in CASES
        if fits(size, case)
    }
    counts = {}
    for dims in ((9,), (1, 2, 3, 4, 5, 6, 7, 8, 9)):
        for case in ("plain", "symmetric", "siglip"):
            with Collectives() as mode:
                Share(SIZES["uneven"], CASES[case], rank=rank).run(True, dims)
            counts[case, len(dims)] = dict(mode.counts)
    found["counts"] = counts
    try:
        nested_info_nce(*torch.randn(2, 4, 8 + rank), nesting=Nesting((4,)), gather=True)
    except InputError as error:
        found["refusal"] = str(error)
    torch.save(found, folder / f"{rank}.pt")


if __name__ == "__main__":
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    assert os.environ["WORLD_SIZE"] == "2"
    main(Path(sys.argv[1]))
    dist.destroy_process_group()
