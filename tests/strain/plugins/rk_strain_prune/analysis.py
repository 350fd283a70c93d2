from __future__ import annotations

from pathlib import Path

import torch

from rk import Run


class UnitUse:
    """How often each hidden unit of an mlp is on.

    Args:
        run: A run of an mlp.
        split: The split of the images.
    """

    def __init__(self, run: Run, split: str = "val") -> None:
        self.run = run
        self.split = split

    @torch.no_grad()
    def analyze(self, out: Path) -> dict[str, float]:
        block = self.run.learner.model.blocks[0]
        hidden = torch.cat([block(batch["inputs"].flatten(1)) for batch in self.run.batches(self.split)])
        use = (hidden > 0).float().mean(0)
        (out / "use.csv").write_text("\n".join(f"{i},{share:.4f}" for i, share in enumerate(use.tolist())))
        return {"use/mean": float(use.mean()), "use/never": float((use == 0).sum())}
