"""Training from sentences and answers alone; programs and what is remembered survive a kill."""

import pytest
import torch
from rk_nsr.fields import END
from rk_nsr.hint import HintImages
from rk_nsr.model import NSR
from rk_nsr.perception import SymbolCnn
from rk_nsr.seq2seq import LstmSeq2Seq
from rk_nsr.trainer import DeductionAbduction
from rk_nsr.visual import VisualNSR
from rk_programs.analysis import ProgramsAnalysis
from rk_programs.list_dsl import ListDsl
from rk_programs.peano_dsl import PeanoDsl
from rk_programs.terms import Term, parse

import rk
from rk import LoadedRun
from rk.testing import assert_close

SYMBOLS = ["walk", "run", "left", "twice"]
ARITIES = [0, 0, 1, 1]
SMALL = {
    "data": {"num_examples": 40, "num_val": 10, "limit": 20, "batch_size": 20},
    "trainer": {"turn_examples": 40},
}


def _batch():
    """All of: a verb, with or without left, with or without twice."""
    sentences = []
    for verb in (0, 1):
        for words, answer in (([verb], [verb + 1]), ([verb, 2], [3, verb + 1])):
            sentences += [(words, answer), ([*words, 3], answer * 2)]
    tokens, targets = torch.zeros(8, 3, dtype=torch.long), torch.full((8, 5), -100)
    for row, (words, answer) in enumerate(sentences):
        tokens[row, : len(words)] = torch.tensor(words)
        targets[row, : len(answer) + 1] = torch.tensor([*answer, END])
    return {"tokens": tokens, "targets": targets, "lengths": torch.tensor([len(words) for words, _ in sentences])}


@pytest.mark.parametrize("abduction", [True, False])
def test_programs_and_trees_are_found_from_answers_and_without_abduction_only_words(abduction):
    torch.manual_seed(0)
    model = NSR(4, ARITIES, SYMBOLS, ListDsl(), prior=1.0)
    batch = {name: torch.cat([value] * 6) for name, value in _batch().items()}
    trainer = DeductionAbduction(_Adam(), turn_examples=48, abduction=abduction)
    learner = trainer.setup(model=model, runtime=rk.Runtime())
    for _ in range(16):
        learner.train()
        trainer.step(batch)
    learner.eval()
    decoded = learner.predict(_batch())["decoded"]
    programs = [str(one.term) for one in model.programs()]
    if abduction:
        assert programs == ["(singleton 1)", "(singleton 2)", "(cons 3 x0)", "(++ x0 x0)"]
        assert torch.equal(decoded, _batch()["targets"])
    else:
        assert programs == ["None"] * 4, "no value is known, so no tree gives an answer"
        assert (decoded == END).sum() == 8


class _Adam:
    schedule = None

    def __init__(self, lr=1e-2):
        self.lr = lr

    def __call__(self, params):
        return torch.optim.Adam(params, lr=self.lr)


def test_a_run_that_was_killed_ends_with_the_same_programs_and_memory(tmp_path):
    whole = rk.train("nsr/scan-jump", runs_dir=tmp_path, fit={"max_steps": 7, "validate_every": 7}, **SMALL)
    cut = rk.train("nsr/scan-jump", runs_dir=tmp_path, fit={"max_steps": 3, "validate_every": 7}, **SMALL)
    one, other = (run.learner for run in (whole, cut.resume(fit={"max_steps": 7})))
    assert one.model.get_extra_state() == other.model.get_extra_state()
    assert any(state["examples"] for state in one.model.get_extra_state())
    for name, value in one.state_dict().items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, other.state_dict()[name]), name


HINT = {
    "data": {"num_examples": 60, "num_val": 10, "limit": 10, "batch_size": 20},
    "trainer": {"turn_examples": 40, "labelled": 2, "labelled_epochs": 15, "stage_steps": 4},
}


