"""Orthogonal matrices out of gradients."""

import numpy as np
import pytest
from keras import ops

from span_keras.training import muon


def orthogonal(**matrices):
    found = muon.orthogonal({name: ops.convert_to_tensor(np.float32(m)) for name, m in matrices.items()})
    return {name: ops.convert_to_numpy(matrix) for name, matrix in found.items()}


def decomposed(*shape, singular_values, seed=0):
    """Matrices with these singular values, and their vectors."""
    rng = np.random.default_rng(seed)
    u, _, v = np.linalg.svd(rng.normal(size=shape), full_matrices=False)
    return (u * singular_values) @ v, u, v


def test_singular_values_become_one_and_vectors_stay():
    matrix, u, v = decomposed(5, 36, 12, singular_values=np.linspace(1, 0.05, 12))
    out = orthogonal(matrix=1e-6 * matrix)["matrix"]
    inside = np.swapaxes(u, -1, -2) @ out @ np.swapaxes(v, -1, -2)
    values = np.diagonal(inside, axis1=-2, axis2=-1)
    assert 0.65 < values.min() <= values.max() < 1.25
    np.testing.assert_allclose(inside, values[..., None] * np.eye(12), atol=1e-4)


def test_matrices_of_many_shapes_at_once_are_each_as_alone():
    shapes = {"tall": (3, 20, 8), "wide": (3, 8, 20), "square": (8, 8), "larger": (2, 2, 30, 12)}
    matrices = {name: np.random.default_rng(i).normal(size=shape) for i, (name, shape) in enumerate(shapes.items())}
    together = orthogonal(**matrices)
    for name, matrix in matrices.items():
        assert together[name].shape == matrix.shape
        np.testing.assert_allclose(together[name], orthogonal(alone=matrix)["alone"], atol=1e-5)
    turned = orthogonal(m=matrices["tall"].swapaxes(-1, -2))["m"]
    np.testing.assert_allclose(turned.swapaxes(-1, -2), together["tall"], atol=1e-5)


@pytest.mark.parametrize("rank", [0, 1, 4])
def test_directions_without_a_gradient_get_none(rank):
    """Rounding must not be taken for a direction: squared, it may have either sign."""
    matrix, u, v = decomposed(864, 96, singular_values=(np.arange(96) < rank).astype(float))
    out = orthogonal(matrix=matrix)["matrix"]
    np.testing.assert_allclose(out @ v[rank:].T, 0, atol=2e-3)
    values = np.diagonal(u[:, :rank].T @ out @ v[:rank].T)
    assert (np.abs(values - 0.95) < 0.3).all()


def test_an_update_is_as_large_as_adams():
    """Root mean square 0.2, for kernels of any shape."""
    rng = np.random.default_rng(0)
    gradients = {
        f"stack/{name}": ops.convert_to_tensor(rng.normal(size=shape).astype(np.float32))
        for name, shape in {"conv_kernel": (2, 3, 3, 16, 16), "skip_kernel": (2, 1, 1, 8, 8)}.items()
    }
    steps, momenta = muon.step(gradients, {name: ops.zeros_like(g) for name, g in gradients.items()})
    for name, step in steps.items():
        assert step.shape == gradients[name].shape
        assert np.sqrt(np.mean(np.square(ops.convert_to_numpy(step)))) == pytest.approx(0.2, rel=0.2)
        np.testing.assert_array_equal(momenta[name], gradients[name])
