"""One-pass nested cross-entropy against the loop that everybody ships: forward and backward, float32, nine dims.

    python benchmarks/bench_cross_entropy.py [--device cuda] [--pairs 15]

Claims (d = 2048, dims 8 … 2048): MRL-E at least 2.0× faster than the loop (a matmul and a cross-entropy per dim) at
512 rows × 10,000 classes and at 2048 × 1,000, with at most a quarter of its extra memory at the first, and at most
1.5× the time of a single dim's linear + cross-entropy; MRL no slower than the loop at a quarter of its extra memory.
Extra memory: the peak above inputs, parameters and gradients; on the CPU the growth of VmHWM in a fresh process.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable

import torch
from harness import describe, in_fresh_process, keep, paired, peak_bytes
from torch import Tensor
from torch.nn import functional as F

from mrl import Nesting
from mrl.nn import Head, make_head, nested_cross_entropy

NESTING = Nesting.halving(2048, smallest=8)
SHAPES = ((512, 10_000), (2048, 1_000))


def one_pass(head: Head, z: Tensor, y: Tensor) -> None:
    nested_cross_entropy(head, z, y).backward()


def loop(head: Head, z: Tensor, y: Tensor) -> None:
    """The reference implementation's way: all logits first, then one cross-entropy per dim."""
    if head.tied:
        w, b = head.weights[0], head.biases[0]
        logits = [z[:, :m] @ w[:, :m].t() + b for m in NESTING.dims]
    else:
        logits = [F.linear(z[:, :m], w, b) for m, w, b in zip(NESTING.dims, head.weights, head.biases, strict=True)]
    torch.stack([F.cross_entropy(level, y) for level in logits]).sum().backward()


def single(head: Head, z: Tensor, y: Tensor) -> None:
    """One dim only, the full width: what training without nesting costs."""
    F.cross_entropy(F.linear(z, head.weights[-1], head.biases[-1]), y).backward()


WAYS: dict[str, Callable[[Head, Tensor, Tensor], None]] = {"one-pass": one_pass, "loop": loop, "single": single}


def setting(kind: str, rows: int, classes: int, device: str) -> tuple[Head, Tensor, Tensor]:
    torch.manual_seed(0)
    head = make_head(kind, NESTING, classes).to(device)  # type: ignore[arg-type]
    z = torch.randn(rows, NESTING.width, device=device, requires_grad=True)
    return head, z, torch.randint(0, classes, (rows,), device=device)


def stepper(way: str, head: Head, z: Tensor, y: Tensor) -> Callable[[], None]:
    def step() -> None:
        z.grad = None
        head.zero_grad(set_to_none=True)
        WAYS[way](head, z, y)
        if z.is_cuda:
            torch.cuda.synchronize()

    return step


def extra_memory(way: str, kind: str, rows: int, classes: int, device: str) -> int:
    """Bytes that one step of `way` needs at its peak beyond inputs, parameters and their gradients."""
    tiny = make_head(kind, NESTING, 3).to(device)  # type: ignore[arg-type]
    WAYS[way](
        tiny, torch.randn(4, NESTING.width, device=device, requires_grad=True), torch.zeros(4, dtype=int, device=device)
    )
    head, z, y = setting(kind, rows, classes, device)
    own = sum(t.numel() * t.element_size() for t in (z, *_used(way, head)))
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        WAYS[way](head, z, y)
        return torch.cuda.max_memory_allocated() - before - own
    before = peak_bytes()
    WAYS[way](head, z, y)
    return peak_bytes() - before - own


def _used(way: str, head: Head) -> list[Tensor]:
    return [head.weights[-1], head.biases[-1]] if way == "single" else list(head.parameters())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--memory", nargs=4, metavar=("WAY", "KIND", "ROWS", "CLASSES"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.memory:
        way, kind, rows, classes = args.memory
        print(json.dumps({"bytes": extra_memory(way, kind, int(rows), int(classes), args.device)}))
        return
    about = describe("torch", "mrl")
    print(json.dumps(about, indent=2), f"\nd = {NESTING.width}, dims {NESTING}, float32, {args.device}; 2 warm-up runs")
    results = [compare(kind, *shape, args) for kind in ("mrl-e", "mrl") for shape in SHAPES]
    keep(f"cross_entropy_{args.device}", {"about": about, "results": results})


def compare(kind: str, rows: int, classes: int, args: argparse.Namespace) -> dict[str, object]:
    case = setting(kind, rows, classes, args.device)
    steps = {way: stepper(way, *case) for way in WAYS}
    against_loop = paired(steps["one-pass"], steps["loop"], args.pairs)
    against_single = paired(steps["one-pass"], steps["single"], args.pairs)
    memory = {
        way: in_fresh_process(sys.argv[0], "--device", args.device, "--memory", way, kind, str(rows), str(classes))
        for way in WAYS
    }
    mib = {way: value["bytes"] / 2**20 for way, value in memory.items()}
    cost = 1 / against_single.speedup[::-1]
    print(f"\n{kind}, {rows} rows × {classes} classes")
    print(f"  against the loop:       {against_loop}")
    print(f"  against a single dim:   {cost[1]:.2f}× its time [{cost[0]:.2f}, {cost[2]:.2f}]")
    print(
        f"  extra memory, MiB:      one-pass {mib['one-pass']:.0f}, loop {mib['loop']:.0f}, single {mib['single']:.0f}"
        f"; {mib['one-pass'] / mib['loop']:.3f} of the loop's"
    )
    return {
        "head": kind,
        "rows": rows,
        "classes": classes,
        "pairs": args.pairs,
        "ours_ms": round(float(sorted(against_loop.ours)[args.pairs // 2]) * 1e3, 1),
        "loop_ms": round(float(sorted(against_loop.theirs)[args.pairs // 2]) * 1e3, 1),
        "faster_than_loop": [round(float(x), 3) for x in against_loop.speedup],
        "times_single_dim": [round(float(x), 3) for x in cost],
        "extra_mib": {way: round(value, 1) for way, value in mib.items()},
    }


if __name__ == "__main__":
    main()
