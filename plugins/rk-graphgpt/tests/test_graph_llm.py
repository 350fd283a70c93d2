"""Graph tokens in the prompt of a frozen language model."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import rk_graphgpt.splice as splicing
import torch
from rk_graphgpt.assistant import AssistantTokens
from rk_graphgpt.graph_llm import GraphLLM, PromptGraphs
from rk_graphgpt.naive import naive_splice
from rk_graphgpt.prompts import END, PATCH, START
from torch import nn

from rk import UserError
from rk.testing import assert_twins

TOKENS = torch.tensor([[5, START, PATCH, PATCH, END, 2, 0], [START, PATCH, END, 3, START, PATCH, END]])


def spliced(graph_tokens, start, end):
    table = torch.arange(24, dtype=torch.float64).view(6, 4)
    return splicing.splice(table[TOKENS.clamp(min=0)], TOKENS, graph_tokens, start, end)


def naively(graph_tokens, start, end):
    return naive_splice(torch.arange(24, dtype=torch.float64).view(6, 4), TOKENS, graph_tokens, start, end)


def test_the_splice_is_the_one_that_puts_pieces_together():
    torch.manual_seed(0)
    assert_twins(spliced, naively, *(torch.randn(*shape, dtype=torch.float64) for shape in ((4, 4), (4,), (4,))))


def test_a_mixed_up_splice_is_noticed(plant):
    plant(splicing, "splice", "[patches, starts, ends]", "[patches, ends, starts]")
    with pytest.raises(AssertionError):
        test_the_splice_is_the_one_that_puts_pieces_together()


def test_patches_and_nodes_must_be_as_many():
    with pytest.raises(UserError, match="places for 4 nodes, and the graphs have 3"):
        spliced(torch.zeros(3, 4, dtype=torch.float64), torch.zeros(4), torch.zeros(4))


def test_a_prompt_has_a_patch_for_each_node_between_start_and_end(model, questions):
    batch = questions("link").batch("train", 0)
    for instruction in batch["instructions_meta"]:
        tokens = model._prompt(instruction)
        for count, place in zip(instruction.nodes, [i for i, t in enumerate(tokens) if t == START], strict=True):
            assert tokens[place : place + count + 2] == [START, *[PATCH] * count, END]
        assert tokens.count(PATCH) == sum(instruction.nodes)


def test_only_the_projector_and_the_new_tokens_learn(model, runs, questions):
    assert {name for name, _ in model.named_parameters()} == {"projector.weight", "projector.bias", "start", "end"}
    frozen = {name: p.clone() for name, p in runs["llm"].learner.model.named_parameters()}
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    total, count = AssistantTokens()(**model(**without_rest(questions().batch("train", 0))))
    (total / count).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
    optimizer.step()
    for name, p in runs["llm"].learner.model.named_parameters():
        assert p.grad is None and torch.equal(p, frozen[name])
    assert all(p.grad is None for p in runs["encoder"].learner.model.parameters())


def test_the_new_tokens_begin_with_the_mean_embedding(model, runs):
    mean = runs["llm"].learner.model.embedding.weight.mean(0)
    torch.testing.assert_close(model.start.data, mean)
    torch.testing.assert_close(model.end.data, mean)


def test_the_loss_is_that_of_the_assistants_tokens_alone(model, runs, questions):
    batch = questions().batch("train", 0)
    outputs = model(**without_rest(batch))
    language, vocabulary = runs["llm"].learner.model, runs["llm"].data._vocabulary
    row = 0
    for instruction, nodes in zip(batch["instructions_meta"], model.encode(graphs(batch)), strict=True):
        before, after = instruction.prompt.split("<graph>")
        words = [vocabulary.encode(part.split()) for part in (before, after, f"{instruction.answer} <eos>")]
        pieces = [language.embedding(part) for part in words]
        z = nodes @ model.projector.weight.T + model.projector.bias
        embedded = torch.cat([pieces[0], model.start[None], z, model.end[None], pieces[1], pieces[2]])
        for block in language.blocks:
            embedded = block(embedded[None])[0]
        logits = language.decode(embedded)[-3:-1]
        torch.testing.assert_close(outputs["token_logits"][row : row + 2], logits, rtol=1e-4, atol=1e-5)
        assert outputs["token_targets"][row : row + 2].tolist() == words[2].tolist()
        row += 2
    assert row == len(outputs["token_logits"])


@pytest.mark.parametrize("task", ["node", "link", "matching", "text"])
def test_the_score_of_an_answer_is_the_mean_of_its_tokens_log_probabilities(model, task, questions):
    batch = without_rest(questions(task, batch_size=2).batch("test", 0))
    found = model.predict(**batch)["logits"]
    instructions = batch["instructions_meta"]
    for choice in (0, len(instructions[0].choices) - 1):
        batch["instructions_meta"] = [replace(each, answer=each.choices[choice]) for each in instructions]
        outputs = model(**batch)
        log_probs = outputs["token_logits"].log_softmax(-1)
        own = log_probs[range(len(log_probs)), outputs["token_targets"]]
        lengths = [len(each.answer.split()) + 1 for each in batch["instructions_meta"]]
        means = torch.stack([part[:-1].mean() for part in own.split(lengths)])  # without the end
        torch.testing.assert_close(found[:, choice], means, rtol=1e-4, atol=1e-5)


def test_answers_of_different_numbers_of_choices_are_padded(model, questions):
    batch = without_rest(questions(batch_size=2).batch("test", 0))
    first, second = batch["instructions_meta"]
    batch["instructions_meta"] = [replace(first, choices=first.choices[:2]), second]
    logits = model.predict(**batch)["logits"]
    assert (logits[0, 2:] < -1e6).all() and (logits[1] > -1e6).all()


def test_graph_tokens_change_the_answer_and_shuffled_ones_another_way(model, questions):
    data = questions()
    real, shuffled, none = (
        model.predict(**without_rest(data.batch_with(kind, "test", 0)))["logits"]
        for kind in ("real", "shuffled", "none")
    )
    assert not torch.allclose(real, shuffled) and not torch.allclose(real, none)


def test_text_alone_is_the_language_model_by_itself(model, runs, questions):
    batch = questions(batch_size=1).batch_with("none", "test", 0)
    (instruction,) = batch["instructions_meta"]
    language, vocabulary = runs["llm"].learner.model, runs["llm"].data._vocabulary
    logits = language(tokens=vocabulary.encode(instruction.prompt.split())[None])["logits"][0, -1].log_softmax(-1)
    expected = logits[vocabulary.encode(instruction.choices)]
    torch.testing.assert_close(model.predict(**without_rest(batch))["logits"][0], expected, rtol=1e-4, atol=1e-5)


def test_only_the_first_node_has_a_token_where_that_is_asked(runs, questions):
    model = GraphLLM(**runs, graph_nodes="first")
    batch = without_rest(questions("link").batch("train", 0))
    assert all(model._prompt(each).count(PATCH) == 2 for each in batch["instructions_meta"])
    assert model(**batch)["token_logits"].isfinite().all()


# -- the frozen encoder ------------------------------------------------------------------------------------------------


def test_a_graph_is_encoded_once_and_always_alike(model, questions):
    calls = []
    model.encoder.register_forward_hook(lambda *_: calls.append(1))
    data = questions()
    first = model.encode(graphs(data.batch("test", 0)))
    assert len(calls) == 6
    again = model.encode(graphs(data.batch("test", 0)))
    assert len(calls) == 6 and all(map(torch.equal, first, again))


def test_kept_graphs_are_the_encoders_answer_to_the_flat_batch(model, questions):
    batch = questions().batch("test", 0)
    flat = model.encoder(batch["x"], batch["edge_index"])
    torch.testing.assert_close(torch.cat(model.encode(graphs(batch))), flat, rtol=1e-4, atol=1e-5)


def test_nothing_is_kept_beyond_the_given_size(runs, questions):
    model = GraphLLM(**runs, kept_megabytes=0)
    model.encode(graphs(questions().batch("test", 0)))
    assert not model._kept


def test_the_encoder_never_trains_and_has_no_dropout(model, questions):
    model.train()
    batch = questions().batch("test", 0)
    assert all(map(torch.equal, model.encode(graphs(batch)), copy.deepcopy(model).encode(graphs(batch))))
    assert not model.encoder.training and not model.llm.module.training


def test_frozen_parts_are_moved_and_not_saved(model):
    assert set(model.state_dict()) == {"projector.weight", "projector.bias", "start", "end"}
    moved = copy.deepcopy(model).double()
    assert moved.encoder.enter.weight.dtype == torch.float64 == moved.llm.module.embedding.weight.dtype
    assert not moved._kept


# -- language models ---------------------------------------------------------------------------------------------------


def test_one_language_model_must_be_given(runs):
    with pytest.raises(ValueError, match="give one language model"):
        GraphLLM(encoder=runs["encoder"])
    with pytest.raises(ValueError, match="give one language model"):
        GraphLLM(**runs, pretrained="smollm2")


def test_runs_of_other_models_are_refused(runs, as_run):
    other = as_run(nn.Linear(1, 1), runs["llm"].data, "other")
    with pytest.raises(UserError, match="llm must be a run of the model language-model, got one of Linear"):
        GraphLLM(encoder=runs["encoder"], llm=other)
    with pytest.raises(UserError, match="encoder must be a run of the model text-graph-clip, got one of Linear"):
        GraphLLM(encoder=other, llm=runs["llm"])


def test_a_pretrained_model_reads_graph_tokens_too(runs, questions):
    pytest.importorskip("rk_lm")
    model = GraphLLM(encoder=runs["encoder"], pretrained="llama", random_init=True)
    batch = without_rest(questions(batch_size=2, max_nodes=3).batch("train", 0))
    total, count = AssistantTokens()(**model(**batch))
    total.backward()
    assert count > 2 and model.projector.weight.grad.abs().sum() > 0
    assert model.predict(**batch)["logits"].shape == (2, 4)


def test_a_pretrained_model_answers_text_as_it_does_by_itself(runs, questions):
    pytest.importorskip("rk_lm")
    model = GraphLLM(encoder=runs["encoder"], pretrained="llama", random_init=True)
    batch = without_rest(questions(batch_size=1).batch_with("none", "test", 0))
    (instruction,) = batch["instructions_meta"]
    prompt = model.llm.encode(instruction.prompt)
    answer = model.llm.encode(instruction.choices[1])
    logits = model.llm.layered.model(torch.tensor([[*prompt, *answer]])).logits[0, len(prompt) - 1 : -1]
    expected = logits.log_softmax(-1)[range(len(answer)), answer].mean()
    torch.testing.assert_close(model.predict(**batch)["logits"][0, 1], expected, rtol=1e-4, atol=1e-4)


def graphs(batch):
    return PromptGraphs(*(batch[name] for name in PromptGraphs._fields))


def without_rest(batch):
    return {name: value for name, value in batch.items() if name not in ("targets", "place_meta")}
