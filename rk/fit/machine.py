"""What of torch decides the last bits of a result: its build, and what it uses of the machine."""

from __future__ import annotations

import torch

from rk.values import PlainDict


def torch_build(device: torch.device) -> PlainDict:
    """Returns torch's version and commit, its kernels for this processor, its threads, and the GPU that is used."""
    found: PlainDict = {
        "version": torch.__version__,
        "commit": torch.version.git_version,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "cuda": torch.version.cuda,
    }
    if device.type == "cuda":
        found["gpu"] = torch.cuda.get_device_name(device)
        found["cudnn"] = torch.backends.cudnn.version()
    return found
