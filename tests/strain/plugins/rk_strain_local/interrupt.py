from __future__ import annotations

import os
import signal


class Interrupt:
    """Presses Ctrl-C after a step, when the environment says so.

    Args:
        at: The step.
    """

    def __init__(self, at: int) -> None:
        self.at = at

    def after_step(self, fit) -> None:
        if fit.step == self.at and os.environ.get("RK_TEST_INTERRUPT"):
            os.kill(os.getpid(), signal.SIGINT)
