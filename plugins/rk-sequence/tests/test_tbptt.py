"""The trainer `tbptt` and what it rests on: states, streams, and continuations."""

from __future__ import annotations

import functools

import pytest
import torch
from rk_sequence import generation
from rk_sequence.attention import Attention
from rk_sequence.language_model import LanguageModel
from rk_sequence.tbptt import TBPTT
from torch import nn

from rk import Runtime, UserError
from rk.builtin.backprop import Backprop
from rk.builtin.losses import CrossEntropy
from rk.builtin.optimizers import SGD
from rk.states import map_states, tensors_of, with_rows_from


class Leaky(nn.Module):
    """A linear recurrence: h' = a h + x. Its gradients over time are easy to write down."""

    def __init__(self, *, d_model):
        super().__init__()
        self.keep = nn.Parameter(torch.full((d_model,), 0.7))

    def forward(self, x, mask=None):
        return self.scan(x, self.initial_state(len(x)), mask)[0]

    def initial_state(self, batch_size):
        return self.keep.new_zeros(batch_size, len(self.keep))

    def scan(self, x, state, mask=None):
        given = []
        for step in x.unbind(1):
            state = self.keep * state + step
            given.append(state)
        return torch.stack(given, 1), state


def stream(length, pieces, rows=2, vocab=5):
    """Batches of one stream per row: each continues where the previous one ended."""
    tokens = torch.randint(vocab, (rows, length * pieces + 1), generator=torch.Generator().manual_seed(0))
    for i in range(pieces):
        piece = tokens[:, i * length : (i + 1) * length + 1]
        yield {"tokens": piece[:, :-1], "targets": piece[:, 1:], "starts_meta": torch.full((rows,), i == 0)}


def make(layer=Leaky):
    torch.manual_seed(0)
    return LanguageModel(layer=layer, vocab_size=5, d_model=6, norm="none").double()


def trained(trainer, batches, model=None, **runtime):
    """Returns the model after a step on each batch."""
    model = model or make()
    given = {"data": None} if isinstance(trainer, TBPTT) else {}
    trainer.setup(model=model, loss=CrossEntropy(), runtime=Runtime(**runtime), **given)
    for batch in batches:
        trainer.step(batch)
    return model


def assert_same_weights(one, other):
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


# -- states ------------------------------------------------------------------------------------------------------------


def test_states_are_mapped_tensor_by_tensor():
    state = {"a": (torch.ones(2), [torch.zeros(2, 3)]), "b": torch.full((2,), 5)}
    doubled = map_states(torch.add, state, state)
    assert doubled["a"][0].tolist() == [2, 2]
    assert doubled["b"].tolist() == [10, 10]
    assert isinstance(doubled["a"], tuple)
    assert isinstance(doubled["a"][1], list)
    assert [len(t) for t in tensors_of(state)] == [2, 2, 2]


def test_chosen_rows_are_taken_from_the_other_state():
    old, new = (torch.ones(3, 2), [torch.ones(3)]), (torch.zeros(3, 2), [torch.zeros(3)])
    matrix, (vector,) = with_rows_from(new, torch.tensor([True, False, True]), old)
    assert matrix.tolist() == [[0, 0], [1, 1], [0, 0]]
    assert vector.tolist() == [0, 1, 0]


# -- learning ----------------------------------------------------------------------------------------------------------


def test_one_piece_is_plain_backpropagation():
    (batch,) = stream(6, 1)
    assert_same_weights(trained(TBPTT(SGD(lr=0.1)), [batch]), trained(Backprop(SGD(lr=0.1)), [batch]))


