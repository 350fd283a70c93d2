"""A pretrained voice-activity model with few bits: what its speech probabilities lose on recorded digits; one thread.

python benchmarks/silero.py

The weights are those that the package silero-vad 6.2 installs (`pip install --no-deps silero-vad`), the sound is the
Free Spoken Digit Dataset in RK_DATA. It is not a component of a plugin: rk has no data of sound, so there is no run for
a search to take. The rounding is that of rk-quantization, which takes any module that answers a batch.
"""

from __future__ import annotations

import copy
import importlib.util
import io
import tarfile
import time
import wave
from pathlib import Path

import torch
from rk_quantization.post_training import PostTraining
from rk_quantization.scheme import Scheme
from rk_quantization.settings import Settings
from torch import Tensor, nn

from rk.files import data_folder

RATE, FRAME, CONTEXT = 8000, 256, 32
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
PAUSE = RATE // 2
"""Samples of silence after each recording."""


class Voice(nn.Module):
    """The model for 8 kHz: a Fourier transform, four convolutions, an LSTM over frames, and a probability for each.

    Args:
        weights: What the package's file holds under ``_model_8k``.
    """

    basis: Tensor

    def __init__(self, weights: dict[str, Tensor]) -> None:
        super().__init__()
        self.register_buffer("basis", weights["stft.forward_basis_buffer"])  # fixed: it stays in floating point
        sizes = ((65, 128, 1), (128, 64, 2), (64, 64, 2), (64, 128, 1))
        self.encoder = nn.Sequential(
            *(layer for a, b, s in sizes for layer in (nn.Conv1d(a, b, 3, s, padding=1), nn.ReLU()))
        )
        self.rnn = nn.LSTM(128, 128, batch_first=True)
        self.head = nn.Linear(128, 1)
        with torch.no_grad():
            for i in range(4):
                for name in ("weight", "bias"):
                    getattr(self.encoder[2 * i], name).copy_(weights[f"encoder.{i}.reparam_conv.{name}"])
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                getattr(self.rnn, f"{name}_l0").copy_(weights[f"decoder.rnn.{name}"])
            self.head.weight.copy_(weights["decoder.decoder.2.weight"][..., 0])
            self.head.bias.copy_(weights["decoder.decoder.2.bias"])

    def predict(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Answers `sound` (batch, samples), a multiple of `FRAME`, with the `probability` of speech (batch, frames)."""
        sound = nn.functional.pad(batch["sound"], (CONTEXT, 0))
        frames = sound.unfold(1, CONTEXT + FRAME, FRAME).reshape(-1, 1, CONTEXT + FRAME)
        both = nn.functional.conv1d(nn.functional.pad(frames, (0, 32), mode="reflect"), self.basis, stride=64)
        size = (both[:, :65].square() + both[:, 65:].square()).sqrt()
        states, _ = self.rnn(self.encoder(size).view(len(sound), -1, 128))
        return {"probability": self.head(states.relu())[..., 0].sigmoid()}


def main() -> None:
    torch.set_num_threads(1)
    spec = importlib.util.find_spec("silero_vad")
    archive = data_folder() / "fsdd/recordings.tar.xz"
    if spec is None or spec.origin is None:
        print("silero-vad is not installed: nothing is measured (pip install --no-deps silero-vad)")
        return
    if not archive.exists():
        print("fsdd/recordings.tar.xz is not in RK_DATA: nothing is measured")
        return
    script = torch.jit.load(str(Path(spec.origin).parent / "data/silero_vad.jit")).eval()
    model = Voice({n.removeprefix("_model_8k."): w for n, w in script.state_dict().items() if "_8k" in n}).eval()
    spoken = recordings(archive)
    test, where = stream(spoken, range(5))
    calibration, _ = stream(spoken, range(40, 42))
    with torch.no_grad():
        expected = model.predict({"sound": test})["probability"]
        theirs = torch.stack([script(frame, RATE)[:, 0] for frame in test.split(FRAME, 1)], 1)
    count = sum(p.numel() for p in model.parameters())
    print(f"{count:,} parameters, {expected.numel():,} frames of {len(test)} speakers")
    print(f"the package's own graph differs by at most {float((theirs - expected).abs().max()):.1e}")
    speech = expected > 0.5
    right = float((speech == where).double().mean())
    print(f"speech in {float(speech.double().mean()):.1%} of the frames; {right:.1%} as the recordings are placed")
    print("\n                          kB   mean |p - p~|   largest   same side of 0.5   right   seconds")
    for name, settings in schemes().items():
        rounded, began = copy.deepcopy(model), time.perf_counter()
        rows = PostTraining(rounded, settings).all(lambda: iter([{"sound": calibration}]), 0)
        took = time.perf_counter() - began
        with torch.no_grad():
            found = rounded.predict({"sound": test})["probability"]
        off = (found - expected).abs()
        same = float(((found > 0.5) == speech).double().mean())
        right = float(((found > 0.5) == where).double().mean())
        size = sum(row.size for row in rows) / 1000
        print(
            f"  {name:<22}{size:6.1f}{float(off.mean()):16.5f}{float(off.max()):10.3f}{same:19.3%}{right:8.1%}"
            f"{took:10.1f}"
        )


def schemes() -> dict[str, Settings]:
    """Returns what is compared: weights alone, a scale for each output channel."""
    found = {f"W{bits}, nearest": Settings(Scheme(bits)) for bits in (8, 6, 4, 3)}
    found["W4, clip=mse"] = Settings(Scheme(4, clip="mse"))
    found["W4, groups of 32"] = Settings(Scheme(4, granularity="group", group_size=32), exclude=(r"encoder\.0\.",))
    found["W4, AdaRound"] = Settings(Scheme(4), rounding="adaround")
    found["W4, GPTQ"] = Settings(Scheme(4), rounding="gptq")
    found["W4, GPTQ, clip=mse"] = Settings(Scheme(4, clip="mse"), rounding="gptq")
    found["the same, ends W8"] = Settings(Scheme(4, clip="mse"), rounding="gptq", first_last_bits=8)
    return found


def recordings(archive: Path) -> dict[str, Tensor]:
    """Returns the recordings by name, ``7_theo_3``: float32 in [-1, 1] at 8 kHz."""
    found = {}
    with tarfile.open(archive) as files:
        for member in files:
            file = files.extractfile(member)
            if file is None or not member.name.endswith(".wav"):
                continue
            with wave.open(io.BytesIO(file.read())) as sound:
                bytes_ = bytearray(sound.readframes(sound.getnframes()))
            found[Path(member.name).stem] = torch.frombuffer(bytes_, dtype=torch.int16).float() / 2**15
    return found


def stream(spoken: dict[str, Tensor], takes: range) -> tuple[Tensor, Tensor]:
    """Returns a stream for each speaker, all digits with pauses, and in which frames a recording is, at half or more.

    Returns:
        float32 of (speakers, samples), and bool of (speakers, frames).
    """
    streams, places = [], []
    for speaker in SPEAKERS:
        parts = [spoken[f"{digit}_{speaker}_{take}"] for take in takes for digit in range(10)]
        streams.append(torch.cat([x for part in parts for x in (part, torch.zeros(PAUSE))]))
        places.append(torch.cat([x for part in parts for x in (torch.ones(len(part)), torch.zeros(PAUSE))]))
    length = -(-max(map(len, streams)) // FRAME) * FRAME
    sound, place = (torch.stack([nn.functional.pad(x, (0, length - len(x))) for x in xs]) for xs in (streams, places))
    return sound, place.unfold(1, FRAME, FRAME).mean(2) >= 0.5


if __name__ == "__main__":
    main()
