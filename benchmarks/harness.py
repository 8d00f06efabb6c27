"""What every benchmark shares: the machine, paired timing, and memory of a fresh process."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np


def describe(*packages: str) -> dict[str, str]:
    """Machine, commit and versions, as printed and kept with every figure."""
    return {
        "cpu": _cpu(),
        "cores": str(len(os.sched_getaffinity(0))),
        "python": platform.python_version(),
        "commit": _commit(),
        "command": " ".join([Path(sys.executable).name, *sys.argv]),
        **{name: _version(name) for name in packages},
    }


@dataclass(frozen=True)
class Ratio:
    """Paired timings of two callables. ours, theirs: seconds per run; their ratio's median with a 95 % interval."""

    ours: np.ndarray
    theirs: np.ndarray

    @property
    def speedup(self) -> np.ndarray:
        """(low, median, high) of theirs / ours, bootstrapped over the pairs."""
        ratios = self.theirs / self.ours
        draws = np.random.default_rng(0).choice(ratios, (2000, len(ratios)))
        low, high = np.percentile(np.median(draws, axis=1), [2.5, 97.5])
        return np.array([low, np.median(ratios), high])

    def __str__(self) -> str:
        low, mid, high = self.speedup
        return (
            f"ours {_spread(self.ours)} ms, theirs {_spread(self.theirs)} ms, {mid:.2f}× faster [{low:.2f}, {high:.2f}]"
        )


def paired(
    ours: Callable[[], object], theirs: Callable[[], object], pairs: int = 15, warm_up: int = 2, rest: float = 0.0
) -> Ratio:
    """Time the two in turn, after `warm_up` runs of each; the order within a pair alternates.

    rest: seconds before each run, so that threads of the one before, which spin for a while when they are done (those
    of a BLAS do), do not slow the other.
    """
    for _ in range(warm_up):
        ours()
        theirs()
    times: dict[int, list[float]] = {0: [], 1: []}
    for pair in range(pairs):
        for which in (0, 1) if pair % 2 == 0 else (1, 0):
            time.sleep(rest)
            times[which].append(seconds((ours, theirs)[which]))
    return Ratio(np.array(times[0]), np.array(times[1]))


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def in_fresh_process(script: str, *arguments: str) -> dict[str, float]:
    """Run this script with arguments in a process of its own; what it prints last is a JSON object."""
    done = subprocess.run([sys.executable, script, *arguments], capture_output=True, text=True, check=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def peak_bytes() -> int:
    """VmHWM: the most memory this process has held so far."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def keep(name: str, result: dict[str, object]) -> None:
    """Keep a result in benchmarks/results/NAME.json."""
    path = Path(__file__).parent / "results" / f"{name}.json"
    path.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")


def _spread(values: np.ndarray) -> str:
    low, mid, high = np.percentile(values * 1e3, [25, 50, 75])
    return f"{mid:.0f} ({low:.0f} to {high:.0f})"


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "none"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"
