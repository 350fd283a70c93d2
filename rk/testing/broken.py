"""The outcomes of a check that does not pass."""

from __future__ import annotations


class Broken(AssertionError):
    """The plugin does not keep the contract; the message names what, where and, often, why."""


class NotApplicable(Exception):
    """There is nothing here that the check could look at: a learner without an objective has no loss to fall."""
