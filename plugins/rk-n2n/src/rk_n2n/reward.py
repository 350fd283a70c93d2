"""The reward of a student: how much smaller it is, times how good it is."""

from __future__ import annotations

WORST = -1.0
"""The reward of a student that is not allowed."""
SOFT_ITERATIONS = 15
"""Iterations over which a constraint hardens."""


def reward(parameters: int, teacher_parameters: int, score: float, teacher_score: float) -> float:
    """Returns C (2 - C) A / A_teacher with C = 1 - parameters / teacher's (arXiv:1709.06030, Sec. 3.3).

    Args:
        parameters: Of the student.
        teacher_parameters: Of the teacher.
        score: The student's accuracy.
        teacher_score: The teacher's.

    Returns:
        The reward; `WORST` where the student is not smaller than the teacher.
    """
    if parameters >= teacher_parameters:
        return WORST
    compression = 1 - parameters / teacher_parameters
    return compression * (2 - compression) * score / teacher_score


def constrained(value: float, allowed: bool, iteration: int) -> float:
    """Returns the reward under a constraint, which hardens over the first iterations.

    A student that is not allowed gets (e - 1) + e R, where e = max(0, 1 - t / 15)^4 falls from 1 to 0.

    Args:
        value: The reward without the constraint.
        allowed: Whether the student keeps it.
        iteration: Iterations before this one, t.
    """
    if allowed:
        return value
    softness = max(0.0, 1 - iteration / SOFT_ITERATIONS) ** 4
    return (softness - 1) + softness * value
