"""Warnings before a run is resumed: changed versions, jumping schedules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rk.fit.runtime import Runtime

_JUMP = 0.05
"""Relative change of a learning rate that is worth a warning."""


def changed_versions(before: Mapping[str, str] | None, now: Mapping[str, str]) -> Iterator[str]:
    """Yields a warning where the run was trained with other versions of its distributions.

    Args:
        before: ``versions`` of ``run.json``.
        now: The installed versions.
    """
    changed = [f"{n} {v} -> {now.get(n, 'none')}" for n, v in (before or {}).items() if now.get(n) != v]
    if changed:
        yield f"the versions have changed since the run began: {', '.join(changed)}; its numbers may differ"


def jumping_rates(runtime: Runtime, before: int | None, step: int) -> Iterator[str]:
    """Yields a warning for each learning rate that jumps because the run got another length.

    Args:
        runtime: With the restored optimizers and the new length.
        before: The length for which the run was planned so far.
        step: The step from which it is resumed.
    """
    if before == runtime.total_steps or before is None:
        return
    old, new = runtime.rates_for(before, step), runtime.rates_for(runtime.total_steps, step)
    for name, rate in new.items():
        if abs(rate - old[name]) > _JUMP * max(abs(rate), abs(old[name])):
            yield (
                f"the schedule depends on the number of steps, which changes from {before} to {runtime.total_steps}: "
                f"{name} after step {step} is {rate:.3g}, without the change {old[name]:.3g}"
            )
