"""Recordings with a class each: WAV files of any width and rate become samples of one rate and length."""

from __future__ import annotations

import os
import wave
from pathlib import Path

import numpy as np
import pytest
import torch
from rk_sequence.labelled_sounds import LabelledSounds
from rk_sequence.sounds import read_wav, spoken_digits

from rk.errors import UserError


def write(path: Path, samples: np.ndarray, rate: int = 8000, width: int = 2, channels: int = 1) -> Path:
    """Writes samples from -1 to 1 as a WAV file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = np.round(samples * (2 ** (8 * width - 1) - 1)).astype(np.int64)
    if width == 1:
        raw = (whole + 128).astype(np.uint8).tobytes()
    elif width == 3:
        raw = b"".join(int(n).to_bytes(3, "little", signed=True) for n in whole.ravel())
    else:
        raw = whole.astype(f"<i{width}").tobytes()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(raw)
    return path


def tone(rate: int, seconds: float = 0.1, pitch: float = 100.0) -> np.ndarray:
    return 0.8 * np.sin(2 * np.pi * pitch * np.arange(round(rate * seconds)) / rate)


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_samples_of_any_width_are_read_from_minus_one_to_one(tmp_path, width):
    file = write(tmp_path / "a.wav", tone(8000), width=width)
    np.testing.assert_allclose(read_wav(file, 8000)[:, 0], tone(8000), atol=0.02 if width == 1 else 1e-4)


def test_channels_are_averaged(tmp_path):
    both = np.stack([tone(8000), np.zeros(800)], 1)
    found = read_wav(write(tmp_path / "a.wav", both, channels=2), 8000)
    np.testing.assert_allclose(found[:, 0], tone(8000) / 2, atol=1e-4)


@pytest.mark.parametrize("rate", [2000, 4000, 16000, 11025])
def test_a_slow_tone_is_the_same_at_every_rate(tmp_path, rate):
    found = read_wav(write(tmp_path / "a.wav", tone(8000)), rate)[:, 0].numpy()
    assert len(found) == round(rate * 0.1)
    shift = 0 if rate >= 8000 else 0.5 / rate - 0.5 / 8000  # a mean over a sample's width is its middle
    expected = 0.8 * np.sin(2 * np.pi * 100 * (np.arange(len(found)) / rate + shift))
    np.testing.assert_allclose(found[2:-2], expected[2:-2], atol=0.03)


def test_what_is_above_the_new_rate_does_not_become_a_lower_tone(tmp_path):
    fast = write(tmp_path / "a.wav", tone(8000, pitch=2000))
    assert read_wav(fast, 2000).abs().max() < 1e-3


@pytest.mark.parametrize("content", [b"", b"RIFF", b"not a sound at all, but some text"])
def test_another_file_is_one_message(tmp_path, content):
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.wav: expected a WAV file with PCM samples"):
        read_wav(tmp_path / "a.wav", 8000)


def folder(tmp_path: Path) -> Path:
    for name, pitch in (("high", 900), ("low", 90)):
        for i in range(10):
            write(tmp_path / "sounds" / name / f"{i}.wav", tone(8000, 0.02 + 0.002 * i, pitch))
    return tmp_path / "sounds"


def test_a_folder_for_each_class_is_data(tmp_path):
    data = LabelledSounds(folder=folder(tmp_path), seed=0, rate=4000, seconds=0.03, batch_size=4)
    data.prepare()
    assert data.labels == ("high", "low")
    batch = data.batch("train", 0)
    assert batch["inputs"].shape == (4, 120, 1)
    assert data.num_outputs == 2
    again = LabelledSounds(folder=tmp_path / "gone", seed=0, rate=4000, seconds=0.03)
    again.load_state_dict(data.state_dict())
    read = again.read(tmp_path / "sounds" / "low" / "3.wav")["inputs"]
    assert read.shape == (1, 120, 1)
    torch.testing.assert_close(read[0, 110:], torch.zeros(10, 1))  # silence behind a shorter one


def test_a_folder_without_classes_is_one_message(tmp_path):
    write(tmp_path / "a.wav", tone(8000))
    data = LabelledSounds(folder=tmp_path, seed=0)
    with pytest.raises(UserError, match="expected a folder for each class with WAV files"):
        data.prepare()


def test_a_folder_or_a_dataset():
    with pytest.raises(ValueError, match=r"give data\.folder, your own recordings, or data\.dataset"):
        LabelledSounds(seed=0)


@pytest.mark.skipif(not (Path(os.environ.get("RK_DATA", "")) / "fsdd").is_dir(), reason="RK_DATA has no folder fsdd")
def test_the_published_digits_have_their_published_test_set():
    parts = spoken_digits(1000)
    assert {split: len(examples) for split, examples in parts.items()} == {"train": 2700, "test": 300}
    assert {example.label for example in parts["test"]} == set("0123456789")
