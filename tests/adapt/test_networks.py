"""What is learned in torch is what is applied in NumPy."""

import numpy as np
import pytest
import torch

from mrl.adapt import AdaptSpec
from mrl.adapt.networks import Basis, make_network
from mrl.maps import fit_pca

WIDTH = 12


@pytest.fixture
def rows():
    return np.random.default_rng(0).normal(size=(50, WIDTH)).astype(np.float32) * np.arange(1, WIDTH + 1, dtype="f4")


@pytest.mark.parametrize("unit", [True, False])
@pytest.mark.parametrize("method", ["rotation", "linear", "residual"])
@pytest.mark.parametrize("leading", [WIDTH, 5])
def test_a_network_and_its_map_agree(method, unit, leading, rows, monkeypatch):
    monkeypatch.setattr("mrl.adapt.networks.LEADING", leading)
    basis = Basis(fit_pca(rows), 3.0, unit)
    network = make_network(AdaptSpec(method=method, hidden=7), WIDTH).eval()
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            size = 1.0 if method == "rotation" else 0.3
            parameter.copy_(torch.randn(parameter.shape) * size)
        if method == "rotation":
            network.turn.copy_(torch.linalg.qr(network.turn)[0])
    given = rows / np.linalg.norm(rows, axis=1, keepdims=True) if unit and method == "residual" else rows
    inputs = torch.from_numpy((given @ basis.turn.matrix).astype(np.float32) * np.float32(basis.scale))
    wanted = network(inputs).detach().numpy() / basis.scale
    np.testing.assert_allclose(network.to_map(basis).apply(rows), wanted, atol=2e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("method", ["rotation", "linear", "residual"])
def test_a_fresh_network_is_pca(method, rows):
    basis = Basis(fit_pca(rows), 2.0, unit=False)
    made = make_network(AdaptSpec(method=method), WIDTH).eval().to_map(basis)
    np.testing.assert_allclose(made.apply(rows), basis.turn.apply(rows), rtol=1e-5, atol=1e-5)


def test_a_rotation_that_drifted_is_made_orthogonal_again(rows):
    network = make_network(AdaptSpec(method="rotation"), WIDTH)
    with torch.no_grad():
        network.turn.add_(1e-4 * torch.randn(WIDTH, WIDTH))
    matrix = network.to_map(Basis(fit_pca(rows), 1.0, unit=True)).matrix
    assert np.abs(matrix.T @ matrix - np.eye(WIDTH)).max() < 1e-12
