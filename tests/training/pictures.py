"""Small made-up image data for the tests of training."""

from pathlib import Path

import numpy as np
from PIL import Image

from mrl.nesting import Nesting
from mrl.training import ImageData, TrainSpec, from_arrays

TINY = TrainSpec(Nesting((2, 4)), epochs=2, batch_size=16, precision="float32", log_every=2)


def stripes(n: int = 48, seed: int = 0, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """(n, 8, 8) uint8 and labels (n,): the class is the period of the stripes."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    phase = rng.integers(0, 8, (n, 1, 1))
    waves = (np.arange(8)[None, None, :] + phase) // (1 + labels[:, None, None]) % 2
    return (waves * 200 + rng.integers(0, 50, (n, 8, 8))).astype(np.uint8), labels


def tiny(n: int = 48, seed: int = 0) -> ImageData:
    return from_arrays(*stripes(n, seed), classes=("fine", "middle", "wide"))


def folder(root: Path, classes: dict[str, int], size: tuple[int, int] = (8, 8), mode: str = "L") -> Path:
    """ROOT/class/0.png … with so many images a class."""
    rng = np.random.default_rng(0)
    for name, count in classes.items():
        (root / name).mkdir(parents=True)
        for i in range(count):
            image = Image.fromarray(rng.integers(0, 256, size, dtype=np.uint8)).convert(mode)
            image.save(root / name / f"{i}.png")
    return root
