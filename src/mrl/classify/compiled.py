"""What a level says of rows, in one compiled pass over their products, and whether they stop. Needs Numba.

The logits of one row stay in the first cache for all that is asked of them: the best, the sum of the exponentials, and
the second or the entropy where the rule asks for it. `looking` is the same in NumPy.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from mrl.classify.lines import FILL, LEAST, exponential, largest
from mrl.retrieval.addresses import fetch

PROBABILITY, MARGIN, ENTROPY, AGREEMENT, GAIN = range(5)
BLOCK = 256  # logits after which their sum may be enough

SUMS = {"reassoc", "contract", "nsz"}  # what a sum may do to its order
ONE, ZERO, INFINITE = np.float32(1), np.float32(0), np.float32(np.inf)
SMALL = 2.0**-126  # a shorter prefix has no inverse in float32, and counts as zero
NEAR = 1e-6  # of a probability: more than rounding changes it

_summing = numba.njit(nogil=True, cache=True, fastmath=SUMS)


# ------------------------------------------------------------------------------- all classes


@_summing
def look(part: Any, own: Any, rows: Any, raw: Any, scale: Any, when: Any, found: Any) -> None:
    """Take in a level of some rows of a tile, and say which go on.

    part: (m, p) products over the dims of this step. own: (m,) what scores of a row are multiplied by. rows: (m,) their
    places in the tile. raw: (n, p) products so far, of the rows of the tile that went on. found: (n,) each.
    """
    line = np.empty(_filled(part.shape[1]), np.float32)
    for i in range(len(rows)):
        products = part[i]
        if when.continues:
            products = raw[rows[i]]
            for c in range(products.size):
                products[c] += part[i, c]
        _logits(products, scale.times, scale.plus, own[i], line)
        count = _by_class(line, products.size, scale.starts) if scale.starts.size else products.size
        logits = _fill(line, count)
        best = _place(logits, largest(logits))
        _conclude(logits, best, best, rows[i], when, found)
        if when.more and not when.continues and found.going[rows[i]]:
            raw[rows[i], :] = part[i]


@_summing
def lengths(x: Any, rows: Any, continues: bool, squares: Any, own: Any) -> None:
    """own (m,) = 1 / length of the prefix so far, 0 for a zero one; squares (n,) is brought up to date."""
    for i in range(len(rows)):
        total = np.float64(0)
        for j in range(x.shape[1]):
            total += np.float64(x[i, j]) * np.float64(x[i, j])
        if continues:
            total += squares[rows[i]]
        squares[rows[i]] = total
        length = np.sqrt(total)
        own[i] = 1 / length if length >= SMALL else 0


@_summing
def _logits(products: Any, times: Any, plus: Any, own: Any, line: Any) -> None:
    for c in range(products.size):
        line[c] = (products[c] * times[c] + plus[c]) * own


@_summing
def _by_class(line: Any, prototypes: int, starts: Any) -> int:
    """The best of each class's prototypes, to the front of the line; how many classes."""
    for c in range(starts.size):
        stop = starts[c + 1] if c + 1 < starts.size else prototypes
        line[c] = _most(line[starts[c] : stop])
    return int(starts.size)


@numba.njit(nogil=True, cache=True)
def _filled(count: int) -> int:
    return (count + FILL - 1) // FILL * FILL


@numba.njit(nogil=True, cache=True)
def _fill(line: Any, count: int) -> Any:
    """The line as far as it is used, with the weight 0 after `count` logits."""
    line[count : _filled(count)] = -INFINITE
    return line[: _filled(count)]


@numba.njit(nogil=True, cache=True)
def _most(values: Any) -> Any:
    """The largest of a few, one by one."""
    most = values[0]
    for c in range(1, values.size):
        most = values[c] if values[c] > most else most
    return most


@numba.njit(nogil=True, cache=True)
def _place(line: Any, value: Any) -> int:
    """Where a filled line first has this value."""
    for start in range(0, line.size, FILL):
        block, here = line[start : start + FILL], np.int32(0)
        for c in range(FILL):
            here |= np.int32(block[c] == value)
        if here:
            for c in range(FILL):
                if block[c] == value:
                    return start + c
    return 0


# ------------------------------------------------------------------------------- scores


@_summing
def _conclude(line: Any, best: int, label: int, row: int, when: Any, found: Any) -> None:
    """What logits (classes,) say of a row, and whether it goes on. best: the place of the label's. The line is not the
    same afterwards."""
    same = when.level > 0 and found.labels[row] == label
    found.labels[row], found.levels[row], found.going[row] = label, when.level, True
    if when.threshold < INFINITE:
        score, probability = _score(line, best, same, when)
        found.confidence[row], found.going[row] = probability, not score >= when.threshold


@_summing
def _score(line: Any, best: int, same: bool, when: Any) -> Any:
    """(score, probability) of one row; see `signals`. The line is not the same afterwards. Of a row that goes on by the
    first ones of its classes, they are too large."""
    top, rule, sure = line[best], when.rule, ZERO
    line[best] = -INFINITE  # next to 1, its own weight, the others' sum would lose its last digits
    if rule in (ENTROPY, GAIN):
        rest, sure = _spread(line, top, when.inverse, when.choices)
    else:
        rest = _rest(line, top, when.inverse, _enough(same, when))
    probability = np.float32(1 / (1 + np.float64(rest)))
    if rule == PROBABILITY:
        return probability, probability
    if rule == ENTROPY:
        return sure, probability
    if rule == AGREEMENT:
        return (probability if same else ZERO), probability
    second = exponential((largest(line) - top) * when.inverse)  # 0 where there is none
    margin = np.float32((1 - np.float64(second)) / (1 + np.float64(rest)))
    if rule == MARGIN:
        return margin, probability
    return np.float32(1 - _expected(when.gain, probability, margin, sure, same)), probability