def test_symbols_are_learned_from_values_and_a_killed_run_ends_the_same(tmp_path):
    whole = rk.train("nsr/hint-images", runs_dir=tmp_path, fit={"max_steps": 9, "validate_every": 9}, **HINT)
    cut = rk.train("nsr/hint-images", runs_dir=tmp_path, fit={"max_steps": 3, "validate_every": 9}, **HINT)
    one, other = (run.learner for run in (whole, cut.resume(fit={"max_steps": 9})))
    assert one.model.get_extra_state() == other.model.get_extra_state()
    for name, value in one.state_dict().items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, other.state_dict()[name]), name
    assert whole.metrics["test-i/symbol-accuracy"] > 0.2, "two images of each symbol are labelled"


def test_perception_learns_symbols_that_were_edited():
    torch.manual_seed(0)
    data = HintImages(seed=1, num_examples=10, num_val=9, limit=9, batch_size=10)
    data.prepare()
    model = VisualNSR(
        16, data.arities, data.symbols, (8, 8), lambda **sizes: SymbolCnn(**sizes), dsl=PeanoDsl(), use_arity=False
    )
    for symbol in range(10):  # the digits are known, and images are not
        one = model.meanings.of[symbol]
        one.term, one.likelihood = Term(str(symbol)), 1.0
    trainer = DeductionAbduction(_Adam(3e-3), turn_examples=50, labelled=1, labelled_epochs=1, perception_epochs=50)
    trainer.setup(model=model, runtime=rk.Runtime())
    trainer.begin(data, trainer.runtime)
    trainer.turn = "perception"
    for i in range(5):
        trainer.step(data.batch("train", i))
    assert trainer.turn == "syntax"
    model.eval()
    batch = data.batch("train", 9)
    read = model(images=batch["images"], lengths=batch["lengths"])["perceived"]
    assert (read == batch["symbols"]).float().mean() > 0.4, "one in sixteen is chance"


def _reader(digits, sure, **settings):
    """Returns a trainer whose perception reads one digit in each sentence, with a probability, and a batch of them."""
    data = HintImages(seed=1)
    model = VisualNSR(
        16, data.arities, data.symbols, (8, 8), lambda **sizes: SymbolCnn(**sizes), dsl=PeanoDsl(), use_arity=False
    )
    probabilities = torch.zeros(len(digits), 1, 16)
    for row, (digit, probability) in enumerate(zip(digits, sure, strict=True)):
        probabilities[row, 0, [digit, 9]] = torch.tensor([probability, 1 - probability])
    model.seen = lambda batch: probabilities.log()
    trainer = DeductionAbduction(_Adam(), turn_examples=1000, **settings)
    trainer.setup(model=model, runtime=rk.Runtime())
    return trainer, {
        "images": torch.zeros(len(digits), 1, 8, 8),
        "lengths": torch.ones(len(digits), dtype=torch.long),
        "targets": torch.tensor([[digit + 1, END] for digit in digits]),
    }


@pytest.mark.parametrize("confidence", [0.0, 0.9])
def test_programs_learn_from_what_is_read_with_confidence(confidence):
    torch.manual_seed(0)
    trainer, batch = _reader([3, 4], [1.0, 0.85], confidence=confidence)
    for _ in range(30):
        trainer.step(batch)
    wrong = {(9, (), 4)}  # 4 was read as 9
    right = {(3, (), 3)} if confidence else {(3, (), 3), (4, (), 4)}
    assert set(trainer.pairs) == (right if confidence else right | wrong)


@pytest.mark.parametrize("certain", [0.0, 0.9])
def test_perception_learns_from_programs_that_are_certain(certain):
    trainer, batch = _reader([3, 4], [1.0, 1.0], certain=certain)
    for digit, likelihood in ((3, 1.0), (4, 0.6)):
        one = trainer.model.meanings.of[digit]
        one.term, one.likelihood = Term(str(digit)), likelihood
    trainer.turn = "perception"
    trainer.step(batch)
    assert [symbols for _, symbols in trainer.images] == ([[3]] if certain else [[3], [4]])


