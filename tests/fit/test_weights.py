"""Weights on disk: what goes in comes out, and a file that does not fit is refused with a reason."""

from __future__ import annotations

import pytest
import torch
from safetensors import safe_open
from torch import nn

from rk.errors import RunFailed
from rk.fit.weights import load_weights, save_weights


class Lazy(nn.Module):
    lazy_buffers = ("seen",)

    def __init__(self, rows=0):
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.register_buffer("seen", torch.arange(rows * 2.0).view(rows, 2))


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(5, 3)
        self.head = nn.Linear(3, 5, bias=False)
        self.head.weight = self.embed.weight


def equal(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_weights_come_back(tmp_path):
    torch.manual_seed(0)
    one, other = nn.LSTM(3, 4), nn.LSTM(3, 4)
    save_weights(one, tmp_path / "w.safetensors")
    load_weights(other, tmp_path / "w.safetensors")
    assert equal(one, other)


def test_tied_weights_are_written_once_and_stay_tied(tmp_path):
    one, other = Tied(), Tied()
    save_weights(one, tmp_path / "w.safetensors")
    with safe_open(tmp_path / "w.safetensors", "pt") as file:
        assert list(file.keys()) == ["embed.weight"]
    load_weights(other, tmp_path / "w.safetensors")
    assert equal(one, other)
    assert other.head.weight is other.embed.weight


def test_a_view_of_a_larger_tensor_is_written_as_what_it_shows(tmp_path):
    one, other = nn.Module(), nn.Module()
    one.register_buffer("part", torch.arange(12.0).view(3, 4).T[1:3])
    other.register_buffer("part", torch.zeros(2, 3))
    save_weights(one, tmp_path / "w.safetensors")
    load_weights(other, tmp_path / "w.safetensors")
    assert equal(one, other)


def test_lazy_buffers_take_their_size_from_the_file_also_inside_another_module(tmp_path):
    one, other = nn.ModuleDict({"inner": Lazy(7)}), nn.ModuleDict({"inner": Lazy(0)})
    save_weights(one, tmp_path / "w.safetensors")
    load_weights(other, tmp_path / "w.safetensors")
    assert equal(one, other)
    assert other["inner"].seen.shape == (7, 2)


class Grown(nn.Module):
    """A parameter whose rows depend on the data, frozen or not."""

    lazy_parameters = ("rows",)

    def __init__(self, rows, requires_grad=True):
        super().__init__()
        self.rows = nn.Parameter(torch.rand(rows, 2), requires_grad=requires_grad)


@pytest.mark.parametrize("requires_grad", [True, False])
def test_lazy_parameters_take_their_size_from_the_file_and_stay_parameters(tmp_path, requires_grad):
    one, other = nn.ModuleDict({"inner": Grown(7)}), nn.ModuleDict({"inner": Grown(0, requires_grad)})
    save_weights(one, tmp_path / "w.safetensors")
    load_weights(other, tmp_path / "w.safetensors")
    assert equal(one, other)
    assert [p.requires_grad for p in other.parameters()] == [requires_grad]


def test_tied_weights_are_repeated_in_files_for_others(tmp_path):
    from safetensors.torch import load_file

    module = nn.ModuleDict({"a": nn.Linear(3, 3), "b": nn.Linear(3, 3)})
    module["b"].weight = module["a"].weight
    save_weights(module, tmp_path / "w.safetensors", share=False)
    stored = load_file(tmp_path / "w.safetensors")
    assert stored.keys() == module.state_dict().keys()
    assert torch.equal(stored["a.weight"], stored["b.weight"])


def test_a_file_cut_short_is_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(nn.Linear(9, 9), path)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(RunFailed, match="cannot be read"):
        load_weights(nn.Linear(9, 9), path)


def test_weights_of_another_shape_are_refused_with_their_names(tmp_path):
    save_weights(nn.Linear(2, 3), tmp_path / "w.safetensors")
    with pytest.raises(RunFailed, match=r"does not fit the learner.*size mismatch for weight"):
        load_weights(nn.Linear(2, 4), tmp_path / "w.safetensors")


class Programs(nn.Module):
    """A learner that knows plain values too."""

    def __init__(self, extra):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
        self.extra = extra

    def get_extra_state(self):
        return self.extra

    def set_extra_state(self, state):
        self.extra = state


def test_plain_values_that_modules_keep_are_in_the_file(tmp_path):
    save_weights(nn.Sequential(Programs({"jump": ["walk", 2]})), tmp_path / "w")
    loaded = nn.Sequential(Programs(None))
    load_weights(loaded, tmp_path / "w")
    assert loaded[0].extra == {"jump": ["walk", 2]}


@pytest.mark.parametrize("extra", [{1: "x"}, {"a": {1, 2}}, Programs], ids=["numbers as keys", "a set", "a class"])
def test_plain_values_that_json_cannot_give_back_are_refused(tmp_path, extra):
    with pytest.raises(RunFailed, match="_extra_state cannot be saved"):
        save_weights(Programs(extra), tmp_path / "w")