@_summing
def _enough(same: bool, when: Any) -> Any:
    """From which sum of the others' weights on no score, at most the probability 1 / (1 + sum), rounds to the threshold
    or above."""
    if when.threshold <= ZERO:
        return INFINITE
    return ZERO if when.rule == AGREEMENT and not same else np.float32((1 + NEAR) / np.float64(when.threshold) - 1)


@_summing
def _rest(line: Any, top: Any, inverse: Any, enough: Any) -> Any:
    """The sum of the weights, or of the first ones if they are more than enough."""
    total = ZERO
    for start in range(0, line.size, BLOCK):
        block = line[start : start + BLOCK]
        for c in range(block.size):
            total += exponential((block[c] - top) * inverse)
        if total > enough:
            break
    return total


@_summing
def _spread(line: Any, top: Any, inverse: Any, choices: int) -> Any:
    """(sum of the others' weights, 1 − entropy / log choices)."""
    rest, inner = ZERO, ZERO
    for c in range(line.size):
        scaled = max((line[c] - top) * inverse, LEAST)
        weight = exponential(scaled)
        rest += weight
        inner += weight * scaled
    whole = 1 + np.float64(rest)
    sure = 1 - (np.log1p(np.float64(rest)) - np.float64(inner) / whole) / np.log(choices)
    return rest, np.float32(min(max(sure, 0.0), 1.0))


@_summing
def _expected(gain: Any, p: Any, m: Any, e: Any, same: bool) -> Any:
    """⟨coefficients, features⟩, as in `Signals.features`."""
    p, m, e = np.float64(p), np.float64(m), np.float64(e)
    root = np.sqrt(max(m, 0.0))
    told = gain[0] + gain[1] * p + gain[2] * m + gain[3] * e + gain[4] * root + gain[5] * m * m
    return told + gain[6] * p + gain[7] if same else told


# ------------------------------------------------------------------------------- only those kept


@_summing
def rescore(x: Any, own: Any, rows: Any, kept: Any, step: Any, found: Any) -> None:
    """Take in a level of some rows of a tile, for the prototypes that were kept of each, and say which rows go on.

    x: (m, end − begin) the dims of this step. own: (m,). rows: (m,) their places in the tile. kept: see `shortlisting`.
    step: with the whole weight (p, width). found: (n,) each.
    """
    many = kept.positions.shape[1]
    line, names = np.empty(_filled(many), np.float32), np.empty(many, np.int64)
    place = np.full(kept.owner.size, -1)
    for i in range(len(rows)):
        positions, raw = kept.positions[rows[i]], kept.raw[rows[i]]
        if step.end > step.begin:
            _products(x[i], step.weight, positions, step.begin, step.when.continues, raw)
        for s in range(many):
            c = positions[s]
            line[s], names[s] = (raw[s] * step.scale.times[c] + step.scale.plus[c]) * own[i], c
        count = _kept_classes(line, names, kept.owner, place) if place.size else many
        best = _first_class(line[:count], names)
        _conclude(_fill(line, count), best, names[best], rows[i], step.when, found)


@_summing
def _products(x: Any, weight: Any, positions: Any, begin: int, continues: bool, raw: Any) -> None:
    """raw (keep,) of one row x, with the next weights asked for before they are needed."""
    for s in range(positions.size):
        if s + 1 < positions.size:
            _fetch(weight, positions[s + 1], begin, x.size)
        part, total = weight[positions[s], begin : begin + x.size], ZERO
        for j in range(x.size):
            total += part[j] * x[j]
        raw[s] = raw[s] + total if continues else total


@_summing
def _fetch(weight: Any, row: int, begin: int, count: int) -> None:
    start = np.uint64(weight.ctypes.data) + np.uint64(4 * (row * weight.shape[1] + begin))
    for byte in range(0, 4 * count, 64):
        fetch(start + np.uint64(byte))


@_summing
def _kept_classes(line: Any, names: Any, owner: Any, place: Any) -> int:
    """The best of each class's prototypes and the class, to the front; how many classes. place: (p,), −1 throughout."""
    count = 0
    for s in range(names.size):
        value, name = line[s], owner[names[s]]
        at = place[name]
        if at < 0:
            at = place[name] = count
            line[at], names[at] = value, name
            count += 1
        elif value > line[at]:
            line[at] = value
    for s in range(count):
        place[names[s]] = -1
    return count


@_summing
def _first_class(line: Any, names: Any) -> int:
    """The place of the largest; of equal ones, of the first class."""
    best = 0
    for s in range(1, line.size):
        if line[s] > line[best] or (line[s] == line[best] and names[s] < names[best]):
            best = s
    return best


@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "nsz"})
def sums(vectors: Any, found: Any) -> None:
    """found (n,): Σ|x_i| of rows of vectors (n, d), in their own precision; NaN and Inf stay what they are."""
    for i in range(len(vectors)):
        total = abs(vectors[i, 0])
        for j in range(1, vectors.shape[1]):
            total += abs(vectors[i, j])
        found[i] = total
