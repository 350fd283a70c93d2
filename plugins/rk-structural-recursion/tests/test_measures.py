"""What is measured of runs: programs in place of models have the accuracy, the limits and the steps that are known."""

from __future__ import annotations

import csv
from types import SimpleNamespace

import pytest
import torch
from rk_sequence.prefix_lm import PrefixLM
from rk_sequence.seq2seq_lstm import Seq2SeqLSTM
from rk_sequence.seq2seq_transformer import Seq2SeqTransformer
from rk_structural_recursion import naive
from rk_structural_recursion.asm_predictor import AsmPredictorAnalysis, predicted_failures
from rk_structural_recursion.attention_trace import AttentionTrace, recursion_scores
from rk_structural_recursion.depth_accuracy import DepthAccuracyAnalysis
from rk_structural_recursion.depths import judged, solved_depth
from rk_structural_recursion.emulate import EmulateAnalysis, emulated
from rk_structural_recursion.successor import BinarySuccessor
from rk_structural_recursion.traversal import TreeTraversal
from safetensors.torch import load_file
from torch import nn

import rk
from rk import UserError


class Learner(nn.Module):
    """A function of batches in place of what is learned; with a model, its scores."""

    def __init__(self, answer, model=None):
        super().__init__()
        self.answer = answer
        self.model = model

    def predict(self, batch):
        return {"decoded": self.answer(batch)}


def run_of(data, answer, model=None):
    """Returns what an analysis reads of a run."""

    def batches(split, limit=None):
        count = data.batches(split)
        return (data.batch(split, i) for i in range(count if limit is None else min(count, limit)))

    return SimpleNamespace(
        learner=Learner(answer, model).eval(),
        data=data,
        batches=batches,
        runtime=rk.Runtime(),
        recipe=SimpleNamespace(name="fake/program", fit=SimpleNamespace(seed=1)),
        folder=SimpleNamespace(label="fake", path=SimpleNamespace(name="fake")),
    )


@pytest.fixture(scope="module")
def numbers():
    data = BinarySuccessor(seed=1, max_length=8, train_depth=3, eval_examples=200)
    data.prepare()
    return data


def program_run(data, name, **limits):
    return run_of(data, lambda batch: data.run_program(batch, name, limits))


def transformer_run(data):
    torch.manual_seed(0)
    model = Seq2SeqTransformer(data.vocab_size, data.num_outputs, d_model=16, num_heads=2, max_answer=12)
    return run_of(data, lambda batch: model.predict(tokens=batch["tokens"], lengths=batch["lengths"])["decoded"], model)


def test_accuracy_by_depth_is_that_of_the_program(numbers):
    found = judged(program_run(numbers, "bounded", carry=5, copy=99), "test-depth")
    shares = found.shares(found.depth)
    assert {depth: share for depth, (share, _) in shares.items()} == {d: float(d <= 5) for d in range(1, 9)}
    assert solved_depth(shares) == 5
    assert (found.first_error[found.depth > 5] == 5).all(), "the first digit that is not carried over is wrong"


def test_a_depth_between_that_fails_is_not_skipped():
    assert solved_depth({1: (1.0, 5), 2: (0.5, 5), 3: (1.0, 5)}) == 1


def test_greedy_answers_and_the_scores_behind_the_true_answer_agree(numbers):
    found = judged(transformer_run(numbers), "test")
    assert not found.right.all(), "the model is untrained"
    assert found.agreement == 1.0


def test_limits_of_a_program_are_found_and_its_failures_predicted(numbers):
    run = program_run(numbers, "bounded", carry=4, copy=5)
    found = predicted_failures(run, "bounded", "test-depth", "val")
    assert found.limits == {"carry": 4, "copy": 5}
    assert 0 < found.failures == found.predicted == found.both == found.same


def test_precision_and_recall_are_of_the_failures_that_both_have(numbers):
    run = program_run(numbers, "bounded", carry=2, copy=99)
    depth = judged(run, "test-depth").depth
    found = predicted_failures(run, "first-flip", "test-depth", "val").numbers()
    assert found["recall"] == 1.0
    assert found["precision"] == pytest.approx(((depth > 2).sum() / (depth > 1).sum()).item())
    assert found["program-accuracy"] == pytest.approx((depth == 1).double().mean().item())


