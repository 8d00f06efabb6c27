"""Tiny text models for the tests: a few words, a few weights."""

import json

import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from mrl.encoders import EncoderSpec, text_encoder
from mrl.nesting import Nesting

SPECIAL = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
WORDS = [*SPECIAL.values(), *"a man is eat ##ing food the dog runs fast query : text nested vector ##s . short".split()]
TEXTS = ["a man is eating food", "the dog runs fast . nested vectors", "short"]
PLACES = 32  # positions of the models that have some
_TOKENS = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "vocab_size": 32,
    "max_position_embeddings": PLACES,
}
_CAUSAL = {**_TOKENS, "num_key_value_heads": 2, "head_dim": 8, "bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0}
CONFIGS = {
    "bert": _TOKENS,
    "roberta": {**_TOKENS, "pad_token_id": 1},
    "modernbert": {**_CAUSAL, "cls_token_id": 2, "sep_token_id": 3},
    "qwen3": _CAUSAL,
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": PLACES, "vocab_size": 32},
    "t5": {"d_model": 16, "num_layers": 2, "num_heads": 2, "d_ff": 32, "d_kv": 8, "vocab_size": 32},
}
CONFIGS["gpt2"] |= {"bos_token_id": 2, "eos_token_id": 3}
NESTING = Nesting((4, 8, 16))


def document(kind="bert", **changes):
    """The JSON of a tiny configuration."""
    return {"model_type": kind, **CONFIGS[kind], **changes}


def tokenizer():
    """Words and word pieces, between [CLS] and [SEP]."""
    made = Tokenizer(models.WordPiece({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    made.normalizer, made.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    made.add_special_tokens(list(SPECIAL.values()))
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return made


def write_json(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def described(folder, kind="bert", **changes):
    """A folder with a configuration and a tokenizer, and no weights."""
    write_json(folder / "config.json", document(kind, **changes))
    tokenizer().save(str(folder / "tokenizer.json"))
    about = {**SPECIAL, "model_max_length": PLACES - 4, "tokenizer_class": "PreTrainedTokenizerFast"}
    write_json(folder / "tokenizer_config.json", about)
    return folder


def saved(folder, kind="bert", **changes):
    """The same, with the weights of a Transformers model."""
    described(folder, kind, **changes)
    config = transformers.CONFIG_MAPPING[kind](**CONFIGS[kind])
    factory = transformers.T5EncoderModel._from_config if kind == "t5" else transformers.AutoModel.from_config
    with torch.random.fork_rng():
        torch.manual_seed(0)
        factory(config).save_pretrained(folder)
    return folder


def encoder(folder, kind="bert", width=None, nesting=NESTING, **spec):
    """An encoder with fresh weights; the folder is where its configuration is written."""
    described(folder, kind)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return text_encoder(EncoderSpec(str(folder / "config.json"), **spec), width, nesting, "tiny")
