"""Every algorithm that is offered learns, and continues from its stored state as if it had not been stopped."""

import inspect
import io

import pytest
import torch
from rk_optimizers import known, making
from rk_optimizers.general import General
from rk_optimizers.known import SOAP, Adafactor, Lion, Muon, Prodigy, Shampoo
from torch import nn

from rk import Runtime
from rk.errors import RecipeError

ALGORITHMS = [name for name in making.algorithms() if name != "ranger21"]  # which needs an option
FACTORIES = [cls for _, cls in inspect.getmembers(known, inspect.isclass) if cls.__module__ == known.__name__]


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.LayerNorm(16), nn.Linear(16, 4))


class Training:
    """A small network that learns to copy half of its input."""

    def __init__(self, factory):
        self.network = network()
        self.runtime = Runtime()
        self.optimizer = self.runtime.optimizer(factory, self.network.parameters())
        self.losses = []

    def steps(self, first, last):
        for i in range(first, last):
            x = torch.randn(16, 8, generator=torch.Generator().manual_seed(i))
            torch.manual_seed(100 + i)
            logs = self.runtime.backward(((self.network(x) - x[:, :4]).square().sum(), 16))
            self.runtime.update(self.optimizer)
            self.losses.append(float(logs["loss"]))
        return self

    def stored(self):
        file = io.BytesIO()
        torch.save({"runtime": self.runtime.state_dict(), "network": self.network.state_dict()}, file)
        file.seek(0)
        return torch.load(file, weights_only=True)

    def load(self, state):
        self.network.load_state_dict(state["network"])
        self.runtime.load_state_dict(state["runtime"])
        return self


def assert_resumes(factory):
    whole = Training(factory).steps(0, 12)
    state = whole.stored()
    whole.steps(12, 24)
    again = Training(factory).load(state).steps(12, 24)
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, again.network.state_dict()[name]), name
    assert any(not torch.equal(p, q) for p, q in zip(whole.network.parameters(), network().parameters(), strict=True))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_an_algorithm_resumes_bit_equal_from_tensors_and_plain_values(algorithm):
    assert_resumes(General(algorithm, lr=1e-2))


@pytest.mark.parametrize("factory", FACTORIES, ids=lambda cls: cls.__name__)
def test_a_known_optimizer_resumes_bit_equal(factory):
    assert_resumes(factory())


RATES = {"Lion": 1e-3, "Prodigy": 1.0, "LARS": 0.1, "Shampoo": 0.1, "Muon": 0.02, "Adafactor": 1e-2}


@pytest.mark.parametrize("factory", FACTORIES, ids=lambda cls: cls.__name__)
def test_a_known_optimizer_learns(factory):
    losses = Training(factory(lr=RATES.get(factory.__name__, 1e-2))).steps(0, 150).losses
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])


def test_more_than_a_hundred_algorithms_are_offered():
    assert len(ALGORITHMS) > 100


# -- parameters ----------------------------------------------------------------------------------------------------


def test_a_known_optimizer_has_its_parameters():
    weight = [nn.Parameter(torch.zeros(3, 3))]
    group = Lion(lr=0.5, betas=(0.8, 0.7), weight_decay=0.1)(weight).param_groups[0]
    assert (group["lr"], group["betas"], group["weight_decay"], group["weight_decouple"]) == (
        0.5,
        (0.8, 0.7),
        0.1,
        True,
    )
    assert SOAP(every=3)(weight).param_groups[0]["precondition_frequency"] == 3
    assert Shampoo(every=7)(weight).preconditioning_compute_steps == 7
    assert Prodigy(d_coef=2.0)(weight).param_groups[0]["d_coef"] == 2.0


def test_adafactor_takes_the_rate_of_the_recipe():
    def change(lr):
        weight = nn.Parameter(torch.ones(4, 4))
        optimizer = Adafactor(lr=lr, scale_parameter=False)([weight])
        weight.grad = torch.ones(4, 4)
        optimizer.step()
        return float((weight.detach() - 1).abs().mean())

    assert change(0.02) == pytest.approx(2 * change(0.01), rel=1e-3)


