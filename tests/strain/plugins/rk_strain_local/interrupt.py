from __future__ import annotations

import os
import signal


class Interrupt:
    """Presses Ctrl-C after a step, or kills the process, when the environment variable is set.

    Args:
        at: The step.
    """

    def __init__(self, at: int) -> None:
        self.at = at

    def after_step(self, fit) -> None:
        how = os.environ.get("RK_TEST_INTERRUPT")
        if fit.step == self.at and how:
            os.kill(os.getpid(), signal.SIGKILL if how == "KILL" else signal.SIGINT)
