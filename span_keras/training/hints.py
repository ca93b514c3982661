"""Hints: what happens inside a teacher as a further thing to learn, far more of it per pixel than its output.

The pixels of a network's output say little about how they came about, and a small set of photographs can be learnt by
heart. What blocks put out says more (FitNets, Romero et al., ICLR 2015), but no channel of one network means what
the same channel of another does. So what counts is how much of the teacher's features no linear map of the student's
explains. The map is the best one for the batch at hand, in closed form: there is nothing to be trained beside the
network, and widths may differ. One minus this share is the linear regression similarity of "Similarity of Neural
Network Representations Revisited" (Kornblith et al., ICML 2019, section 3).
"""

from __future__ import annotations

from keras import ops

from span_keras.network.backend import full_precision

RIDGE = 1e-3
"""Added to the diagonal of the student's covariance, relative to its mean: features may depend on each other, and TF32,
which TensorFlow uses on a GPU, is no more exact."""

FLOOR = 1e-2
"""Least variance of a teacher's channel that counts, relative to the mean: some channels hardly do anything."""


def unexplained(students: list, teachers: list):
    """Measure how much of the variance of a teacher's channels no linear map of the student's explains, 0 to 1.

    Every channel counts alike. The gradient regards the map as given: at its optimum, that changes next to nothing.

    Args:
        students: (N, H, W, C) features of one layer after another, all of one shape, of any float type.
        teachers: (N, H, W, D) features of the same images and layers; constants for the gradient.

    Returns:
        A float32 scalar: the mean over the layers.
    """
    pairs = [(_centred(s), ops.stop_gradient(_centred(t))) for s, t in zip(students, teachers, strict=True)]
    count, channels = pairs[0][0].shape
    with full_precision():
        covariance = ops.stack([ops.matmul(ops.transpose(student), student) for student, _ in pairs]) / count
        ridge = RIDGE * ops.mean(ops.diagonal(covariance, axis1=-2, axis2=-1), axis=-1) + 1e-12
        damped = covariance + ops.reshape(ridge, (-1, 1, 1)) * ops.eye(channels)
        cross = ops.stack([ops.matmul(ops.transpose(student), teacher) for student, teacher in pairs]) / count
        # All layers at once: a GPU takes as long for one matrix of this size. TensorFlow's solver raises where numbers
        # are not finite. The residual has them still, and the step is skipped.
        regressions = ops.stop_gradient(ops.solve(_finite(damped), _finite(cross)))
        shares = [
            _share(teacher, teacher - ops.matmul(student, regressions[i])) for i, (student, teacher) in enumerate(pairs)
        ]
    return sum(shares) / len(shares)


def _share(teacher, residual):
    """Divide the residual's variance by the teacher's, mean over channels; both (N·H·W, D), of mean zero."""
    variance = ops.mean(ops.square(teacher), axis=0)
    left = ops.mean(ops.square(residual), axis=0)
    return ops.mean(left / (variance + FLOOR * ops.mean(variance) + 1e-12))


def _finite(matrices):
    """Return the matrices (L, C, D), or ones that can be solved with if any number is not finite."""
    good = ops.all(ops.isfinite(matrices))
    return ops.where(good, matrices, ops.eye(*matrices.shape[-2:]))


def _centred(features):
    """Reshape (N, H, W, C) to (N·H·W, C) float32 with a mean of zero in every channel."""
    flat = ops.reshape(ops.cast(features, "float32"), (-1, features.shape[-1]))
    return flat - ops.mean(flat, axis=0)