def test_turns_of_the_programs_are_left_out_while_all_are_solved():
    trainer = DeductionAbduction(_Adam(), turn_examples=8, rest=2)
    trainer.setup(model=NSR(4, ARITIES, SYMBOLS, ListDsl()), runtime=rk.Runtime())
    for one, text in zip(trainer.model.meanings.of, ("(singleton 1)", "(singleton 2)", "x0", "x0"), strict=True):
        one.term, one.likelihood = parse(text), 1.0
    turns = []
    for _ in range(8):
        turns.append(trainer.turn)
        trainer.turn = trainer._next_turn()
    assert turns == ["semantics", "syntax", "syntax", "syntax", "semantics", "syntax", "syntax", "syntax"]
    trainer.model.meanings.of[2].likelihood = 0.9
    trainer.turn = "syntax"
    assert [trainer._next_turn() for _ in range(3)] == ["semantics"] * 3


def test_the_analysis_programs_shows_what_a_run_has_learned(tmp_path, capsys):
    sizes = {"num_examples": 400, "num_val": 10, "limit": 20, "batch_size": 100}
    run = rk.train("nsr/scan-jump", runs_dir=tmp_path, fit={"max_steps": 4}, data=sizes, trainer={"turn_examples": 400})
    capsys.readouterr()
    numbers = ProgramsAnalysis(LoadedRun.open(run.path)).analyze(tmp_path)
    printed = capsys.readouterr().out
    assert "jump = (singleton 4) " in printed
    assert (tmp_path / "programs.txt").read_text() == printed
    lines = (tmp_path / "programs.csv").read_text().splitlines()
    assert lines[0] == "name,arity,program,likelihood,examples"
    assert numbers["programs"] + numbers["missing"] == len(lines) - 1 == 13
    assert 0 < numbers["symbols/with-functions"] <= numbers["symbols"]


def test_a_state_in_the_middle_of_a_turn_is_taken_back():
    torch.manual_seed(0)
    trainers = []
    for _ in range(2):
        trainer = DeductionAbduction(_Adam(), turn_examples=1000)
        trainer.setup(model=NSR(4, ARITIES, SYMBOLS, ListDsl()), runtime=rk.Runtime())
        trainers.append(trainer)
    trainers[0].step(_batch())
    trainers[0].validated({"val/accuracy": 1.0})
    assert trainers[0].pairs
    trainers[1].load_state_dict(trainers[0].state_dict())
    assert trainers[1].state_dict() == trainers[0].state_dict()
    assert list(trainers[1].pairs) == list(trainers[0].pairs)


def test_the_run_ends_after_some_validations_that_are_right():
    trainer = DeductionAbduction(_Adam(), stop_after=2)
    trainer.setup(model=NSR(4, ARITIES, SYMBOLS, ListDsl()), runtime=rk.Runtime())
    for accuracy, ended in ((1.0, False), (0.9, False), (1.0, False), (1.0, True)):
        trainer.validated({"val/accuracy": accuracy})
        assert (trainer.step(_batch()) is None) == ended


def test_the_baseline_decodes_what_it_scores():
    torch.manual_seed(0)
    model = LstmSeq2Seq(vocab_size=4, num_outputs=4, hidden_size=8, max_answer=6).eval()
    batch = _batch()
    decoded = model.predict(tokens=batch["tokens"], lengths=batch["lengths"])["decoded"]
    logits = model(**batch | {"targets": decoded})["logits"]
    there = decoded >= 0
    assert torch.equal(logits.argmax(-1)[there], decoded[there])


@pytest.mark.parametrize("attention", [True, False])
def test_the_baseline_answers_a_sentence_as_it_does_beside_longer_ones(attention):
    torch.manual_seed(0)
    model = LstmSeq2Seq(vocab_size=4, num_outputs=4, hidden_size=8, attention=attention).eval()
    batch = _batch()
    together = model(**batch)["logits"]
    for row, n in enumerate(batch["lengths"].tolist()):
        alone = model(
            tokens=batch["tokens"][row : row + 1, :n],
            lengths=batch["lengths"][row : row + 1],
            targets=batch["targets"][row : row + 1],
        )["logits"]
        assert_close(alone[0], together[row])
