"""What benchmarks of adaptive classification share: a nested classifier, rows that it never saw, and what full width
gives otherwise.

tiny-imagenet      the encoder and its head (MRL) of nested_vectors.py, 512 dims, 200 classes; 10,000 rows held out
tiny-imagenet-map  the same vectors after `mrl adapt` with labels: a tied head (MRL-E) on mapped vectors
caltech            MobileNet features of Caltech-101, 1,024 dims, 101 classes, after the same; its test part held out
products           MobileNet features of fashion products, 1,024 dims, the 85 of 141 article types with at least 20 rows
                   to learn from, after the same; the validation and test parts held out

A map is fitted on the training rows, but for a twentieth that says when to stop; by the defaults of `mrl adapt fit`,
for Tiny ImageNet with more steps and fewer dims. Beside it stand heads on the vectors as they are: the map's own kind
by its own recipe at full width, on the same rows; logistic regression (L-BFGS) at three penalties, on all training
rows; and for Tiny ImageNet the head that came with the encoder. Of all these the best on the held-out rows counts:
they can only gain by that. What was fitted is kept in OUT/NAME and fitted once.
"""

from __future__ import annotations

import csv
import gzip
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from nested_vectors import nested_vectors

from mrl import Card, HeadWeights, Nesting
from mrl.adapt import AdaptSpec, Map
from mrl.nesting import unit_prefix
from mrl.vectors import Held

FEWEST = 20  # rows of a class to learn from
PENALTIES = (0.001, 0.01, 0.1)  # C of logistic regression, on centred rows of variance 1 on average
Numbers = np.ndarray


class Sides(NamedTuple):
    """known: learned from. held: not seen by any fit. note: what was left out."""

    known: Held
    held: Held
    note: str = ""


@dataclass(frozen=True, eq=False)
class Subject:
    """head: the nested classifier. rows: held out, as it takes them, with labels. raw: by head on the vectors as they
    are, which of the rows it has right (n,). about: how all was made."""

    name: str
    head: HeadWeights
    rows: Held
    raw: dict[str, np.ndarray]
    about: dict[str, object]


def subject(name: str, data: Path, out: Path) -> Subject:
    """One of SETS, fitted first if that was not done yet. data: the folder of data sets. out: what is kept."""
    if name == "tiny-imagenet":
        return _trained(data)
    sides = SETS[name](data)
    place = out / name
    made = _map(sides, SPECS.get(name, SPEC), place / "map")
    head = made.head
    if head is None:
        raise SystemExit(f"{name}: learning did not improve on PCA, so there is no head")
    raw = {kind: _kept(sides, place, kind) for kind in KINDS.get(name, OTHERS)}
    about = {"classes": head.count, "learned from": len(sides.known), "note": sides.note, "map": _told(made)}
    return Subject(name, head, _rows(sides, made, place), raw, about)


def _trained(data: Path) -> Subject:
    known, asked, head = nested_vectors(data=data)
    rows = Held(asked.path, asked.card, np.asarray(asked.vectors), asked.ids, asked.need_labels())
    return Subject("tiny-imagenet", head, rows, {}, {"classes": head.count, "learned from": len(known)})


# ------------------------------------------------------------------------------------------------------------- sets


def _tiny(data: Path) -> Sides:
    known, asked, _ = nested_vectors(data=data)
    return Sides(*(_held(np.asarray(t.vectors), t.need_labels(), "tiny-imagenet") for t in (known, asked)))


def _caltech(data: Path) -> Sides:
    with np.load(data / "mobilenet-features" / "caltech101_mobilenetv1.npz") as arrays:
        vectors, labels = (arrays["q"] * arrays["scale"]).astype(np.float32), arrays["label"].astype(np.int64)
        test = arrays["split"] == 1
    return _sides(vectors, labels, ~test, "caltech")


def _products(data: Path) -> Sides:
    source = data / "fashion-products"
    with np.load(source / "mobilenetv1.npz") as arrays:
        vectors = (arrays["q"] * arrays["scale"]).astype(np.float32)
    with gzip.open(source / "products.csv.gz", "rt", encoding="utf-8") as file:
        about = list(csv.DictReader(file))
    types = np.unique([row["articleType"] for row in about], return_inverse=True)[1]
    return _sides(vectors, types, np.array([row["split"] == "train" for row in about]), "products")


def _sides(vectors: np.ndarray, labels: Numbers, known: np.ndarray, name: str) -> Sides:
    """Classes with enough rows to learn from, numbered anew; the others are left out of both sides."""
    counts = np.bincount(labels[known], minlength=labels.max() + 1)
    enough = counts[labels] >= FEWEST
    kinds = np.flatnonzero(counts >= FEWEST)
    numbers = np.searchsorted(kinds, labels)
    parts = [np.flatnonzero(enough & side) for side in (known, ~known)]
    gone = int((~enough).sum())
    note = f"{len(counts) - len(kinds)} of {len(counts)} classes have fewer than {FEWEST} rows and are left out"
    return Sides(*(_held(vectors[p], numbers[p], name) for p in parts), f"{note}, {gone} rows of them" if gone else "")


