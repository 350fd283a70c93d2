"""rk from Python: train, load, evaluate and reproduce; a run as an object. `rk` has the same names.

::

    run = rk.train("my-net/quick", fit={"max_steps": 100})
    run.metrics["test/accuracy"]
    rk.load("last").predict("scan.png")

Importing this imports no torch; calling does.
"""

from rk.api.answers import Answers, Part
from rk.api.figures import Figures
from rk.api.new_run import train
from rk.api.run import Interrupted, StoredRun, evaluate, load
from rk.reproduce.rows import reproduce

__all__ = ["Answers", "Figures", "Interrupted", "Part", "StoredRun", "evaluate", "load", "reproduce", "train"]