def test_a_machine_that_never_fails_predicts_nothing(numbers):
    found = predicted_failures(program_run(numbers, "asm"), "asm", "test", "val").numbers()
    assert found == {"accuracy": 1.0, "program-accuracy": 1.0}


def test_the_analysis_tries_each_program(numbers, tmp_path):
    found = AsmPredictorAnalysis(program_run(numbers, "no-growth")).analyze(tmp_path)
    assert found["asm/program-accuracy"] == 1.0
    assert {name.split("/")[0] for name in found} == set(numbers.programs)
    with (tmp_path / "asm-predictor.csv").open(newline="") as file:
        assert len(list(csv.reader(file))) == len(found) + 1


def test_a_program_that_the_data_lacks_is_refused(numbers):
    with pytest.raises(UserError, match="no program 'input-order'"):
        predicted_failures(program_run(numbers, "asm"), "input-order", "test", "val")


def test_curves_of_runs_are_in_one_table_and_figure(numbers, tmp_path):
    runs = [program_run(numbers, "asm"), program_run(numbers, "first-flip")]
    found = DepthAccuracyAnalysis(runs).analyze(tmp_path)
    assert sorted(found.values()) == [1.0, 8.0]
    assert (tmp_path / "depth-accuracy.png").stat().st_size > 1000
    with (tmp_path / "depth-accuracy.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    depth = [row for row in rows if row["by"] == "depth" and row["run"] == "program"]
    assert [row["accuracy"] for row in depth] == ["1.0"] * 8


def test_models_of_the_next_token_are_judged_by_the_scores_behind_the_true_answer(numbers):
    data = PrefixLM(numbers)

    def wrong_from_the_third_token(batch):
        right = batch["targets"].clamp(min=0)
        start = (batch["targets"] != -100).int().argmax(1, keepdim=True)
        place = torch.arange(right.shape[1])
        wrong = (place == start + 2) & (batch["depth"] > 4).unsqueeze(1)
        return nn.functional.one_hot(torch.where(wrong, (right + 1) % data.num_outputs, right), data.num_outputs)

    run = run_of(data, None)
    run.learner.predict = lambda batch: {"logits": wrong_from_the_third_token(batch).double()}
    found, pairs = judged(run, "test-depth"), judged(program_run(numbers, "asm"), "test-depth")
    assert torch.equal(found.depth, pairs.depth) and torch.equal(found.length, pairs.length)
    assert found.first_error.tolist() == [2 if depth > 4 else -1 for depth in found.depth.tolist()]
    assert found.agreement is None


def test_a_run_without_decoded_answers_is_refused(numbers):
    run = program_run(numbers, "asm")
    run.learner.predict = lambda batch: {"logits": torch.zeros(1, 1)}
    with pytest.raises(UserError, match="gives no decoded"):
        judged(run, "test")


# -- iterated steps ----------------------------------------------------------------------------------------------------


def read_tree(tokens):
    word = next(tokens)
    if word == ".":
        return None
    node = naive.Node(next(tokens), read_tree(tokens), read_tree(tokens))
    next(tokens)
    return node


def stepped(words, order):
    """Returns the tokens of the next state, by the rules in plain Python."""
    if "UNROLL" not in words:
        return words
    place = words.index("UNROLL")
    tokens = iter(words[place + 1 :])
    new = naive.state_words(naive.unfolded(read_tree(tokens), order))
    return [*words[:place], *new, *tokens]


def stepping_run(order, step=stepped, **changes):
    data = TreeTraversal(seed=1, order=order, mode="step", max_nodes=4, num_labels=5, eval_examples=100, **changes)
    data.prepare()
    number = {word: i for i, word in enumerate(data.answer_words)}

    def answer(batch):
        rows = []
        for tokens, n in zip(batch["tokens"].tolist(), batch["lengths"].tolist(), strict=True):
            words = step([data.source_words[token] for token in tokens[:n]], order)
            rows.append(torch.tensor([*(number[word] for word in words), 0]))
        return nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-100)

    return run_of(data, answer)