def test_the_state_is_carried_and_its_gradient_is_not():
    first, second = stream(4, 2)
    model, twin = make(), make()
    trained(TBPTT(SGD(lr=0.1)), [first, second], model)

    optimizer = torch.optim.SGD(twin.parameters(), lr=0.1)
    state = twin.initial_state(2)
    for batch in (first, second):
        outputs, state = twin.scan(state=state, tokens=batch["tokens"])
        loss = nn.functional.cross_entropy(outputs["logits"].flatten(0, 1), batch["targets"].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        state = map_states(torch.Tensor.detach, state)
    for a, b in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(a, b)


MISTAKES = {
    "the state is reset": ("step", "self.state = map_states(Tensor.detach, after)", "self.state = before"),
    "the state is not carried": ("_state_before", "if self.state is None:", "if True:"),
    "two updates for a piece": (
        "step",
        "self.runtime.update(*self.optimizers)",
        "self.optimizers[0].step(); self.runtime.update(*self.optimizers)",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_noticed(plant, mistake):
    plant(TBPTT, *MISTAKES[mistake])
    with pytest.raises(AssertionError):
        test_the_state_is_carried_and_its_gradient_is_not()


def test_a_gradient_that_is_carried_is_noticed(plant):
    plant(TBPTT, "step", "map_states(Tensor.detach, after)", "after")
    with pytest.raises((AssertionError, RuntimeError)):  # torch has freed the graph of the piece before
        test_the_state_is_carried_and_its_gradient_is_not()


def test_pieces_without_a_state_in_between_learn_something_else():
    batches = list(stream(4, 2))
    carried = trained(TBPTT(SGD(lr=0.1)), batches)
    cut = trained(Backprop(SGD(lr=0.1)), batches)
    assert not torch.equal(carried.blocks[0].layer.keep, cut.blocks[0].layer.keep)


def test_a_row_that_starts_a_new_stream_has_the_initial_state():
    first, second = stream(4, 2)
    both = trained(TBPTT(SGD(lr=0.0)), [first])
    trainer = TBPTT(SGD(lr=0.0))
    trained(trainer, [first, {**second, "starts_meta": torch.tensor([True, False])}])
    _, state = both.scan(state=both.initial_state(1), tokens=second["tokens"][:1])
    torch.testing.assert_close(trainer.state["layers"][0][:1], state["layers"][0].detach())
    whole = torch.cat([first["tokens"], second["tokens"]], 1)
    _, state = both.scan(state=both.initial_state(2), tokens=whole)
    torch.testing.assert_close(trainer.state["layers"][0][1:], state["layers"][0][1:].detach())


def test_accumulated_pieces_carry_the_state_too():
    batches = list(stream(4, 2))
    trainer = TBPTT(SGD(lr=0.1))
    model, runtime = make(), Runtime(accumulate=2)
    trainer.setup(model=model, data=None, loss=CrossEntropy(), runtime=runtime)
    for runtime.micro_batch, batch in enumerate(batches):
        trainer.step(batch)
    one = trained(TBPTT(SGD(lr=0.0)), batches)
    torch.testing.assert_close(trainer.state["layers"][0], last_state(one, batches), rtol=0, atol=0)


def last_state(model, batches):
    _, state = model.scan(state=model.initial_state(2), tokens=torch.cat([b["tokens"] for b in batches], 1))
    return state["layers"][0].detach()


def test_it_resumes_from_its_stored_state():
    first, second, third = stream(4, 3)
    whole = trained(TBPTT(SGD(lr=0.1)), [first, second, third])
    trainer = TBPTT(SGD(lr=0.1))
    model = trained(trainer, [first, second])
    again = TBPTT(SGD(lr=0.1))
    again.load_state_dict(trainer.state_dict())
    assert_same_weights(trained(again, [third], model), whole)


def test_a_state_that_grows_is_refused():
    batches = stream(4, 2)
    with pytest.raises(UserError, match="grows with every step"):
        trained(TBPTT(SGD(lr=0.1)), batches, make(functools.partial(Attention, num_heads=1)))


def test_a_window_bounds_the_state_of_attention():
    layer = functools.partial(Attention, num_heads=1, window=3)
    trained(TBPTT(SGD(lr=0.1)), stream(4, 3), make(layer))


def test_several_processes_are_refused():
    runtime = Runtime()
    runtime.world = 2
    with pytest.raises(UserError, match="one process"):
        TBPTT(SGD(lr=0.1)).setup(model=make(), data=None, loss=CrossEntropy(), runtime=runtime)


def test_data_that_are_not_streams_are_refused_before_the_first_step(rk_folder):
    with pytest.raises(Exception, match="`streams`"):
        rk_folder.train(
            """\
            # parity by pieces
            rk: 1
            model: {name: sequence, layer: attention}
            data: parity
            loss: cross-entropy
            trainer: {name: tbptt, optimizer: adam}
            fit: {max_steps: 1}
            """
        )


# -- continuing a text -------------------------------------------------------------------------------------------------


def continued(model, tokens, n, **settings):
    for name, value in settings.items():
        setattr(model, name, value)
    model.max_new_tokens = n
    with torch.no_grad():
        return model.predict(tokens=tokens, continue_meta=True)["continuation"]


@pytest.mark.parametrize("layer", [Leaky, functools.partial(Attention, num_heads=1)], ids=["leaky", "attention"])
def test_without_temperature_the_likeliest_token_is_taken_each_time(layer):
    model, tokens = make(layer).eval(), torch.tensor([[0, 3], [1, 1]])
    found, expected = continued(model, tokens, 6, temperature=0.0), tokens
    for _ in range(6):
        logits = model(tokens=expected)["logits"]
        expected = torch.cat([expected, logits[:, -1].argmax(-1, keepdim=True)], 1)
    assert torch.equal(found, expected[:, 2:])


def test_a_padded_text_is_continued_from_its_own_last_token():
    model, tokens = make().eval(), torch.tensor([[0, 3, 1], [2, 1, 4]])
    model.temperature, model.max_new_tokens = 0.0, 5
    padded, mask = torch.cat([tokens, torch.tensor([[4, 0], [0, 3]])], 1), torch.arange(5) < 3
    with torch.no_grad():
        plain = model.predict(tokens=tokens, continue_meta=True)["continuation"]
        found = model.predict(tokens=padded, mask=mask.expand(2, 5), continue_meta=True)["continuation"]
    assert torch.equal(found, plain)


def test_a_long_prompt_is_read_in_pieces_with_the_same_continuation(monkeypatch):
    model = make(functools.partial(Attention, num_heads=1, window=3)).eval()
    tokens = torch.randint(5, (2, 11), generator=torch.Generator().manual_seed(0))
    mask = torch.arange(11) < torch.tensor([[11], [3]])
    model.temperature, model.max_new_tokens = 0.0, 5
    with torch.no_grad():
        whole = model.predict(tokens=tokens, mask=mask, continue_meta=True)
        monkeypatch.setattr(generation, "PIECE", 4)
        found = model.predict(tokens=tokens, mask=mask, continue_meta=True)
    assert torch.equal(found["continuation"], whole["continuation"])
    torch.testing.assert_close(found["logits"], whole["logits"])


def test_a_prompt_of_any_length_is_read_with_bounded_memory(monkeypatch):
    model = make(functools.partial(Attention, num_heads=1, window=64)).eval()
    pieces, states, scan = [], [], model.scan

    def measured(*, state, tokens, mask=None):
        outputs, after = scan(state=state, tokens=tokens, mask=mask)
        pieces.append(outputs["logits"].shape[1])
        states.append(sum(part.numel() for part in tensors_of(after)))
        return outputs, after

    monkeypatch.setattr(model, "scan", measured)
    model.max_new_tokens = 3
    with torch.no_grad():
        outputs = model.predict(tokens=torch.zeros(1, 100_000, dtype=torch.int64), continue_meta=True)
    assert outputs["logits"].shape[1] == 1
    assert max(pieces) == generation.PIECE
    assert len(set(states)) == 1


def test_tokens_are_drawn_with_the_shares_that_the_model_gives():
    model, tokens = make().eval(), torch.tensor([[2]]).expand(4000, 1)
    torch.manual_seed(0)
    drawn = continued(model, tokens, 1, temperature=0.5).flatten().bincount(minlength=5) / 4000
    expected = (model(tokens=tokens[:1])["logits"][0, -1] / 0.5).softmax(-1)
    torch.testing.assert_close(drawn.double(), expected, rtol=0, atol=0.03)


def test_no_token_is_drawn_beyond_the_likeliest():
    model, tokens = make().eval(), torch.tensor([[2]]).expand(500, 1)
    drawn = continued(model, tokens, 1, temperature=5.0, top_k=2).unique()
    assert set(drawn.tolist()) == set(model(tokens=tokens[:1])["logits"][0, -1].topk(2).indices.tolist())


def test_a_trained_run_continues_a_file(rk_folder, capsys):
    (rk_folder.folder / "own.txt").write_text("abc " * 300)
    rk_folder.train(
        """\
        # a custom text
        rk: 1
        model: {name: language-model, layer: {name: attention, window: 4}, d_model: 16, max_new_tokens: 12}
        data: {name: text, path: own.txt, length: 8, batch_size: 4, eval_length: 16}
        loss: cross-entropy
        trainer: {name: tbptt, optimizer: {name: adam, lr: 1e-2}}
        fit: {max_steps: 60, seed: 1, threads: 1}
        """
    )
    (rk_folder.folder / "prompt.txt").write_text("abc a")
    capsys.readouterr()
    arguments = ("last", "prompt.txt", "model.temperature=0", "--runs-dir", rk_folder.folder / "runs")
    assert rk_folder.rk("predict", *arguments) == 0
    assert capsys.readouterr().out == "continuation  bc abc abc a\n"
