"""One-pass InfoNCE and SigLIP against the dense loop that everybody ships: forward and backward, float32, five dims.

    python benchmarks/bench_contrastive.py [--device cuda] [--pairs 5] [--large]

Claims (N = 4,096 pairs, d = 768, dims 64/128/256/512/768): at least 2.0× faster than the loop (rescale both, a matmul
and a cross-entropy per dim), at most 1.5× the time of the loss at the full width alone, at most a quarter of the
loop's extra memory; SigLIP likewise. N = 32,768 within 4 GB (--large, minutes). Beside them, in the same process,
sentence-transformers' MatryoshkaLoss; on a GPU, at its published shapes, memeff where it is installed.
Extra memory: the peak above inputs and gradients; on the CPU the growth of VmHWM in a fresh process.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from harness import describe, in_fresh_process, keep, paired, peak_bytes, seconds
from torch import Tensor
from torch.nn import functional as F

from mrl import Nesting
from mrl.nesting import unit_prefix
from mrl.nn import nested_info_nce, nested_siglip

NESTING = Nesting((64, 128, 256, 512, 768))
PAIRS = 4096
LARGE = 32_768
GPU_SHAPES = tuple((pairs, d) for d in (384, 1024) for pairs in (8192, 16_384, 32_768, 65_536))
Loss = Callable[[Tensor, Tensor, Nesting, Tensor], Tensor]


def one_pass(a: Tensor, b: Tensor, nesting: Nesting, scale: Tensor) -> Tensor:
    return nested_info_nce(a, b, nesting=nesting, scale=scale).total


def symmetric(a: Tensor, b: Tensor, nesting: Nesting, scale: Tensor) -> Tensor:
    return nested_info_nce(a, b, nesting=nesting, scale=scale, symmetric=True).total


def siglip(a: Tensor, b: Tensor, nesting: Nesting, scale: Tensor) -> Tensor:
    return nested_siglip(a, b, nesting=nesting, scale=scale, bias=-10.0).total


def loop(a: Tensor, b: Tensor, nesting: Nesting, scale: Tensor) -> Tensor:
    """The dense way: all similarities of every dim, then a cross-entropy each."""
    own = torch.arange(len(a), device=a.device)
    return torch.stack([F.cross_entropy(_logits(a, b, dim, scale), own) for dim in nesting.dims]).sum()


def symmetric_loop(a: Tensor, b: Tensor, nesting: Nesting, scale: Tensor) -> Tensor:
    own = torch.arange(len(a), device=a.device)
    every = [_logits(a, b, dim, scale) for dim in nesting.dims]
    return torch.stack([(F.cross_entropy(s, own) + F.cross_entropy(s.T, own)) / 2 for s in every]).sum()


def siglip_loop(a: Tensor, b: Tensor, nesting: Nesting, scale: Tensor) -> Tensor:
    """The paper's own code, algorithm 1, at every dim."""
    y = 2 * torch.eye(len(a), device=a.device) - 1
    each = [F.logsigmoid(y * (_logits(a, b, dim, scale) - 10.0)).sum() for dim in nesting.dims]
    return -torch.stack(each).sum() / len(a)


def _logits(a: Tensor, b: Tensor, dim: int, scale: Tensor) -> Tensor:
    return (unit_prefix(a, dim) * scale) @ unit_prefix(b, dim).T


class Vectors(torch.nn.Module):
    """What sentence-transformers' losses take for a model: its features are the vectors already."""

    def get_embedding_dimension(self) -> int:
        return NESTING.width

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"sentence_embedding": features["vectors"]}


def sentence_transformers(a: Tensor, b: Tensor, nesting: Nesting, scale: Tensor) -> Tensor:
    from sentence_transformers.sentence_transformer import losses

    model = Vectors()
    inner = losses.MultipleNegativesRankingLoss(model, scale=float(scale.detach()))
    loss = losses.MatryoshkaLoss(model, inner, list(nesting.dims))  # type: ignore[arg-type]
    return loss([{"vectors": a}, {"vectors": b}], torch.zeros(0))