def _held(vectors: np.ndarray, labels: Numbers, name: str) -> Held:
    return Held.of(vectors, Card(name, vectors.shape[1], Nesting((vectors.shape[1],))), labels, name)


SETS: dict[str, Callable[[Path], Sides]] = {
    "tiny-imagenet": _tiny,
    "tiny-imagenet-map": _tiny,
    "caltech": _caltech,
    "products": _products,
}


# ------------------------------------------------------------------------------------------------------------- maps


SPEC = AdaptSpec(objective="labels")
SPECS = {"tiny-imagenet-map": AdaptSpec(objective="labels", dims="8,16,32,64,128,512", steps=2500, sample=96_000)}


def _map(sides: Sides, spec: AdaptSpec, path: Path) -> Map:
    """The map of a set; the held-out rows only measure it."""
    if not path.exists():
        Map.fit(sides.known, spec, queries=sides.held).save(path, force=True)
    return Map.load(path)


def _told(made: Map) -> dict[str, object]:
    spec = made.record["spec"]
    return {
        "seconds": made.record["seconds"],
        "spec": {k: spec[k] for k in ("method", "steps", "dropout", "lr", "seed")},
    }


def _rows(sides: Sides, made: Map, place: Path) -> Held:
    """The held-out rows mapped, and kept."""
    path = place / "mapped.npy"
    if not path.exists():
        np.save(path, made.apply(sides.held.vectors))
    return sides.held.turned(np.load(path), made.card_of(sides.held.card))


# -------------------------------------------------------------------------------------------- the vectors as they are


def _kept(sides: Sides, place: Path, name: str) -> np.ndarray:
    """Which held-out rows (n,) a head on the vectors as they are has right, computed once."""
    path = place / f"raw-{name}.npy"
    if not path.exists():
        start = time.perf_counter()
        place.mkdir(parents=True, exist_ok=True)
        np.save(path, RAW[name](sides))
        print(f"{path}: {np.load(path).mean():.4f}, {time.perf_counter() - start:.0f} s", flush=True)
    return np.load(path)


def _by_recipe(sides: Sides) -> np.ndarray:
    """The kind of head that maps learn with (linear, with bias), by the same recipe, at full width; of the moments that
    are looked at, the best on the held-out rows."""
    import torch

    from mrl.adapt.learning import learn
    from mrl.adapt.networks import Basis
    from mrl.adapt.objectives import ByLabels, Task
    from mrl.adapt.parts import parted
    from mrl.maps import fit_pca

    spec, width = AdaptSpec(objective="labels", method="residual"), sides.known.card.width
    parts = parted(spec, sides.known, sides.held)
    spec = spec.paced(parts.learned, width)
    basis = Basis(fit_pca([unit_prefix(parts.rows, width)]), float(np.sqrt(width)), unit=True)
    task = Task(spec, Nesting((width,)), "cosine", basis)
    torch.manual_seed(spec.seed)
    objective = ByLabels(task, parts, parts.labels, torch.nn.Identity())
    held = task.inputs(sides.held.vectors)

    def right() -> np.ndarray:
        with torch.no_grad():
            return objective.head(held)[-1].argmax(1).numpy() == sides.held.need_labels()

    learn(objective, spec, lambda: float(right().mean()), lambda *_: None)
    return right()


def _logistic(penalty: float) -> Callable[[Sides], np.ndarray]:
    def right(sides: Sides) -> np.ndarray:
        from sklearn.linear_model import LogisticRegression

        width = sides.known.card.width
        x, asked = (unit_prefix(side.vectors, width) * np.sqrt(np.float32(width)) for side in sides[:2])
        mean, spread = x.mean(0), x.std(0).mean()
        model = LogisticRegression(C=penalty, max_iter=200).fit((x - mean) / spread, sides.known.need_labels())
        return model.predict((asked - mean) / spread) == sides.held.need_labels()

    return right


def _as_trained(sides: Sides) -> np.ndarray:
    """The head that came with the encoder."""
    head = nested_vectors()[2]
    return head.logits(sides.held.vectors, head.nesting.width).argmax(1) == sides.held.need_labels()


RAW = {"as-trained": _as_trained, "by-recipe": _by_recipe} | {f"logistic-{c:g}": _logistic(c) for c in PENALTIES}
OTHERS = tuple(kind for kind in RAW if kind != "as-trained")
KINDS = {"tiny-imagenet-map": ("as-trained", "by-recipe")}
