"""Newton-Schulz and the update that each Muon makes of it, against singular values and written-out formulas."""

import inspect
from typing import Any

import pytest
import torch

from .scripts import ALL, load

WITH_MUON = ALL[2:]
AVERAGING = ("short/15", "short/17", "short/21.1", "short/24", "optimization/36")  # whose momentum is a moving average
FIVE_STEPS = (3.4445, -4.7750, 2.0315, 5)
TWELVE_STEPS = (2.0, -1.5, 0.5, 12)


def polynomial(name: str, s: torch.Tensor) -> torch.Tensor:
    a, b, c, steps = TWELVE_STEPS if name == "optimization/36" else FIVE_STEPS
    for _ in range(steps):
        s = a * s + b * s**3 + c * s**5
    return s


def with_singular_values(rows: int, cols: int, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return U (rows, n), Vᵀ (n, cols) with orthonormal columns and rows, and U diag(values) Vᵀ."""
    n = min(rows, cols)
    random = torch.Generator().manual_seed(rows + cols)
    U = torch.linalg.qr(torch.randn(rows, n, generator=random, dtype=torch.float64))[0]
    V = torch.linalg.qr(torch.randn(cols, n, generator=random, dtype=torch.float64))[0]
    return U, V.T, (U * values) @ V.T


def spread(n: int, least: float) -> torch.Tensor:
    """n values whose squares add up to 1, none below `least`; a few large ones when n is large."""
    values = torch.full((n,), least * 1.02, dtype=torch.float64)
    rest = 1 - values.square().sum()
    assert rest > 0
    values[:4] = (values[:4].square() + rest * torch.tensor([0.55, 0.25, 0.15, 0.05])).sqrt()
    return values


@pytest.mark.parametrize("name", WITH_MUON)
@pytest.mark.parametrize(("rows", "cols"), [(192, 192), (768, 192), (192, 768)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-3), (torch.bfloat16, 0.12)])
def test_newton_schulz_applies_its_polynomial_to_the_singular_values(
    name: str, rows: int, cols: int, dtype: torch.dtype, tolerance: float
) -> None:
    values = spread(min(rows, cols), least=0.02)
    U, Vt, G = with_singular_values(rows, cols, values)
    # The scale of the input must not matter, up to the 1e-7 beside its norm.
    X = load(name).newton_schulz((37.0 * G).float(), dtype).double()
    in_basis = U.T @ X @ Vt.T
    expected = polynomial(name, values)
    torch.testing.assert_close(in_basis.diagonal(), expected, rtol=0, atol=tolerance)
    off_diagonal = in_basis - torch.diag(in_basis.diagonal())
    assert torch.linalg.matrix_norm(off_diagonal, 2) < 3 * tolerance


@pytest.mark.parametrize(("rows", "cols"), [(768, 768), (3072, 768), (768, 3072)])
def test_newton_schulz_does_so_at_the_shapes_of_the_full_size_model(rows: int, cols: int) -> None:
    values = spread(768, least=0.02)
    U, Vt, G = with_singular_values(rows, cols, values)
    texts = {inspect.getsource(load(name).newton_schulz): name for name in WITH_MUON}  # each of them once
    for name in texts.values():
        X = load(name).newton_schulz(G.float(), torch.float32).double()
        diagonal = ((U.T @ X) * Vt).sum(1)  # of U.T @ X @ Vt.T
        torch.testing.assert_close(diagonal, polynomial(name, values), rtol=0, atol=5e-3)


@pytest.mark.parametrize("name", WITH_MUON)
def test_in_bf16_the_input_is_rounded_first_and_then_divided_by_its_norm(name: str) -> None:
    """By the norm of the unrounded input in record 4, by that of the rounded one in all later ones."""
    module, G = load(name), 3 * torch.randn(24, 40, generator=torch.Generator().manual_seed(2))
    rounded = G.bfloat16()
    norm = (G if name == "short/4" else rounded).norm()
    X = rounded / (norm + 1e-7)
    a, b, c, steps = TWELVE_STEPS if name == "optimization/36" else FIVE_STEPS
    for _ in range(steps):
        A = X @ X.T
        if name in ALL[2:8]:  # records 4 to 10 multiply once more
            B = A @ X
            X = a * X + b * B + c * A @ B
        else:
            X = a * X + (b * A + c * A @ A) @ X
    result = module.newton_schulz(G)
    assert torch.equal(result.bfloat16(), X)
    assert result.dtype == (torch.float32 if name == "short/4" else torch.bfloat16)


@pytest.mark.parametrize("name", ["short/4", "short/5", "short/6"])
def test_the_scaled_update_is_rounded_to_bf16_from_record_6_on_only(name: str, alone: None) -> None:
    module, random = load(name), torch.Generator().manual_seed(4)
    p = torch.nn.Parameter(torch.randn(96, 24, generator=random))
    optimizer = module.Muon([p], lr=0.02, momentum=0.9)
    optimizer.dtype = torch.bfloat16
    p.grad = torch.randn(96, 24, generator=random)
    update = module.newton_schulz(p.grad + 0.9 * p.grad)
    exact = p.detach() - 0.02 * 96**0.5 * update.float()
    rounded = p.detach() - 0.02 * (update.bfloat16() * 96**0.5).float()
    optimizer.step()
    near, far = (exact, rounded) if name in ("short/4", "short/5") else (rounded, exact)
    torch.testing.assert_close(p.detach(), near, rtol=0, atol=5e-7)
    assert (p.detach() - far).abs().max() > 1e-5


def orthogonal(name: str, u: torch.Tensor) -> torch.Tensor:
    U, s, Vt = torch.linalg.svd(u.double(), full_matrices=False)
    return (U * polynomial(name, s / s.square().sum().sqrt())) @ Vt


def expected_update(name: str, u: torch.Tensor) -> torch.Tensor:
    rows, cols = u.shape
    if name == "short/4" and rows == 3 * cols:
        return torch.cat([orthogonal(name, part) * cols**0.5 for part in u.split(cols)])
    large = name in ("short/4", "short/5", "short/6")
    return orthogonal(name, u) * (max(rows, cols) if large else max(1, rows / cols)) ** 0.5


@pytest.mark.parametrize("name", WITH_MUON)
def test_muon_moves_weights_as_the_recipe_says_over_three_steps(name: str, alone: None) -> None:
    module, random = load(name), torch.Generator().manual_seed(3)
    shapes = [(24, 24), (96, 24), (24, 96)] + ([(72, 24)] if name == "short/4" else [])
    params = [torch.nn.Parameter(torch.randn(shape, generator=random)) for shape in shapes]
    lr, mu, decay = 0.02, 0.9, 0.05 if name == "optimization/36" else 0.0
    settings: dict[str, Any] = {"lr": lr, "momentum": mu} | ({"weight_decay": decay} if decay else {})
    optimizer = module.Muon(params, **settings)
    weights = [p.detach().double().clone() for p in params]
    moments = [torch.zeros_like(w) for w in weights]
    for _ in range(3):
        for i, p in enumerate(params):
            p.grad = torch.randn(p.shape, generator=random)
            g = p.grad.double()
            if name in AVERAGING:
                moments[i] = moments[i] + (1 - mu) * (g - moments[i])
                u = g + mu * (moments[i] - g)
            else:
                moments[i] = mu * moments[i] + g
                u = g + mu * moments[i]
            weights[i] = weights[i] * (1 - lr * decay) - lr * expected_update(name, u)
        optimizer.step()
    for p, weight in zip(params, weights, strict=True):
        torch.testing.assert_close(p.detach().double(), weight, rtol=0, atol=2e-4)
