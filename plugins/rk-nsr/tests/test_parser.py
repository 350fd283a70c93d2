"""The parser in lock-step parses as one sentence at a time does, and its oracle makes every projective tree."""

import itertools

import pytest
import torch
from rk_nsr.naive import parse_one
from rk_nsr.parser import LEFT, RIGHT, SHIFT, TransitionNet, oracle, parse
from rk_nsr.trainer import oracle_examples

ARITIES = [0, 0, 1, 1, 2]


def _net(seed=0):
    torch.manual_seed(seed)
    net = TransitionNet(num_symbols=5, embed_dim=6, hidden_size=12, dropout=0.5).eval()
    for weight in net.parameters():
        torch.nn.init.normal_(weight)
    return net


def _sentences(count, longest):
    random = torch.Generator().manual_seed(3)
    lengths = torch.randint(1, longest + 1, (count,), generator=random)
    return torch.randint(0, 5, (count, longest), generator=random), lengths


@pytest.mark.parametrize("arities", [None, ARITIES])
def test_sentences_in_lock_step_get_the_trees_of_the_naive_parser(arities):
    net = _net()
    tokens, lengths = _sentences(60, 9)
    parsed = parse(net, tokens, lengths, None if arities is None else torch.tensor(arities))
    for row, n in enumerate(lengths.tolist()):
        assert parsed.heads[row, :n].tolist() == parse_one(net, tokens[row, :n].tolist(), arities)
        assert (parsed.heads[row, n:] == -1).all()


def test_dependents_come_before_their_heads_and_the_root_is_the_last():
    tokens, lengths = _sentences(40, 8)
    parsed = parse(_net(1), tokens, lengths, None)
    for heads, order, n in zip(parsed.heads.tolist(), parsed.order.tolist(), lengths.tolist(), strict=True):
        assert sorted(order[:n]) == list(range(n))
        place = {node: at for at, node in enumerate(order[:n])}
        assert all(head < 0 or place[node] < place[head] for node, head in enumerate(heads[:n]))
        assert heads[order[n - 1]] == -1
        assert heads[:n].count(-1) == 1


def test_a_sentence_has_the_same_tree_whatever_is_parsed_beside_it():
    net, (tokens, lengths) = _net(2), _sentences(20, 9)
    together = parse(net, tokens, lengths, torch.tensor(ARITIES))
    for row, n in enumerate(lengths.tolist()):
        alone = parse(net, tokens[row : row + 1, :n], lengths[row : row + 1], torch.tensor(ARITIES))
        assert alone.heads[0].tolist() == together.heads[row, :n].tolist()
        assert torch.allclose(alone.log_probability[0], together.log_probability[row], atol=1e-5)


def test_the_table_of_products_gives_the_network_s_scores():
    net = _net()
    features = torch.randint(0, 6, (7, 18))
    hidden = net.hidden(net.embedding(features).flatten(1)).relu()
    assert torch.allclose(net(features), net.out(hidden), atol=1e-5)


def _follow(transitions, n):
    stack, at, heads = [], 0, [-1] * n
    for transition in transitions:
        if transition == SHIFT:
            stack.append(at)
            at += 1
        elif transition == LEFT:
            heads[stack[-2]] = stack[-1]
            del stack[-2]
        else:
            assert transition == RIGHT
            heads[stack[-1]] = stack[-2]
            del stack[-1]
    return heads


def _projective(heads):
    arcs = [(min(i, h), max(i, h)) for i, h in enumerate(heads) if h >= 0]
    crossing = any(a < c < b < d for a, b in arcs for c, d in arcs)
    root = heads.index(-1)
    return not crossing and not any(a < root < b for a, b in arcs)


def _is_tree(heads):
    def ends(node, steps):
        return heads[node] == -1 or (steps > 0 and ends(heads[node], steps - 1))

    return heads.count(-1) == 1 and all(ends(node, len(heads)) for node in range(len(heads)))


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_the_oracle_makes_every_projective_tree_and_refuses_all_others(n):
    for heads in itertools.product(range(-1, n), repeat=n):
        if not _is_tree(heads):
            continue
        if _projective(heads):
            assert _follow(oracle(heads), n) == list(heads)
        else:
            with pytest.raises(ValueError, match="is not projective"):
                oracle(heads)


def test_examples_of_the_oracle_are_what_the_parser_sees_on_that_way():
    net = _net(4)
    tokens, lengths = _sentences(12, 6)
    parsed = parse(net, tokens, lengths, None)
    trees = [
        (t[:n], h[:n], []) for t, h, n in zip(tokens.tolist(), parsed.heads.tolist(), lengths.tolist(), strict=True)
    ]
    features, transitions = oracle_examples(trees, 5)
    assert len(features) == len(transitions) == sum(2 * n - 1 for n in lengths.tolist())
    for row, n in enumerate(lengths.tolist()):
        if parsed.transitions[row, : 2 * n - 1].tolist() == oracle(trees[row][1]):
            start = sum(2 * m - 1 for m in lengths[:row].tolist())
            assert (features[start : start + 2 * n - 1] == parsed.features[row, : 2 * n - 1]).all()