def test_muon_updates_matrices_by_orthogonal_steps_and_the_rest_by_adamw():
    matrix, bias = nn.Parameter(torch.zeros(4, 4)), nn.Parameter(torch.zeros(4))
    optimizer = Muon(lr=0.1, adamw_lr=0.5)([matrix, bias])
    matrix.grad, bias.grad = torch.randn(4, 4, generator=torch.Generator().manual_seed(0)), torch.full((4,), 3.0)
    optimizer.step()
    values = torch.linalg.svdvals(matrix.detach() / 0.1)
    assert (values > 0.5).all() and (values < 1.5).all(), "Newton-Schulz brings them near 1"
    assert torch.allclose(bias, torch.full((4,), -0.5), atol=1e-4), "Adam's first step has the size of the rate"


def test_groups_keep_what_they_say():
    matrix = nn.Parameter(torch.zeros(4, 4))
    bias = nn.Parameter(torch.zeros(4))
    bias.no_weight_decay = True
    bias.lr_scale = 0.1
    optimizer = Runtime().optimizer(Muon(lr=0.1, adamw_lr=0.5, weight_decay=0.2), [matrix, bias])
    by_size = {group["params"][0].ndim: group for group in optimizer.param_groups}
    assert (by_size[2]["lr"], by_size[2]["weight_decay"]) == (0.1, 0.2)
    assert by_size[1]["weight_decay"] == 0.0 and by_size[1]["lr"] == pytest.approx(0.05)


# -- any algorithm -------------------------------------------------------------------------------------------------


def test_its_options_reach_the_algorithm():
    optimizer = General("came", lr=0.3, options={"betas": [0.8, 0.9, 0.99], "weight_decay": 0.1})(
        network().parameters()
    )
    group = optimizer.param_groups[0]
    assert (group["lr"], group["betas"], group["weight_decay"]) == (0.3, (0.8, 0.9, 0.99), 0.1)


def test_a_dtype_is_an_option_by_its_name():
    assert making.checked_options(making.optimizer_class("adafactor"), {"momentum_dtype": "float32"}) == {
        "momentum_dtype": torch.float32
    }


@pytest.mark.parametrize(
    ("algorithm", "options", "message"),
    [
        ("adabond", {}, "there is no algorithm 'adabond'; did you mean adabound?"),
        ("came", {"weight_deacy": 0.1}, "CAME has no option 'weight_deacy'; did you mean weight_decay?"),
        ("came", {"weight_decay": "much"}, "option weight_decay must be a number, got 'much'"),
        ("came", {"weight_decay": True}, "option weight_decay must be a number, got True"),
        ("came", {"ams_bound": 1}, "option ams_bound must be true or false, got 1"),
        ("came", {"betas": 0.9}, r"option betas must be a list such as \[0.9, 0.999, 0.9999\], got 0.9"),
        ("adafactor", {"momentum_dtype": "big"}, "must be the name of a dtype such as bfloat16, got 'big'"),
        ("came", {"lr": 0.1}, "CAME has no option 'lr'"),
        ("ranger21", {}, "Ranger21 needs the option 'num_iterations'"),
        ("sophiah", {}, "algorithm 'sophiah' cannot be used: it needs gradients of gradients"),
        ("lbfgs", {}, "it computes the loss again within its step"),
        ("scion", {}, "its state holds more than tensors and plain values"),
    ],
)
def test_a_mistake_is_named(algorithm, options, message):
    with pytest.raises(ValueError, match=message):
        General(algorithm, options=options)


def test_a_mistake_in_a_recipe_has_file_line_and_key(rk_folder):
    (rk_folder.folder / "r.yaml").write_text(
        "rk: 1\nmodel: mlp\ndata: digits\nloss: cross-entropy\n"
        "trainer: {name: backprop, optimizer: {name: pytorch-optimizer, algorithm: adabond}}\nfit: {max_steps: 2}\n"
    )
    with pytest.raises(RecipeError) as caught:
        rk_folder.rk("train", "r.yaml")
    (problem,) = caught.value.problems
    assert str(problem.mark).startswith("r.yaml:5:") and problem.key == "trainer.optimizer"
    assert problem.message.startswith("pytorch-optimizer: there is no algorithm 'adabond'; did you mean adabound?")


def test_unfit_algorithms_are_those_of_the_package():
    from pytorch_optimizer import get_supported_optimizers

    assert making.UNFIT.keys() <= set(get_supported_optimizers())
