"""Makes the small graphs of `forwardgnn_small` importable for the tests beside it."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
