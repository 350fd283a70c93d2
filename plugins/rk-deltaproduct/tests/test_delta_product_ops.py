"""The op: chunks and the recurrence agree, in outputs, states and every gradient, and the state stays bounded."""

import pytest
import torch
from rk_deltaproduct import naive, ops
from rk_deltaproduct.layer import DeltaProduct
from rk_deltaproduct.ops import delta_product, delta_product_step
from torch.func import functional_call, grad, jacrev, jvp, vmap
from torch.nn import functional as F

from rk.testing import ODD_LENGTHS, assert_close, assert_twins


def make_inputs(
    t: int, n: int = 2, b: int = 2, h: int = 3, k: int = 4, v: int = 5, gate: bool = False, dtype=torch.float64
) -> list[torch.Tensor | None]:
    """Returns q, k, v, beta, g and an initial state; betas go up to 2."""
    torch.manual_seed(t + 100 * n)
    inputs = [
        torch.randn(b, t, h, k),
        F.normalize(torch.randn(b, t, n, h, k), dim=-1),
        torch.randn(b, t, n, h, v),
        2 * torch.rand(b, t, n, h),
        -F.softplus(torch.randn(b, t, h)) if gate else None,
        torch.randn(b, h, k, v),
    ]
    return [x if x is None else x.to(dtype) for x in inputs]


@pytest.mark.parametrize("gate", [False, True], ids=["no gate", "gate"])
@pytest.mark.parametrize("n", [1, 2, 3], ids=lambda n: f"n{n}")
@pytest.mark.parametrize("t", [1, 2, 7, 17], ids=lambda t: f"t{t}")
def test_chunks_equal_the_recurrence_in_outputs_states_and_every_gradient(t, n, gate):
    for chunk_size in (1, 3, 8, 32):
        assert_twins(
            lambda *x, size=chunk_size: delta_product(*x, chunk_size=size),
            naive.delta_product,
            *make_inputs(t, n, gate=gate),
        )


@pytest.mark.parametrize("t", ODD_LENGTHS)
def test_chunks_of_the_chosen_size_equal_the_recurrence_in_32_bits(t):
    inputs = make_inputs(t, b=1, k=16, v=8, gate=True, dtype=torch.float32)
    assert_twins(delta_product, naive.delta_product, *inputs, relative=1e-5)