LOSSES: dict[str, tuple[Loss, Loss]] = {  # ours and the loop
    "info-nce": (one_pass, loop),
    "info-nce, both ways": (symmetric, symmetric_loop),
    "siglip": (siglip, siglip_loop),
}
WAYS: dict[str, Loss] = {
    **{f"{name}, one-pass": ours for name, (ours, _) in LOSSES.items()},
    **{f"{name}, loop": theirs for name, (_, theirs) in LOSSES.items()},
    "sentence-transformers": sentence_transformers,
}


def setting(pairs: int, width: int, device: str, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs that resemble each other somewhat, as after some training, and a learnable scale."""
    torch.manual_seed(0)
    a = torch.randn(pairs, width, device=device)
    b = 0.3 * a + torch.randn(pairs, width, device=device)
    scale = torch.tensor(20.0, device=device, requires_grad=True)
    return a.to(dtype).requires_grad_(), b.to(dtype).requires_grad_(), scale


def stepper(way: Loss, case: tuple[Tensor, Tensor, Tensor], nesting: Nesting) -> Callable[[], None]:
    def step() -> None:
        for tensor in case:
            tensor.grad = None
        way(case[0], case[1], nesting, case[2]).backward()  # type: ignore[no-untyped-call]
        if case[0].is_cuda:
            torch.cuda.synchronize()

    return step


def extra_memory(way: Loss, pairs: int, width: int, nesting: Nesting, device: str) -> dict[str, float]:
    """Bytes that one step needs at its peak beyond inputs and gradients, the whole peak, and the seconds it took."""
    stepper(way, setting(8, width, device), nesting)()
    case = setting(pairs, width, device)
    own = sum(t.numel() * t.element_size() for t in case)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        took = seconds(stepper(way, case, nesting))
        peak = torch.cuda.max_memory_allocated()
    else:
        before = peak_bytes()
        took = seconds(stepper(way, case, nesting))
        peak = peak_bytes()
    return {"bytes": peak - before - own, "peak": peak, "seconds": took}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--pairs", type=int, default=5, help="pairs of timings")
    parser.add_argument("--large", action="store_true", help=f"one step with {LARGE} pairs of vectors too")
    parser.add_argument("--memory", nargs=2, metavar=("WAY", "N"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.memory:
        way, n = args.memory
        print(json.dumps(extra_memory(WAYS[way], int(n), NESTING.width, NESTING, args.device)))
        return
    about = describe("torch", "mrl", "sentence-transformers", "memeff")
    threads = torch.get_num_threads()
    print(json.dumps(about, indent=2), f"\nN = {PAIRS}, d = {NESTING.width}, dims {NESTING}, float32, {args.device},")
    print(f"{threads} threads; 2 warm-up runs, {args.pairs} pairs of runs: median (quartiles), ratio [95 % interval]")
    result: dict[str, object] = {"about": about | {"threads": str(threads)}}
    result["losses"] = [compare(name, args) for name in LOSSES]
    result["sentence_transformers"] = against_sentence_transformers(args)
    if args.large:
        result["large"] = large(args.device)
    elif args.device == "cpu":
        result["large"] = _kept("large")
    if args.device == "cuda":
        result["gpu"] = [on_gpu(*shape, args) for shape in GPU_SHAPES]
    keep("contrastive" if args.device == "cpu" else f"contrastive_{args.device}", result)


def compare(name: str, args: argparse.Namespace) -> dict[str, object]:
    """Ours against the loop, and against the same dense loss of the full width alone."""
    case = setting(PAIRS, NESTING.width, args.device)
    ours, theirs = LOSSES[name]
    step = stepper(ours, case, NESTING)
    against_loop = paired(step, stepper(theirs, case, NESTING), args.pairs)
    against_single = paired(step, stepper(theirs, case, Nesting((NESTING.width,))), args.pairs)
    cost = 1 / against_single.speedup[::-1]
    mib = {way: _fresh(f"{name}, {way}", PAIRS, args.device)["bytes"] / 2**20 for way in ("one-pass", "loop")}
    print(f"\n{name}")
    print(f"  against the loop:       {against_loop}")
    print(f"  against a single dim:   {cost[1]:.2f}× its time [{cost[0]:.2f}, {cost[2]:.2f}]")
    print(f"  extra memory, MiB:      one-pass {mib['one-pass']:.0f}, loop {mib['loop']:.0f}", end="; ")
    print(f"{mib['one-pass'] / mib['loop']:.3f} of the loop's", flush=True)
    return {
        "loss": name,
        "pairs": args.pairs,
        "ours_ms": _median(against_loop.ours),
        "loop_ms": _median(against_loop.theirs),
        "faster_than_loop": [round(float(x), 3) for x in against_loop.speedup],
        "times_single_dim": [round(float(x), 3) for x in cost],
        "extra_mib": {way: round(value, 1) for way, value in mib.items()},
    }


def against_sentence_transformers(args: argparse.Namespace) -> dict[str, object]:
    case = setting(PAIRS, NESTING.width, args.device)
    ratio = paired(stepper(one_pass, case, NESTING), stepper(sentence_transformers, case, NESTING), args.pairs)
    mib = _fresh("sentence-transformers", PAIRS, args.device)["bytes"] / 2**20
    print(f"\nsentence-transformers' MatryoshkaLoss(MultipleNegativesRankingLoss)\n  {ratio}")
    print(f"  its extra memory, MiB:  {mib:.0f}", flush=True)
    return {
        "ours_ms": _median(ratio.ours),
        "theirs_ms": _median(ratio.theirs),
        "faster": [round(float(x), 3) for x in ratio.speedup],
        "their_extra_mib": round(mib, 1),
    }


def large(device: str) -> list[dict[str, object]]:
    """One step each, in a process of its own: the whole process's peak, and the time."""
    rows = []
    for name in LOSSES:
        found = _fresh(f"{name}, one-pass", LARGE, device)
        gib, took = found["peak"] / 2**30, found["seconds"]
        print(f"\n{name}, N = {LARGE}: peak of the process {gib:.2f} GiB, {took:.1f} s", flush=True)
        rows.append({"loss": name, "n": LARGE, "peak_gib": round(gib, 3), "seconds": round(took, 2)})
    return rows


def on_gpu(pairs: int, width: int, args: argparse.Namespace) -> dict[str, object]:
    """bf16, at memeff's published shapes: time and peak memory of ours, the dense loop, and memeff."""
    nesting = Nesting((64, 128, 256, 384) if width == 384 else (64, 128, 256, 512, 768, 896, 1024))
    row: dict[str, object] = {"pairs": pairs, "width": width}
    for name, way in {"one-pass": one_pass, "loop": loop, **_memeff(nesting)}.items():
        case = setting(pairs, width, args.device, torch.bfloat16)
        step = stepper(way, case, nesting)
        try:
            step()
            torch.cuda.reset_peak_memory_stats()
            times = sorted(seconds(step) for _ in range(args.pairs))
            row[name] = {
                "ms": round(times[len(times) // 2] * 1e3, 2),
                "peak_gib": torch.cuda.max_memory_allocated() / 2**30,
            }
        except torch.OutOfMemoryError:
            row[name] = "out of memory"
        torch.cuda.empty_cache()
    print(json.dumps(row), flush=True)
    return row


def _memeff(nesting: Nesting) -> dict[str, Loss]:
    """memeff's fused nested InfoNCE, where it is installed; its temperature is a number without a gradient."""
    try:
        from memeff import MemoryEfficientMatryoshkaQwen3Loss
    except ImportError:
        return {}
    loss = MemoryEfficientMatryoshkaQwen3Loss(nesting.dims, temperature=1 / 20, margin=2.0, stable=False)
    return {"memeff": lambda a, b, nesting, scale: loss(a, b)}


def _fresh(way: str, n: int, device: str) -> dict[str, float]:
    return in_fresh_process(sys.argv[0], "--device", device, "--memory", way, str(n))


def _median(times: object) -> float:
    return round(float(sorted(times)[len(times) // 2]) * 1e3, 1)  # type: ignore[call-overload, arg-type]


def _kept(name: str) -> object:
    """What an earlier run with the option found."""
    path = Path(__file__).parent / "results" / "contrastive.json"
    return json.loads(path.read_text()).get(name) if path.exists() else None


if __name__ == "__main__":
    main()
