"""What may be said of a mean measured on a few queries, and how sure one may be of it."""

from mrl.promise.betting import Estimate, estimate, lower_bound, needed, p_value, upper_bound
from mrl.promise.bootstrap import Difference, bootstrap, interval, paired, wilson
from mrl.promise.gate import Gate, gate
from mrl.promise.promise import Parts, Promise
from mrl.promise.recheck import Recheck, recheck
from mrl.promise.simulation import most_allowed, wrong_share
from mrl.promise.testing import difference, fixed_sequence, gap, gap_bound, split

__all__ = [
    "Difference",
    "Estimate",
    "Gate",
    "Parts",
    "Promise",
    "Recheck",
    "bootstrap",
    "difference",
    "estimate",
    "fixed_sequence",
    "gap",
    "gap_bound",
    "gate",
    "interval",
    "lower_bound",
    "most_allowed",
    "needed",
    "p_value",
    "paired",
    "recheck",
    "split",
    "upper_bound",
    "wilson",
    "wrong_share",
]