MISTAKES = {
    "a token decays after its steps": ("delta_product", "between[..., n - 1 :: n, :]", "between[..., :: n, :]"),
    "queries see the next token": ("delta_product", "seen[n - 1 :: n]", "seen[n - 1 :: n].roll(-1, 0)"),
    "queries see one step of their token": ("delta_product", "seen[n - 1 :: n]", "seen[:: n]"),
    "values are written whole": ("delta_product", "keys, values * rates", "keys, values"),
    "the state that is met does not decay": ("delta_product", "keys_in * decay.exp()", "keys_in"),
    "outputs are not scaled": ("delta_product", "queries * scale", "queries"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_chunks_is_noticed(plant, mistake):
    plant(ops, *MISTAKES[mistake])
    inputs = make_inputs(7, 2, gate="decay" in mistake)
    with pytest.raises(AssertionError):
        assert_twins(lambda *x: ops.delta_product(*x, chunk_size=3), naive.delta_product, *inputs)


def test_without_a_state_it_begins_with_zeros():
    inputs = make_inputs(9)[:5]
    zeros = torch.zeros(2, 3, 4, 5, dtype=torch.float64)
    assert_close(delta_product(*inputs), delta_product(*inputs, zeros))


@pytest.mark.parametrize("gate", [False, True], ids=["no gate", "gate"])
def test_a_sequence_may_be_cut_anywhere(gate):
    *inputs, state = make_inputs(11, gate=gate)
    outputs, last = delta_product(*inputs, state)
    pieces = []
    for piece in (slice(0, 4), slice(4, 4), slice(4, 5), slice(5, 11)):
        part, state = delta_product(*(x if x is None else x[:, piece] for x in inputs), state)
        pieces.append(part)
    assert_close((torch.cat(pieces, 1), state), (outputs, last))


@pytest.mark.parametrize("gate", [False, True], ids=["no gate", "gate"])
def test_the_step_is_the_recurrence_of_one_token(gate):
    *inputs, state = make_inputs(1, gate=gate)

    def step(*inputs: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        *parts, state = inputs
        output, state = delta_product_step(*(x if x is None else x[:, 0] for x in parts), state)
        return output.unsqueeze(1), state

    assert_twins(step, naive.delta_product, *inputs, state)


def test_it_is_the_papers_product_of_matrices():
    # Sec. 3: S_i = S_{i-1} A(x_i) + B(x_i) with S of (v, k), and the decay once per token
    q, k, v, beta, g, state = make_inputs(5, n=3, b=1, h=1, gate=True)
    outputs, last = delta_product(q, k, v, beta, g, state, scale=0.5)
    memory = state[0, 0].T
    for i in range(5):
        memory = memory * g[0, i, 0].exp()
        for j in range(3):
            key, value, rate = k[0, i, j, 0], v[0, i, j, 0], beta[0, i, j, 0]
            memory = memory @ (torch.eye(4) - rate * torch.outer(key, key)).double() + rate * torch.outer(value, key)
        assert_close(outputs[0, i, 0], 0.5 * memory @ q[0, i, 0])
    assert_close(last[0, 0], memory.T)


def test_two_reflections_permute_three_elements():
    # the 3-cycle is two transpositions, each the reflection at (e_a - e_b) / sqrt 2: what one step of n_h = 1 cannot do
    swap = {pair: torch.zeros(3) for pair in ((0, 1), (1, 2))}
    for (a, b), key in swap.items():
        key[a], key[b] = 2**-0.5, -(2**-0.5)
    keys = torch.stack([swap[0, 1], swap[1, 2]]).view(1, 1, 2, 1, 3)
    eye = torch.eye(3).view(1, 1, 3, 3)
    beta, v = torch.full((1, 1, 2, 1), 2.0), torch.zeros(1, 1, 2, 1, 3)
    _, state = delta_product(torch.zeros(1, 1, 1, 3), keys, v, beta, None, eye)
    assert_close(state[0, 0], torch.tensor([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]]))


def test_reflections_keep_a_state_as_large_as_it_was_over_thousands_of_steps():
    # keys repeat and beta = 2: where products of powers in place of a triangular solve overflow
    torch.manual_seed(0)
    keys = F.normalize(torch.randn(6, 8), dim=-1)[torch.randint(6, (1, 4096, 2, 1))]
    beta, zeros = torch.full((1, 4096, 2, 1), 2.0), torch.zeros(1, 4096, 2, 1, 8)
    start = torch.eye(8).view(1, 1, 8, 8)
    for chunk_size in (8, 32, 128):
        _, state = delta_product(torch.zeros(1, 4096, 1, 8), keys, zeros, beta, None, start, chunk_size=chunk_size)
        assert_close(state.mT @ state, start, relative=1e-3)


def test_a_strong_decay_forgets_without_overflow():
    q, k, v, beta, g, state = make_inputs(40, gate=True, dtype=torch.float32)
    g[:, ::3] = -60.0  # over a chunk, exp of the sum is 0 in 32 bits, and that of its negative infinite
    assert_twins(delta_product, naive.delta_product, q, k, v, beta, g, state, relative=1e-5)


def test_a_token_without_step_size_and_decay_changes_nothing():
    q, k, v, beta, g, state = make_inputs(6, gate=True)
    beta[:, 2:4] = 0
    g[:, 2:4] = 0
    kept = [0, 1, 4, 5]
    whole = delta_product(q, k, v, beta, g, state)
    short = delta_product(*(x[:, kept] for x in (q, k, v, beta, g)), state)
    assert_close((whole[0][:, kept], whole[1]), short)


def test_sixteen_bits_are_added_up_in_32():
    inputs = make_inputs(64, dtype=torch.bfloat16)
    outputs, state = delta_product(*inputs)
    assert (outputs.dtype, state.dtype) == (torch.bfloat16, torch.float32)
    exact, last = naive.delta_product(*(x if x is None else x.double() for x in inputs))
    assert_close(state.double(), last, relative=1e-5)
    assert_close(outputs.double(), exact, relative=4e-3)  # rounded once, at the end


def test_autocast_leaves_the_recurrence_in_32_bits():
    inputs = make_inputs(20, gate=True, dtype=torch.float32)

    def cast(*inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.autocast("cpu", torch.bfloat16):
            return delta_product(*inputs)

    assert_twins(cast, naive.delta_product, *inputs, relative=1e-5)


@pytest.mark.parametrize("gate", [False, True], ids=["no gate", "gate"])
def test_transforms_of_torch_func_give_what_they_give_of_the_recurrence(gate):
    inputs = make_inputs(5, b=3, gate=gate)
    given = [i for i, x in enumerate(inputs) if x is not None]

    def outputs(op, *some):
        whole = list(inputs)
        for i, x in zip(given, some, strict=True):
            whole[i] = x.unsqueeze(0)
        return torch.cat([y.flatten() for y in op(*whole)])

    some = [inputs[i] for i in given]
    every = tuple(range(len(some)))
    for transform in (
        lambda f: vmap(f),
        lambda f: vmap(jacrev(f, every)),
        lambda f: vmap(grad(lambda *x: f(*x).square().sum(), every)),
        lambda f: vmap(lambda *x: jvp(f, x, x)[1]),
    ):
        found = transform(lambda *x: outputs(lambda *y: delta_product(*y, chunk_size=2), *x))(*some)
        assert_close(found, transform(lambda *x: outputs(naive.delta_product, *x))(*some), 1e-9)


def test_a_model_with_the_layer_has_jacobians_of_its_parameters():
    torch.manual_seed(0)
    layer = DeltaProduct(d_model=8, num_heads=2, chunk_size=2).double()
    x = torch.randn(2, 5, 8, dtype=torch.float64)
    parameters = {name: p.detach() for name, p in layer.named_parameters()}
    found = jacrev(lambda p: functional_call(layer, p, (x,)).mean((1, 2)))(parameters)
    for row in range(2):
        alone = torch.autograd.grad(layer(x)[row].mean(), list(layer.parameters()))
        for jacobian, expected in zip(found.values(), alone, strict=True):
            assert_close(jacobian[row], expected, 1e-9)
