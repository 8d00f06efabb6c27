"""What an inspection says in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from mrl.advise.energy import Energy
from mrl.advise.facts import Facts
from mrl.advise.measured import PCA, PLAIN, Contrast
from mrl.advise.shape import Shape
from mrl.evaluation import Row

if TYPE_CHECKING:
    from mrl.advise.inspect import Inspection

KEEP = 0.98
SLIGHT = 0.01  # a loss that would go unnoticed; an interval that reaches beyond it has not shown that there is none
HEAVY = 0.1  # share of the squared length from which one coordinate is worth a sentence
ALIKE = 0.5  # mean cosine from which vectors point much the same way
HUBS = 3.0  # skewness of N_10 from which hubs are worth a sentence
NOUNS = {"1-NN": "1-NN accuracy"}
# What the bytes are of float32's, and of float16's.
PARTS = {"float16": "half", "int12": "three eighths of", "int8": "a quarter of", "1bit": "a 32nd of"}
HALVES = {"int12": "three quarters of", "int8": "half", "1bit": "a 16th of"}


def told(found: Inspection) -> tuple[str, ...]:
    """The findings, the most telling first."""
    return (*_cuts(found), *_by_pca(found), *_stored(found), *facts_told(found.facts))


def facts_told(facts: Facts) -> Iterator[str]:
    """What is remarkable about the vectors themselves."""
    sound = facts.soundness
    if facts.order is not None:
        yield str(facts.order)
    if sound.repeats.count:
        share = 100 * sound.repeats.count / sound.rows
        part = f"{share:.2g}" if share < 99.5 else f"{share:.0f}"
        first = ", ".join(map(str, sound.repeats.first))
        yield (f"{sound.repeats.count:,} of {sound.rows:,} rows repeat another exactly ({part} %), such as {first}.")
    if facts.shape is not None:
        yield from _lie(facts.shape)
    if facts.energy is not None:
        yield from _energies(facts.energy)


def cut(rows: Sequence[Row], full: Row, keep: float = KEEP) -> Row | None:
    """The narrowest of one run's rows that keeps enough of `full`, as does every wider one; None if none does."""
    found = None
    for row in sorted(rows, key=lambda row: -row.dim):
        if row.value < keep * full.value:
            break
        found = row
    return found


def full_width(rows: Sequence[Row], measure: str) -> Row:
    """The plain vectors' row at the widest dim."""
    return max((row for row in rows if row.measure == measure and row.run == PLAIN), key=lambda row: row.dim)


def _cuts(found: Inspection) -> Iterator[str]:
    for measure in found.measures:
        full = full_width(found.rows, measure)
        if measure.startswith("recall@"):
            yield from _neighbours([row for row in found.rows if (row.run, row.measure) == (PLAIN, measure)])
        if not full.value:
            yield f"{measure} is 0 at all {full.dim:,} dims: no prefix has anything to keep."
            continue
        own = [cut([r for r in found.rows if (r.run, r.measure) == (run, measure)], full) for run in (PLAIN, PCA)]
        plain, pca = (None if each is None or each.dim == full.dim else each for each in own)
        whole = f"of the full width's {NOUNS.get(measure, measure)} ({full.value * 100:.1f} %)"
        if plain is None:
            said = f"No prefix that was looked at keeps {KEEP * 100:g} % {whole}"
        else:
            said = f"The first {plain.dim:,} of {full.dim:,} dims keep {plain.value / full.value * 100:.1f} % {whole}"
        after = "none does either" if plain is None else "none does"
        yield f"{said}; after PCA, {after if pca is None else f'the first {pca.dim:,} keep {KEEP * 100:g} % or more'}."


def _neighbours(rows: Sequence[Row]) -> Iterator[str]:
    """How many neighbours some prefixes find: of a halving ladder, about a quarter, 1/16 and 1/64 of the width."""
    shown = sorted(rows, key=lambda row: row.dim)[-3::-2][:3][::-1]
    if shown:
        k = rows[0].measure.removeprefix("recall@")
        dims = _joined([f"{row.dim:,}" for row in shown])
        shares = _joined([f"{row.value * 100:.0f}" for row in shown])
        width = max(row.dim for row in rows)
        yield f"The first {dims} dims find {shares} % of the {k} nearest rows that all {width:,} find."


def _by_pca(found: Inspection) -> Iterator[str]:
    for measure in found.measures[:1]:
        pairs = [each for each in found.contrasts if (each.run, each.against, each.measure) == (PCA, PLAIN, measure)]
        helps, hurts = [c for c in pairs if c.low > 0], [c for c in pairs if c.high < 0]
        if not helps and not hurts:
            yield f"PCA makes no measurable difference to {measure} at any dim."
        if helps:
            yield f"PCA helps {measure} at {_dims(helps)}: {_points(helps[0])} at {helps[0].dim:,}."
        if hurts:
            yield f"PCA hurts {measure} at {_dims(hurts)}: {_points(hurts[0])} at {hurts[0].dim:,}."


def _stored(found: Inspection) -> Iterator[str]:
    """What each encoding of the plain vectors costs at the full width."""
    for measure in found.measures[:1]:
        full = full_width(found.rows, measure)
        parts = PARTS if full.bytes == 4 * full.dim else HALVES
        for encoding, part in parts.items():
            run = f"{PLAIN}, {encoding}"
            for each in found.contrasts:
                if (each.run, each.against, each.measure, each.dim) == (run, PLAIN, measure, full.dim):
                    yield (
                        f"{encoding} takes {part} the bytes: {_points(each)} of {measure} at full width, {_loss(each)}."
                    )


def _loss(each: Contrast) -> str:
    if each.high < 0:
        return "a loss"
    if each.low > 0:
        return "a gain"
    return "no measurable loss" if each.low > -SLIGHT else "which too few queries tell from no loss"


def _lie(shape: Shape) -> Iterator[str]:
    if shape.cosine is not None and shape.cosine >= ALIKE:
        yield f"All vectors point much the same way: two random rows have a cosine of {shape.cosine:.2f} on average."
    if shape.hubness is not None and shape.orphans is not None and shape.hubness >= HUBS:
        yield (
            f"There are hubs: how often a row is among another's 10 nearest has the skewness {shape.hubness:.1f}, and "
            f"{shape.orphans * 100:.0f} % of the rows are among nobody's."
        )


def _energies(energy: Energy) -> Iterator[str]:
    for place, share in energy.dominant:
        if share >= HEAVY:
            yield f"Coordinate {place} alone holds {share * 100:.0f} % of the squared length."
    if energy.wide_count:
        more = ", …" if energy.wide_count > len(energy.wide) else ""
        yield (
            f"A few far values stretch the range that int8 divides in {energy.wide_count} "
            f"coordinate{'s' * (energy.wide_count > 1)} ({', '.join(map(str, energy.wide))}{more})."
        )


def _points(each: Contrast) -> str:
    """`+34.3 points [+32.6, +35.9]`."""
    mean, low, high = (f"{round(value * 100, 1) + 0.0:+.1f}" for value in (each.mean, each.low, each.high))
    return f"{mean} points [{low}, {high}]"


def _dims(found: Sequence[Contrast]) -> str:
    return f"{_joined([f'{each.dim:,}' for each in found])} dims"


def _joined(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
