"""Comparing what a fast operation gives with what its naive twin gives, gradients included."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

ODD_LENGTHS = (1, 2, 7, 63, 64, 65, 100)
"""Lengths on both sides of where blocks, chunks and powers of two end: where fast code goes wrong first."""

RELATIVE = {torch.float64: 1e-9, torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 2e-3}
"""The difference that rounding explains, by dtype, the default tolerance."""


def assert_close(found: object, expected: object, relative: float | None = None, name: str = "") -> None:
    """Asserts that tensors, or tuples, lists and dicts of them, agree.

    Floating-point tensors are compared by the root mean square of their difference, relative to that of `expected`: one
    number for the error of the whole, which entries near zero do not distort. Others must be equal.

    Args:
        found: What the code under test gives.
        expected: What it should give.
        relative: The largest relative difference; by default what rounding explains in the dtype of `found`.
        name: What to call it in the message.

    Raises:
        AssertionError: Naming the first part that differs, and by how much.
    """
    parts, wanted = dict(_parts(found, name)), dict(_parts(expected, name))
    assert parts.keys() == wanted.keys(), f"{name or 'the results'}: parts {list(parts)} against {list(wanted)}"
    for key, value in parts.items():
        _assert_tensors_close(value, wanted[key], relative, key or "the result")


def _assert_tensors_close(found: Tensor, expected: Tensor, relative: float | None, name: str) -> None:
    assert found.shape == expected.shape, f"{name}: shape {tuple(found.shape)}, expected {tuple(expected.shape)}"
    if not (found.is_floating_point() or found.is_complex()):
        count = int((found != expected).sum())
        assert count == 0, f"{name}: {count} of {found.numel()} values differ"
        return
    bound = relative if relative is not None else RELATIVE.get(found.dtype, 1e-5)
    one, other = found.detach().double(), expected.detach().double()
    assert torch.equal(one.isfinite(), other.isfinite()), f"{name}: not finite at other places than expected"
    finite = one.isfinite()
    difference = float(_rms((one - other)[finite]))
    scale = float(_rms(other[finite]))
    error = difference / scale if scale else difference
    assert error <= bound, f"{name}: relative difference {error:.3g}, at most {bound:.3g} expected"


def assert_twins(
    fast: Callable[..., Any],
    naive: Callable[..., Any],
    *inputs: object,
    parameters: Iterable[Tensor] = (),
    relative: float | None = None,
    seed: int = 0,
) -> None:
    """Asserts that two functions give the same outputs and the same gradient for every input.

    The gradients are those of the outputs' product with one random tensor, so that no direction is left out.

    Args:
        fast: The function under test.
        naive: Its twin, written to be read.
        *inputs: What both take; a floating-point tensor gets a gradient.
        parameters: Tensors that both use besides, as weights that both read: their gradients are compared too.
        relative: The largest relative difference of each, see `assert_close`.
        seed: Seeds the random tensor.

    Raises:
        AssertionError: Naming the output or the input whose gradient differs.
    """
    weights = list(parameters)
    outputs, gradients = _differentiated(fast, inputs, weights, seed)
    expected, wanted = _differentiated(naive, inputs, weights, seed)
    assert_close(outputs, expected, relative, "output")
    for key, gradient in gradients.items():
        assert (gradient is None) == (wanted[key] is None), f"only one of the twins gives a gradient for {key}"
        if gradient is not None:
            assert_close(gradient, wanted[key], relative, f"gradient of {key}")


def _differentiated(
    function: Callable[..., Any], inputs: tuple[Any, ...], weights: list[Tensor], seed: int
) -> tuple[Any, dict[str, Tensor | None]]:
    own = [x.detach().clone().requires_grad_(x.is_floating_point()) if isinstance(x, Tensor) else x for x in inputs]
    outputs = function(*own)
    generator = torch.Generator().manual_seed(seed)
    score: Tensor | float = 0.0
    for _, part in _parts(outputs, ""):
        if part.requires_grad:
            direction = torch.randn(part.shape, generator=generator, dtype=torch.float64)
            score = score + (part * direction.to(part)).sum()
    leaves = {f"input {i}": x for i, x in enumerate(own) if isinstance(x, Tensor) and x.requires_grad}
    leaves |= {f"parameter {i}": w for i, w in enumerate(weights)}
    assert isinstance(score, Tensor), "no output has a gradient"
    found = torch.autograd.grad(score, list(leaves.values()), allow_unused=True)
    return outputs, dict(zip(leaves, found, strict=True))


def _parts(value: object, name: str) -> Iterator[tuple[str, Tensor]]:
    """Yields the tensors in nested tuples, lists and dicts, each with a name for its place."""
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _parts(item, f"{name}[{key!r}]")
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from _parts(item, f"{name}[{i}]")
    elif value is not None:
        yield name, torch.as_tensor(value)


def _rms(values: Tensor) -> Tensor:
    return values.abs().square().mean().sqrt() if values.numel() else values.new_zeros(())
