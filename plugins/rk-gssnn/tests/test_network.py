"""Networks have the graph of their program; the indexed head is the one with loops."""

import pytest
import torch
from rk_gssnn.dsl import GraphDsl
from rk_gssnn.encoder import PixelViT, sines
from rk_gssnn.model import GSSNN
from rk_gssnn.naive import answers
from rk_gssnn.structured import GraphStructured, chunks

from rk.builtin.mlp import MLP

PAIR = "(push (add (connect identity)))"
STAR = "(push (add (connect (next_port (add (connect identity))))))"
TRIANGLE = "(push (add (connect (next_port (push (add (connect (next_port (pop (connect identity))))))))))"
DOUBLE = "(push (add (connect (next_port (connect identity)))))"


def test_chunks_are_equal_except_the_first_and_are_repeated_to_the_width():
    index = chunks(3, 8)
    assert index.tolist() == [[0, 1, 2, 3, 0, 1, 2, 3], [4, 5, 4, 5, 4, 5, 4, 5], [6, 7, 6, 7, 6, 7, 6, 7]]
    assert chunks(1, 8).tolist() == [list(range(8))]


def test_codes_are_sines_of_the_number_and_of_the_port():
    code = sines(torch.tensor([2]), torch.tensor([3]), 8)[0]
    x, y = torch.tensor([2.0, 2e-4]), torch.tensor([3.0, 3e-4])
    torch.testing.assert_close(code, torch.cat([x.sin(), x.cos(), y.sin(), y.cos()]))


@pytest.mark.parametrize("program", [PAIR, STAR, TRIANGLE, DOUBLE])
def test_the_head_is_the_same_as_with_loops(program):
    torch.manual_seed(0)
    graph = GraphDsl().graph(program)
    head = GraphStructured(graph, 20, 3).eval()
    x = torch.randn(4, 20)
    torch.testing.assert_close(head(x), answers(head, graph, x))


def test_dropout_is_there_in_training_alone():
    torch.manual_seed(0)
    head, x = GraphStructured(GraphDsl().graph(STAR), 16, 2, dropout=0.5), torch.randn(2, 16)
    assert not torch.equal(head(x), head(x))
    head.eval()
    assert torch.equal(head(x), head(x))


def test_networks_of_other_graphs_answer_otherwise_with_the_same_weights():
    torch.manual_seed(0)
    nets = [GraphStructured(GraphDsl().graph(program), 16, 2).eval() for program in (PAIR, STAR, TRIANGLE)]
    for net in nets[1:]:
        net.load_state_dict(nets[0].state_dict())
    x = torch.randn(2, 16)
    one, two, three = (net(x) for net in nets)
    assert not torch.allclose(one, two) and not torch.allclose(two, three)


def test_any_classifier_is_an_encoder_and_all_its_weights_learn():
    torch.manual_seed(0)

    def encoder(num_classes):
        return MLP(num_features=64, num_classes=num_classes, hidden_sizes=(8,))

    net = GSSNN(num_classes=3, program=STAR, encoder=encoder, dim=16)
    net(inputs=torch.rand(5, 8, 8))["logits"].sum().backward()
    assert all(p.grad is not None and p.grad.any() for name, p in net.named_parameters() if "bias" not in name)


def test_the_encoder_reads_patches_of_any_rectangle_and_gives_several_answers():
    net = PixelViT(input_shape=(10, 24, 16), num_classes=2, num_answers=5, patch_size=8, d_model=16, head_size=4)
    assert net(inputs=torch.rand(3, 10, 24, 16))["logits"].shape == (3, 5, 2)
    with pytest.raises(ValueError, match="patch_size must divide 24 and 16, got 7"):
        PixelViT(input_shape=(24, 16), num_classes=2, patch_size=7)


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("(push", r"program: column 6: expected '\)'"),
        ("(jump identity)", "program: jump: unknown function; there are identity"),
        ("(push identity)", "program: the program must make a connected graph"),
    ],
)
def test_a_wrong_program_is_a_mistake_of_the_recipe(program, message):
    with pytest.raises(ValueError, match=message):
        GSSNN(num_classes=2, program=program, encoder=MLP, dim=16)


def test_a_graph_that_does_not_fit_is_refused():
    graph = GraphDsl().graph(STAR)
    with pytest.raises(ValueError, match="multiple of 4"):
        GraphStructured(graph, 18, 2)
    long = GraphDsl().graph("(push (add (connect " + "(next_port (add (connect " * 3 + "identity" + ")" * 12)
    with pytest.raises(ValueError, match="dim must be at least the 9 nodes and edges of the graph, got 8"):
        GraphStructured(long, 8, 2)
