"""Tiny networks of many kinds for the tests."""

import json

import transformers

SIZE = (32, 32)
STATISTICS = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.25, 0.5]}
_TOKENS = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "image_size": 32,
    "patch_size": 8,
}
CONFIGS = {
    "resnet": {"embedding_size": 8, "hidden_sizes": [16, 32], "depths": [1, 1]},
    "vit": _TOKENS,
    "convnext": {"hidden_sizes": [8, 16], "depths": [1, 2], "num_stages": 2, "patch_size": 4, "image_size": 32},
    "swin": {
        "embed_dim": 8,
        "depths": [1, 2],
        "num_heads": [1, 2],
        "window_size": 4,
        "patch_size": 4,
        "image_size": 32,
    },
    "dinov2": _TOKENS,
    "clip_vision_model": _TOKENS,
}
KINDS = list(CONFIGS)


def document(kind, **changes):
    """The JSON of a tiny configuration."""
    return {"model_type": kind, **CONFIGS[kind], **changes}


def saved(folder, kind, model=None):
    """A checkpoint of a tiny model, the class of `model` or the bare one, and of how its pictures were prepared."""
    config = transformers.CONFIG_MAPPING[kind](**CONFIGS[kind])
    made = transformers.AutoModel.from_config(config) if model is None else model(config)
    made.save_pretrained(folder)
    about = {"size": {"shortest_edge": 36}, "crop_size": 32, "resample": 3, **STATISTICS}
    (folder / "preprocessor_config.json").write_text(json.dumps(about))
    return made.eval()
