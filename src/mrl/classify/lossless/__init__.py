"""The rule `lossless`: a row stops as soon as nothing in the dims not read yet can change its answer. See `run`."""

from __future__ import annotations

from mrl.classify.lossless.run import Savings, measure_lossless, run_lossless

__all__ = ["Savings", "measure_lossless", "run_lossless"]
