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

from span_keras import stacked

RIDGE = 1e-3
"""Added to the diagonal of the student's covariance, relative to its mean: features may depend on each other, and TF32,
which TensorFlow uses on a GPU, is no more exact."""
FLOOR = 1e-2
"""Least variance of a teacher's channel that counts, relative to the mean: some channels hardly do anything."""


def unexplained(student, teacher):
    """Share of the variance of the teacher's channels that no linear map of the student's explains, 0 to 1.

    Every channel counts alike. The gradient regards the map as given: at its optimum, that changes next to nothing.

    Args:
        student: (N, H, W, C) features, of any float type.
        teacher: (N, H, W, D) features of the same images; a constant for the gradient.

    Returns:
        A float32 scalar.
    """
    student, teacher = _centred(student), ops.stop_gradient(_centred(teacher))
    count, channels = student.shape
    with stacked.full_precision():
        covariance = ops.matmul(ops.transpose(student), student) / count
        ridge = RIDGE * ops.mean(ops.diagonal(covariance)) + 1e-12
        cross = ops.matmul(ops.transpose(student), teacher) / count
        # TensorFlow's solver raises where numbers are not finite. The residual has them still, and the step is skipped.
        regression = ops.stop_gradient(ops.solve(_finite(covariance + ridge * ops.eye(channels)), _finite(cross)))
        residual = ops.mean(ops.square(teacher - ops.matmul(student, regression)), axis=0)
    variance = ops.mean(ops.square(teacher), axis=0)
    return ops.mean(residual / (variance + FLOOR * ops.mean(variance) + 1e-12))


def _finite(matrix):
    """The matrix, or one that can be solved with if any of its numbers is not finite."""
    good = ops.all(ops.isfinite(matrix))
    return ops.where(good, matrix, ops.eye(*matrix.shape))


def _centred(features):
    """(N, H, W, C) -> (N·H·W, C) float32 with a mean of zero in every channel."""
    flat = ops.reshape(ops.cast(features, "float32"), (-1, features.shape[-1]))
    return flat - ops.mean(flat, axis=0)
