"""Batches in parts of about one length: the same vectors and gradients, fewer tokens."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from encoders.tiny_text import encoder
from mrl.encoders.lengths import by_length
from mrl.encoders.tokens import Tokens


def padded(lengths):
    ids = torch.zeros(len(lengths), max(lengths), dtype=torch.int64)
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    ids[mask.bool()] = torch.arange(int(mask.sum())) % 20 + 5
    return Tokens(ids, mask)


@given(st.lists(st.integers(1, 30), min_size=16, max_size=70))
def test_the_parts_are_the_texts(lengths):
    tokens = padded(lengths)
    parted = by_length(tokens)
    if parted is None:
        return
    rows = [row[: int(mask.sum())].tolist() for part in parted.parts for row, mask in zip(*part[:2], strict=True)]
    wanted = [row[: int(mask.sum())].tolist() for row, mask in zip(*tokens[:2], strict=True)]
    assert [rows[i] for i in parted.back.tolist()] == wanted
    assert sum(part.ids.numel() for part in parted.parts) <= 0.8 * tokens.ids.numel()
    assert all(bool(part.mask.any(0).all()) for part in parted.parts)  # no column of padding alone


@pytest.mark.parametrize("lengths", [[5] * 64, [1, 30] * 7, [30] * 60 + [1]])
def test_what_saves_little_stays_whole(lengths):
    assert by_length(padded(lengths)) is None


def test_left_padding_stays_whole():
    tokens = padded([3] * 20 + [30] * 20)
    assert by_length(tokens) is not None
    assert by_length(Tokens(tokens.ids.flip(1), tokens.mask.flip(1))) is None


def test_vectors_and_gradients_are_those_of_the_whole(tmp_path):
    network = encoder(tmp_path / "tiny").module.double().eval()
    tokens = padded([3] * 10 + [7] * 10 + [28] * 4)
    assert by_length(tokens) is not None
    weights = torch.randn(24, network.width, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = []
    for run in (network, network._vectors):
        network.zero_grad()
        (run(tokens) * weights).sum().backward()
        found.append([p.grad.clone() for p in network.parameters() if p.grad is not None])
    torch.testing.assert_close(network(tokens), network._vectors(tokens), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(found[0], found[1], rtol=1e-9, atol=1e-12)
