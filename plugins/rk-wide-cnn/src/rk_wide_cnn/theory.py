"""What the paper predicts: effective dimensions, spectra, and exponents of learning curves."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rk_kernels.covariance import Kind

SMOOTHNESS: dict[Kind, float] = {"ntk": 0.5, "nngp": 1.5}
"""nu of each kernel with relu: of two inputs at a small angle t, it has a term t^(2 nu)."""


def effective_dimension(filter_sizes: Sequence[int]) -> int:
    """Returns the dimension of the patches that one unit of the last hidden layer sees: (s_1 - 1) s_2 ... s_L.

    Each patch of the first layer is on a sphere of dimension s_1 - 1.

    Args:
        filter_sizes: s_1 ... s_L; s_1 at least 2.

    Examples:
        >>> effective_dimension([2, 2, 2])
        4
    """
    if not filter_sizes or filter_sizes[0] < 2 or min(filter_sizes) < 1:
        raise ValueError(f"filter_sizes must begin with 2 or more, got {tuple(filter_sizes)}")
    return (filter_sizes[0] - 1) * math.prod(filter_sizes[1:])


def spectral_decay(filter_sizes: Sequence[int], kind: Kind = "ntk") -> float:
    """Returns the exponent by which eigenvalues fall with their rank.

    In the sector of functions of one patch of dimension d, Lambda_k ~ |k|^(-2 nu - d), and |k|^d modes have a frequency
    below |k|: the widest sector decays most slowly with the rank, as rank^(-1 - 2 nu / d), and dominates.

    Args:
        filter_sizes: Of the kernel.
        kind: Of the kernel.
    """
    return 1 + 2 * SMOOTHNESS[kind] / effective_dimension(filter_sizes)


def learning_exponent(
    student: Sequence[int], teacher: Sequence[int], student_kind: Kind = "ntk", teacher_kind: Kind = "ntk"
) -> float:
    """Returns beta of the error n^-beta that a student makes on Gaussian fields of a teacher, without noise.

    With d and nu of the student, d_t and nu_t of the teacher:  beta = (2 nu_t / d) (2 nu + d) / (2 nu + d_t). For NTKs
    on a target of full size it is 1 / d, the curse of dimensionality.

    Args:
        student: Filter sizes of the kernel that learns.
        teacher: Filter sizes of the kernel of the fields; functions that the student has a sector for.
        student_kind: Of the kernel that learns.
        teacher_kind: Of the fields.

    Examples:
        >>> learning_exponent([2, 2, 2], [2])
        0.625
    """
    d, d_t = effective_dimension(student), effective_dimension(teacher)
    nu, nu_t = SMOOTHNESS[student_kind], SMOOTHNESS[teacher_kind]
    if d_t > d:
        raise ValueError(f"the student, of dimension {d}, has no sector for a teacher of dimension {d_t}")
    return 2 * nu_t / d * (2 * nu + d) / (2 * nu + d_t)