@pytest.mark.parametrize("order", ["pre", "in", "post"])
def test_a_right_step_iterated_is_the_traversal_in_2n_plus_1_steps(order):
    numbers, shares = emulated(stepping_run(order), "test")
    assert {numbers[name] for name in ("emulated", "exact-steps", "ended")} == {1.0}
    assert all(share == 1.0 for share, _ in shares.values())


def test_a_step_that_forgets_the_calls_beyond_two_emulates_what_needs_no_more():
    def forgetful(words, order):
        after = stepped(words, order)
        return after if after.count("UNROLL") <= 2 else after[: after.index("UNROLL")]

    numbers, shares = emulated(stepping_run("pre", forgetful), "test-depth")
    assert shares[1][0] == 1.0
    assert 0.0 < shares[2][0] < 1.0
    assert numbers["emulated"] < 1.0


def test_a_state_that_stays_as_it_is_ends_the_iteration():
    numbers, _ = emulated(stepping_run("pre", lambda words, order: words), "test")
    assert numbers["emulated"] == 0.0
    assert numbers["steps"] == 1.0


def test_a_state_that_grows_forever_is_cut_off():
    numbers, _ = emulated(stepping_run("pre", lambda words, order: [*words, "."][:40]), "test")
    assert numbers["emulated"] == 0.0


def test_runs_of_whole_answers_are_not_iterated(numbers, tmp_path):
    with pytest.raises(UserError, match="not of single steps"):
        EmulateAnalysis(program_run(numbers, "asm")).analyze(tmp_path)
    assert EmulateAnalysis(stepping_run("in")).analyze(tmp_path)["emulated"] == 1.0


# -- attention ---------------------------------------------------------------------------------------------------------


def test_a_head_that_reads_along_while_the_machine_carries_scores_1(numbers):
    batch = numbers.batch("test-depth", 0)
    aligned, carry, copy = numbers.phases(batch)
    width = batch["tokens"].shape[1]
    along = nn.functional.one_hot(aligned, width).double()
    away = nn.functional.one_hot((aligned + 1) % width, width).double()
    first = torch.where(carry.unsqueeze(-1), along, away)
    second = torch.where(copy.unsqueeze(-1), along, away)
    both = along
    weights = torch.stack([first, second, both], 1).unsqueeze(1)
    carried, copied = recursion_scores(weights, aligned, carry, copy)
    assert (carried - copied).tolist() == [[1.0, -1.0, 0.0]]


def test_traces_are_the_model_s_attention(numbers, tmp_path):
    run = transformer_run(numbers)
    found = AttentionTrace(run, limit=1).analyze(tmp_path)
    saved = load_file(tmp_path / "attention-trace.safetensors")
    batch = numbers.batch("test-depth", 0)
    fields = {name: batch[name] for name in ("tokens", "targets", "lengths")}
    with torch.no_grad():
        assert torch.equal(saved["weights-0"], run.learner.model.cross_attention(**fields))
    assert torch.equal(saved["depth-0"], batch["depth"])
    assert len(found) == 2 * 2 + 1
    assert abs(found["recursion-head"]) == max(abs(value) for value in found.values())
    assert (tmp_path / "attention-trace.png").stat().st_size > 1000


def test_models_and_data_without_a_trace_are_refused(numbers, tmp_path):
    with pytest.raises(UserError, match="no attention of answers to inputs"):
        AttentionTrace(program_run(numbers, "asm")).analyze(tmp_path)
    trees = TreeTraversal(seed=1, max_nodes=3, eval_examples=20)
    trees.prepare()
    model = Seq2SeqLSTM(trees.vocab_size, trees.num_outputs, hidden_size=8)
    with pytest.raises(UserError, match="does not know the mode"):
        AttentionTrace(run_of(trees, None, model)).analyze(tmp_path)
