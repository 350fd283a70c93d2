"""Kernels and networks over hierarchies of patches, and what theory predicts of them."""

from __future__ import annotations

import pytest
import torch
from rk_kernels.empirical import empirical_ntk
from rk_kernels.hierarchical import hierarchical
from rk_kernels.hierarchical_kernel import HierarchicalKernel
from rk_wide_cnn.image_kernel import ImageHierarchicalKernel
from rk_wide_cnn.lcn import LCN, ImageLCN
from rk_wide_cnn.naive import image_ntk
from rk_wide_cnn.order import hierarchies, interval_sizes, tree_order
from rk_wide_cnn.theory import effective_dimension, learning_exponent, spectral_decay
from torch import nn


def images(n, shape=(2, 4, 8), seed=0):
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("sides", [(2, 2), (4,), (1, 4), (2,), (2, 1, 2)])
@pytest.mark.parametrize("normalise", [False, True])
def test_the_kernel_of_images_is_the_recursion_over_their_squares(sides, normalise):
    a, b = images(3), images(2, seed=1)
    found = ImageHierarchicalKernel(sides, (2, 4, 8), normalise=normalise)(a, b)
    wanted = [[image_ntk(x, y, sides, normalise) for y in b] for x in a]
    torch.testing.assert_close(found, torch.tensor(wanted).double(), atol=1e-6, rtol=1e-6)


def test_the_diagonal_of_the_image_kernel_is_that_of_its_matrix():
    kernel = ImageHierarchicalKernel((2, 2), (4, 8), kind="nngp")
    x = images(5, (4, 8))
    torch.testing.assert_close(kernel.diagonal(x), kernel(x).diagonal())


def test_each_patch_is_an_interval_of_the_order():
    order = tree_order((1, 4, 4), (2, 2))
    assert order.tolist() == [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15]
    assert sorted(tree_order((3, 8, 12), (2, 2)).tolist()) == list(range(288))
    assert interval_sizes((3, 8, 12), (2, 2)) == (12, 4)


@pytest.mark.parametrize(
    ("shape", "sides", "message"),
    [((4, 6), (4,), r"must divide images of 4 x 6, got \(4,\)"), ((4,), (2,), "input_shape must be that of images")],
)
def test_squares_that_do_not_divide_the_images_are_refused(shape, sides, message):
    with pytest.raises(ValueError, match=message):
        ImageHierarchicalKernel(sides, shape)


def test_hierarchies_are_all_factors_of_divisors():
    assert list(hierarchies(4, 3)) == [(2,), (4,), (2, 2)]
    found = list(hierarchies(28, 3))
    assert len(found) == len(set(found)) == 15 and (7, 2, 2) in found


class Values(nn.Module):
    """The real numbers that a network answers."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(inputs=x)["values"]


@pytest.mark.parametrize("share", [False, True])
@pytest.mark.parametrize("image", [False, True])
def test_the_tangent_kernel_of_wide_networks_tends_to_the_hierarchical_kernel(share, image):
    distances = []
    x = images(4, (4, 4))
    kernel = ImageHierarchicalKernel((2, 2), (4, 4), normalise=True) if image else HierarchicalKernel((4, 2), 16)
    wanted = kernel(x)
    for width in (16, 1024):
        torch.manual_seed(0)
        common = {"num_outputs": 8, "hidden_size": width, "share_weights": share}  # the kernel is a mean over outputs
        net = ImageLCN((2, 2), (4, 4), **common) if image else LCN((4, 2), 16, **common)
        distances.append(float((empirical_ntk(Values(net), x) - wanted).norm() / wanted.norm()))
    assert distances[1] < 0.1 < 3 * distances[0] and distances[1] < distances[0] / 2


def test_the_answers_of_wide_networks_have_the_covariance_of_the_nngp():
    x = images(3, (8,))
    torch.manual_seed(0)
    values = LCN((2, 2), 8, num_outputs=4000, hidden_size=1000)(inputs=x)["values"].double()
    wanted = hierarchical(x.double(), None, (2, 2), "nngp")
    torch.testing.assert_close(values @ values.T / 4000, wanted, atol=0.1, rtol=0)


def test_shared_weights_are_one_set_for_all_places():
    assert LCN((2, 2), 8, 1, hidden_size=3).weights[0].shape == (4, 2, 3)
    assert LCN((2, 2), 8, 1, hidden_size=3, share_weights=True).weights[0].shape == (1, 2, 3)


def test_predictions_are_those_of_the_paper():
    assert effective_dimension([3, 2, 2]) == 8
    assert learning_exponent([2, 2, 2], [2]) == pytest.approx(0.625)
    assert learning_exponent([2, 2, 2], [2, 2]) == pytest.approx(5 / 12)
    assert learning_exponent([2], [2]) == 1
    for sizes in ((2, 2), (3, 2, 2)):  # a target of full size: the curse of dimensionality
        assert learning_exponent(sizes, sizes) == pytest.approx(1 / effective_dimension(sizes))
    assert learning_exponent([2, 2], [2, 2], "nngp", "nngp") == pytest.approx(3 / 2)
    assert spectral_decay([2, 2, 2]) == 1.25
    with pytest.raises(ValueError, match="no sector"):
        learning_exponent([2], [2, 2])
    with pytest.raises(ValueError, match="must begin with 2 or more"):
        effective_dimension([1, 2])


@pytest.mark.parametrize(("kind", "decay"), [("ntk", 2.0), ("nngp", 4.0)])
def test_eigenvalues_on_a_circle_fall_as_predicted(kind, decay):
    angle = torch.arange(800) * 2 * torch.pi / 800
    values = torch.linalg.eigvalsh(hierarchical(torch.stack([angle.cos(), angle.sin()], 1).double(), None, (2,), kind))
    ranks = torch.arange(10, 80).double()
    logs = values.flip(0)[10:80].log()
    slope = torch.linalg.lstsq(torch.stack([ranks.log(), torch.ones(70).double()], 1), logs[:, None]).solution[0]
    assert spectral_decay([2], kind) == decay
    assert -float(slope) == pytest.approx(decay, abs=0.3)
