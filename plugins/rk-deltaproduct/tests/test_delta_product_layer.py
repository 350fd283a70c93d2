"""The layer: it streams, respects masks, is laid out as flash-linear-attention's, and starts as the authors' does."""

import pytest
import torch
from rk_deltaproduct.layer import DeltaProduct
from torch.nn import functional as F

from rk.testing import assert_close

VARIANTS = {
    "plain": {},
    "deltanet": {"num_householder": 1},
    "gates": {"use_forget_gate": True, "use_output_gate": True},
    "convolutions": {"use_short_conv": True, "num_householder": 3},
    "all": {"use_forget_gate": True, "use_output_gate": True, "use_short_conv": True, "expand_v": 2.0},
    "positive": {"allow_neg_eigval": False, "head_dim": 3, "conv_size": 1, "use_short_conv": True},
}


@pytest.fixture(params=VARIANTS)
def layer(request) -> DeltaProduct:
    torch.manual_seed(0)
    layer = DeltaProduct(d_model=8, num_heads=2, **VARIANTS[request.param]).double()
    with torch.no_grad():
        for weight in layer.parameters():
            weight.add_(0.5 * torch.randn_like(weight))  # far enough from the small starting weights
    return layer


def flash_linear_attention(layer: DeltaProduct, weights: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """One sequence, one token and one head at a time, from weights in the layout of `GatedDeltaProduct` in fla 0.6.

    Written from a reading of its forward: "(n h d)" are the rows of k_proj and v_proj, "(n h)" those of b_proj.
    """
    n, h = layer.num_householder, layer.num_heads

    def projected(name: str) -> torch.Tensor:
        y = x @ weights[f"{name}_proj.weight"].T
        if f"{name}_conv1d.weight" in weights:
            kernel = weights[f"{name}_conv1d.weight"][:, 0]
            width = kernel.shape[1]
            y = F.pad(y, (0, 0, width - 1, 0))
            y = torch.stack([sum(kernel[:, i] * y[t + i] for i in range(width)) for t in range(len(x))])
        return F.silu(y)

    q, k, v = projected("q"), projected("k"), projected("v")
    d_k, d_v = q.shape[1] // h, v.shape[1] // (n * h)
    beta = (x @ weights["b_proj.weight"].T).sigmoid() * layer.beta_range
    outputs = torch.zeros(len(x), h, d_v).to(x)
    for head in range(h):
        memory = torch.zeros(d_k, d_v).to(x)
        for t in range(len(x)):
            if "a_proj.weight" in weights:
                step = F.softplus(x[t] @ weights["a_proj.weight"][head] + weights["dt_bias"][head])
                memory = memory * (-weights["A_log"][head].exp() * step).exp()
            for j in range(n):
                block = j * h + head
                key = k[t, block * d_k : (block + 1) * d_k]
                key = key / (key.square().sum() + 1e-6).sqrt()
                value = v[t, block * d_v : (block + 1) * d_v]
                memory = memory + beta[t, block] * torch.outer(key, value - memory.T @ key)
            query = q[t, head * d_k : (head + 1) * d_k]
            read = memory.T @ (query / (query.square().sum() + 1e-6).sqrt()) / d_k**0.5
            read = read / (read.square().mean() + 1e-5).sqrt() * weights["o_norm.weight"]
            if "g_proj.weight" in weights:
                read = read * F.silu(x[t] @ weights["g_proj.weight"].T)[head * d_v : (head + 1) * d_v]
            outputs[t, head] = read
    return outputs.flatten(1) @ weights["o_proj.weight"].T


def test_its_weights_mean_what_flash_linear_attention_means_by_them(layer):
    x = torch.randn(2, 11, 8, dtype=torch.double)
    expected = torch.stack([flash_linear_attention(layer, layer.state_dict(), row) for row in x])
    assert_close(layer(x), expected, relative=1e-9)


def test_its_parameters_have_the_names_and_shapes_of_flash_linear_attention():
    # GatedDeltaProduct(hidden_size=32, head_dim=8, num_heads=4, expand_v=2, num_householder=3) of fla 0.6
    layer = DeltaProduct(
        d_model=32,
        num_heads=4,
        expand_v=2.0,
        num_householder=3,
        use_forget_gate=True,
        use_output_gate=True,
        use_short_conv=True,
    )
    assert {name: tuple(weight.shape) for name, weight in layer.state_dict().items()} == {
        "q_proj.weight": (32, 32),
        "k_proj.weight": (96, 32),
        "v_proj.weight": (192, 32),
        "b_proj.weight": (12, 32),
        "a_proj.weight": (4, 32),
        "A_log": (4,),
        "dt_bias": (4,),
        "q_conv1d.weight": (32, 1, 4),
        "k_conv1d.weight": (96, 1, 4),
        "v_conv1d.weight": (192, 1, 4),
        "g_proj.weight": (64, 32),
        "o_norm.weight": (16,),
        "o_proj.weight": (32, 64),
    }


@pytest.mark.parametrize("sizes", [[13], [1] * 13, [4, 1, 8], [2, 11]], ids=str)
def test_it_may_stop_at_any_step_and_continue(layer, sizes):
    x = torch.randn(3, 13, 8, dtype=torch.double)
    state, pieces = layer.initial_state(3), []
    for piece in x.split(sizes, 1):
        y, state = layer.scan(piece, state)
        pieces.append(y)
    assert_close(torch.cat(pieces, 1), layer(x))


def test_a_scan_leaves_the_state_that_it_was_given_alone(layer):
    state = layer.scan(torch.randn(2, 5, 8, dtype=torch.double), layer.initial_state(2))[1]
    before = {name: part.clone() for name, part in state.items()}
    for steps in (1, 4):
        layer.scan(torch.randn(2, steps, 8, dtype=torch.double), state)
    assert all(torch.equal(part, before[name]) for name, part in state.items())
    assert all(len(part) == 2 for part in state.values()), "the batch comes first"


@pytest.mark.parametrize("steps", [9, 1], ids=lambda t: f"t{t}")
def test_masked_steps_do_not_affect_the_output(layer, steps):
    x = torch.randn(4, steps, 8, dtype=torch.double)
    mask = torch.rand(4, steps) < 0.6
    mask[0], mask[1] = True, False
    start = layer.scan(torch.randn(4, 5, 8, dtype=torch.double), layer.initial_state(4))[1]
    y, state = layer.scan(x, start, mask)
    for i, row in enumerate(x):
        alone = {name: part[i : i + 1] for name, part in start.items()}
        answer = row.new_zeros(1, 0, 8)
        if mask[i].any():
            answer, alone = layer.scan(row[mask[i]].unsqueeze(0), alone)
        assert_close(y[i, mask[i]], answer[0])
        assert_close({name: part[i : i + 1] for name, part in state.items()}, alone)


def test_no_output_depends_on_a_later_step(layer):
    x = torch.randn(2, 12, 8, dtype=torch.double)
    later = x.clone()
    later[:, 7:] += 1
    assert_close(layer(later)[:, :7], layer(x)[:, :7])


def test_it_starts_from_the_authors_weights():
    torch.manual_seed(0)
    layer = DeltaProduct(d_model=64, use_forget_gate=True, num_heads=64, head_dim=1)
    bound = 2**-2.5 * (6 / 128) ** 0.5  # Xavier's, of a square matrix, times the gain
    assert 0.9 * bound < layer.q_proj.weight.abs().max() <= bound
    rates, steps = layer.A_log.exp(), F.softplus(layer.dt_bias)
    assert rates.min() > 0 and 12 < rates.max() <= 16
    assert 1e-3 * 0.999 < steps.min() < 2e-3 and 5e-2 < steps.max() < 0.1001


@pytest.mark.parametrize("allowed", [False, True], ids=["in [0, 1]", "in [-1, 1]"])
def test_eigenvalues_are_where_they_are_allowed(allowed):
    torch.manual_seed(0)
    layer = DeltaProduct(d_model=4, num_heads=1, num_householder=1, allow_neg_eigval=allowed)
    with torch.no_grad():
        layer.v_proj.weight.zero_()  # nothing is written: the state shows the transition alone
        layer.b_proj.weight.mul_(1000)  # step sizes at the ends of their range
    x = torch.randn(64, 1, 4)
    _, state = layer.scan(x, {"memory": torch.eye(4).expand(64, 1, 4, 4)})
    eigenvalues = torch.linalg.eigvalsh(state["memory"])
    assert eigenvalues.max() < 1 + 1e-5
    assert (eigenvalues.min() < -0.9) == allowed
    assert allowed or eigenvalues.min() > -1e-5


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="num_heads must divide a width of 8, got 3"):
        DeltaProduct(d_model=8, num_heads=3)
    with pytest.raises(ValueError, match="must be a whole number"):
        DeltaProduct(d_model=8, num_heads=2, expand_v=1.3)


@pytest.mark.parametrize("layer", ["all"], indirect=True)
def test_a_graph_of_a_layer_takes_any_number_of_rows(layer):
    rows = torch.export.Dim.AUTO
    x, mask = torch.randn(7, 5, 8).double(), torch.rand(7, 5) > 0.3
    with torch.no_grad():
        graph = torch.export.export(layer, (x[:3], mask[:3]), dynamic_shapes=({0: rows}, {0: rows}), strict=False)
        assert_close(graph.module()(x, mask), layer(x, mask))
