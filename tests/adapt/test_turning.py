"""The optimizer never leaves the orthogonal matrices, and finds what there is to find."""

import torch

from mrl.adapt.turning import OrthogonalAdam


def test_it_stays_orthogonal_and_finds_the_turn():
    draws = torch.Generator().manual_seed(0)
    wanted = torch.linalg.qr(torch.randn(6, 6, generator=draws))[0]
    if torch.det(wanted) < 0:  # reflections cannot be reached by turning
        wanted[:, 0] *= -1
    matrix = torch.nn.Parameter(torch.eye(6))
    optimizer = OrthogonalAdam([matrix], lr=0.05)
    for _ in range(400):
        optimizer.zero_grad()
        (matrix - wanted).square().sum().backward()
        optimizer.step()
    assert (matrix.T @ matrix - torch.eye(6)).abs().max() < 1e-5
    assert (matrix - wanted).abs().max() < 0.05


def test_a_step_goes_against_the_gradient_in_the_tangent_space():
    matrix = torch.nn.Parameter(torch.eye(3, dtype=torch.float64))
    loss = (matrix * torch.arange(9.0, dtype=torch.float64).reshape(3, 3)).sum()
    loss.backward()
    skew = matrix.grad - matrix.grad.T
    before = loss.item()
    OrthogonalAdam([matrix], lr=1e-4).step()
    moved = (matrix.detach() - torch.eye(3, dtype=torch.float64)) / -1e-4
    torch.testing.assert_close(moved, skew.sign(), atol=1e-3, rtol=0)  # Adam's first step has size lr
    assert (matrix * torch.arange(9.0, dtype=torch.float64).reshape(3, 3)).sum().item() < before


def test_a_matrix_without_a_gradient_is_left_alone():
    matrix = torch.nn.Parameter(torch.eye(3))
    assert OrthogonalAdam([matrix]).step() is None
    assert torch.equal(matrix, torch.eye(3))
