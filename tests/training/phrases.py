"""Small made-up texts for the tests of training, in the words of the tiny models."""

import json

import numpy as np

from encoders.tiny_text import saved, write_json
from mrl.encoders.spec import EncoderSpec
from mrl.nesting import Nesting
from mrl.training import TrainSpec, from_texts

TOPICS = {
    "food": "man eat food a is".split(),
    "dogs": "dog runs fast the .".split(),
    "vectors": ["nested", "vector", "short"],
}
NESTING = Nesting((4, 8, 16))


def phrases(n=48, seed=0):
    """n texts, each of the words of one of three topics, and their topics' numbers."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % len(TOPICS)
    words = [list(TOPICS.values())[label] for label in labels]
    return [" ".join(rng.choice(each, rng.integers(2, 7))) for each in words], labels


def classes(n=48, seed=0):
    texts, labels = phrases(n, seed)
    return from_texts(texts, labels=labels, classes=tuple(TOPICS))


def pairs(n=48, seed=0, negatives=0):
    """Texts of one topic as pairs; hard negatives are of the next topic."""
    anchors, _ = phrases(n, seed)
    positives, _ = phrases(n, seed + 1)
    hard = [phrases(n + 1, seed + 2 + i)[0][1:] for i in range(negatives)]
    return from_texts(anchors, positives, *hard)


def scored(n=48, seed=0):
    """Pairs of texts with 1 where the topics agree, as those of every other pair do."""
    a, _ = phrases(n, seed)
    b, _ = phrases(n + 1, seed + 1)
    return from_texts(a, [b[i + i % 2] for i in range(n)], scores=1.0 - np.arange(n) % 2)


DATA = {"classify": classes, "pairs": pairs, "scored-pairs": scored}


def still(folder):
    """A tiny text model without dropout."""
    about = json.loads((saved(folder) / "config.json").read_text())
    write_json(folder / "config.json", {**about, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0})
    return folder


def spec(folder, task="pairs", **changes):
    settings = {"epochs": 2, "batch_size": 16, "precision": "float32", "log_every": 2, "lr": 0.003}
    return TrainSpec(NESTING, task=task, encoder=EncoderSpec(str(folder)), **{**settings, **changes})
