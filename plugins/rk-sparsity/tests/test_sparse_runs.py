"""Sparse training in whole runs: the density holds, a cut run resumes bit-equal, other plugins' learners take part."""

from __future__ import annotations

import csv
import json

import pytest
import torch
from rk_sparsity.export import read_sparse, write_sparse
from rk_sparsity.weights import prunable
from safetensors.torch import load_file, save_file

from rk import UserError
from rk.catalog import Catalog
from rk.cli import cli
from rk.recipe.find import RecipeFile, find_recipe
from rk.runs import RunFolder
from rk.testing import Trial

BASE = """
rk: 1
model: {name: mlp, hidden_sizes: [32]}
data: {name: digits, batch_size: 16}
loss: cross-entropy
trainer: {name: backprop, optimizer: {name: adam, lr: 1e-2, weight_decay: 0.1}}
fit: {max_steps: 12, seed: 1, threads: 1}
"""
CALLBACKS = {
    "rigl": "{name: dynamic-sparsity, method: rigl, density: 0.1, update_every: 3, init_rescale: true}",
    "set": "{name: dynamic-sparsity, method: set, density: 0.1, update_every: 3}",
    "snfs": "{name: dynamic-sparsity, method: snfs, density: 0.1, update_every: 3}",
    "gradual": "{name: gradual-pruning, density: 0.1, update_every: 2}",
    "late": "{name: prune, density: 0.1, at: 0.5}",
    "snip": "{name: prune, density: 0.1, method: snip}",
    "static": "{name: dynamic-sparsity, method: static, density: 0.1}",
    "grasp": "{name: prune, density: 0.1, method: grasp, at: 0.4}",
    "n-of-m": "{name: n-of-m, at: 0.3}",
    "sr-ste": "{name: n-of-m, method: sr-ste}",
    "sr-ste-late": "{name: n-of-m, method: sr-ste, at: 0.3}",
    "given": "{name: given-masks, file: masks.safetensors, shuffle: true}",
    "given-late": "{name: given-masks, file: masks.safetensors, start_step: 5}",
}
DYNAMIC = ["rigl", "gradual", "sr-ste", "given-late"]
"""One of each callback, whose masks change within the first steps."""
LSTM = """
rk: 1
model: {name: sequence, layer: lstm, d_model: 8}
data: {name: adding, length: 8, batch_size: 8, val_examples: 8, test_examples: 8}
loss: mse
trainer: {name: backprop, optimizer: {name: adam, lr: 1e-2}}
fit: {max_steps: 8, seed: 1, threads: 1, accumulate: 2, gradient_clip: 0.5}
"""
TIED = """
rk: 1
model: {name: sequence, layer: gru, d_model: 8, tie: true}
data: {name: group-words, length: 8, batch_size: 8}
loss: cross-entropy
trainer: {name: backprop, optimizer: {name: adam, lr: 1e-2}}
fit: {max_steps: 8, seed: 1, threads: 1}
"""


def trial(tmp_path, callback, text=BASE, *overrides, precision="32-true"):
    path = tmp_path / "sparse.yaml"
    path.write_text(f"{text}callbacks: [{callback}]\n")
    if "masks.safetensors" in callback:  # relative paths are those of the recipe
        dense = Trial(RecipeFile(path), Catalog(), tmp_path / "dense", (*overrides, "callbacks=[]")).build()
        masks = {n: torch.zeros_like(w, dtype=torch.bool) for n, w in prunable(dense.parts.learner).items()}
        for mask in masks.values():
            mask.view(-1)[::10] = True
        save_file(masks, tmp_path / "masks.safetensors")
    return Trial(RecipeFile(path), Catalog(), tmp_path / "runs", overrides, precision=precision)


def assert_resumes_bit_equal(one, steps, every, cut_at):
    """Returns the whole run; one that loses power and is resumed ends with the same weights and logs."""
    whole = one.run(steps, checkpoint_every=every)
    cut = one.run(steps, checkpoint_every=every, cut_at=cut_at)
    resumed = one.run(steps, checkpoint_every=every, resume=cut.folder)
    expected, found = weights_of(whole.learner), weights_of(resumed.learner)
    assert all(torch.equal(found[n], w) for n, w in expected.items())
    assert [m.get("train/density") for m in whole.logged] == [m.get("train/density") for m in resumed.logged]
    states = [run.parts.callbacks[0].state_dict() for run in (whole, resumed)]
    assert _flat(states[0]) == _flat(states[1])
    return whole


def _flat(state):
    return {k: _flat(v) if isinstance(v, dict) else v.tolist() if torch.is_tensor(v) else v for k, v in state.items()}


def assert_masked(ended):
    masks = ended.parts.callbacks[0].masks
    for weight, kept in zip(masks.weights.values(), masks.kept.values(), strict=True):
        assert not weight[~kept].any()
    return masks


def weights_of(learner):
    return {n: p.detach().clone() for n, p in learner.named_parameters()}


@pytest.mark.parametrize("name", CALLBACKS)
def test_a_run_that_is_cut_while_masks_change_resumes_bit_equal(tmp_path, name):
    whole = assert_resumes_bit_equal(trial(tmp_path, CALLBACKS[name]), 12, 4, 9)
    last = [m["train/density"] for m in whole.logged if "train/density" in m][-1]
    assert last == pytest.approx(0.5 if name in ("n-of-m", "sr-ste", "sr-ste-late") else 0.1, abs=0.002)
    assert_masked(whole)


@pytest.mark.parametrize("name", ["rigl", "set", "snfs"])
def test_a_dynamic_mask_moves_and_its_density_does_not(tmp_path, name):
    ended = trial(tmp_path, CALLBACKS[name]).run(12)
    densities = [m["train/density"] for m in ended.logged if "train/density" in m]
    assert densities == [densities[0]] * len(densities)
    callback = ended.parts.callbacks[0]
    assert 0.1 < callback.masks.explored < 0.2
    for weight, kept in zip(callback.masks.weights.values(), callback.masks.kept.values(), strict=True):
        assert not weight[~kept].any()


def test_a_step_that_changes_the_mask_makes_no_update(tmp_path):
    seen = []
    one = trial(tmp_path, CALLBACKS["rigl"])
    for steps in (3, 4):  # the fourth step is the first that is due
        callback = (ended := one.run(12, cut_at=steps)).parts.callbacks[0]
        seen.append((weights_of(ended.learner), {n: k.clone() for n, k in callback.masks.kept.items()}))
    (before, kept), (after, moved) = seen
    assert any(not torch.equal(kept[n], moved[n]) for n in kept)
    for name in kept:
        stays = kept[name] & moved[name]
        assert torch.equal(before[name][stays], after[name][stays])
        assert not after[name][moved[name] & ~kept[name]].any(), "new weights begin at zero"


def test_gradual_pruning_never_brings_a_weight_back(tmp_path):
    one = trial(tmp_path, CALLBACKS["gradual"])
    sets = [one.run(steps).parts.callbacks[0].masks for steps in (12,)]
    densities = [m["train/density"] for m in one.run(12).logged if "train/density" in m]
    assert densities == sorted(densities, reverse=True) and len({*densities}) > 3
    assert sets[0].explored == 1


@pytest.mark.parametrize("name", DYNAMIC)
def test_lstm_weights_with_accumulation_clipping_and_bf16_resume_bit_equal_too(tmp_path, name):
    callback = CALLBACKS[name].replace("}", ", exclude: [projection]}")  # of two inputs, which 4 does not divide
    whole = assert_resumes_bit_equal(trial(tmp_path, callback, LSTM, precision="bf16-mixed"), 6, 3, 5)
    masks = assert_masked(whole)
    assert whole.learner.model.blocks[0].layer.weight_hh.dtype == torch.float32
    assert {"weight_ih", "weight_hh"} <= {n.rpartition(".")[2] for n in masks.weights}
    assert masks.density == pytest.approx(0.5 if name == "sr-ste" else 0.1, abs=0.01)


@pytest.mark.parametrize("name", [name for name in DYNAMIC if name != "given-late"])  # its masks are of no embedding
def test_a_tied_embedding_stays_tied_and_is_masked_where_it_is_asked_for(tmp_path, name):
    callback = CALLBACKS[name].replace("}", ", include: [embedding]}")
    whole = assert_resumes_bit_equal(trial(tmp_path, callback, TIED), 8, 3, 5)
    masks = assert_masked(whole)
    model = whole.learner.model
    assert model.head.weight is model.embedding.weight
    assert next(iter(masks.weights.values())) is model.head.weight and len(masks.weights) == 1


@pytest.mark.parametrize("name", ["rigl", "gradual", "sr-ste"])
def test_a_learner_without_back_propagation_through_blocks_is_pruned_too(tmp_path, name):
    catalog = Catalog()
    callback = CALLBACKS[name].replace("}", ", exclude: ['blocks[.]0', 'label[.]weight', 'head[.]out']}")
    file = find_recipe("noprop/digits-dt", catalog.plugins)
    small = "model.num_blocks=3", "model.block.hidden_size=16", "data.batch_size=16"
    one = Trial(file, catalog, tmp_path / "runs", (*small, f"callbacks=[{callback}]"))
    whole = assert_resumes_bit_equal(one, 8, 3, 5)
    masks = assert_masked(whole)
    assert masks.density == pytest.approx(0.5 if name == "sr-ste" else 0.1, abs=0.02)
    assert not any("blocks.0" in name for name in masks.weights)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rigl", "KernelRegression has no optimizer, so nothing grows again"),
        ("gradual", "no weight can be pruned"),
        ("given-late", "no weight can be pruned"),
    ],
)
def test_a_kernel_machine_says_that_it_has_no_weight_to_prune(tmp_path, name, message):
    """It is solved at once, and keeps its solution in buffers."""
    trial(tmp_path, CALLBACKS["given"])  # writes masks
    catalog = Catalog()
    callback = CALLBACKS[name].replace("masks.safe", f"{tmp_path}/masks.safe")
    file = find_recipe("kernels/digits", catalog.plugins)
    one = Trial(file, catalog, tmp_path / "runs", (f"callbacks=[{callback}]",))
    with pytest.raises(UserError, match=message):
        one.run(8)


@pytest.mark.parametrize(
    ("callback", "message"),
    [
        ("{name: prune, at: 1.0}", "must be < 1"),
        ("{name: prune, include: ['nothing']}", "include: 'nothing' matches no weight"),
        ("{name: prune, include: ['(']}", "is not a regular expression"),
        ("{name: n-of-m, n: 4, m: 4}", "n must be < m, got 4 and 4"),
        ("{name: n-of-m, n: 2, m: 5}", "inputs, which 5 does not divide"),
        ("{name: gradual-pruning, begin: 0.5, end: 0.5}", "end must be > begin"),
        ("{name: prune, density: 0.0005, keep_least: 0}", "is kept: the layer would answer with a constant"),
        ("{name: given-masks, file: none.safetensors}", "none.safetensors"),
    ],
)
def test_what_cannot_be_is_refused_before_the_first_step(tmp_path, callback, message):
    with pytest.raises(UserError) as error:
        trial(tmp_path, callback).run(12)
    assert message in error.value.render()


# -- files and analyses ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["bitmask", "csr"])
def test_sparse_files_come_back_exactly_and_are_small(tmp_path, layout):
    torch.manual_seed(0)
    sparse = torch.randn(64, 48) * (torch.rand(64, 48) < 0.05)
    conv = torch.randn(8, 4, 3, 3).bfloat16() * (torch.rand(8, 4, 3, 3) < 0.2)
    weights = {"a": sparse, "conv": conv, "dense": torch.randn(8, 8), "bias": torch.zeros(5), "n": torch.tensor(3)}
    write_sparse(weights, tmp_path / "s.safetensors", layout)
    found = read_sparse(tmp_path / "s.safetensors")
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[n], w) and found[n].dtype == w.dtype for n, w in weights.items())
    stored = load_file(tmp_path / "s.safetensors")
    bits = stored["a.bitmask"].numel() if layout == "bitmask" else 4 * (stored["a.columns"].numel() + 65)
    assert stored["a.values"].numel() * 4 + bits < sparse.numel() * 4 / 4


def test_the_lottery_has_tickets_controls_a_table_and_is_exported(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dense.yaml").write_text(BASE)
    command = ["analyze", "lottery-ticket", "--recipe", "dense.yaml", "--rounds", "2", "--prune-fraction", "0.5"]
    assert not cli([*command, "--runs-dir", "runs"], standalone_mode=False)
    out = next((tmp_path / "runs").rglob("tickets.csv")).parent
    rows = [*csv.DictReader((out / "tickets.csv").open())]
    assert [row["training"] for row in rows] == ["round 0", "round 1", "round 2", "reinit", "shuffle"]
    assert [float(row["density"]) for row in rows] == pytest.approx([1, 0.5, 0.25, 0.25, 0.25], abs=0.01)
    ticket = load_file(next(out.rglob("ticket-2.safetensors")))
    run = next(path for path in out.rglob("round-2") if path.is_dir())
    weights = load_file(run / "model.safetensors")
    assert all(torch.equal(weights[name] != 0, mask) for name, mask in ticket.items())
    shuffled = load_file(next(p for p in out.rglob("shuffle") if p.is_dir()) / "model.safetensors")
    assert all(
        (shuffled[n] != 0).sum() == mask.sum() and not torch.equal(shuffled[n] != 0, mask) for n, mask in ticket.items()
    )
    assert not cli(["export", str(run), "--to", "sparse-safetensors", "-o", "small"], standalone_mode=False)
    found = read_sparse(tmp_path / "small/model.sparse.safetensors")
    assert all(torch.equal(found[name], w) for name, w in weights.items())


def test_the_run_of_a_lottery_answers_as_its_last_ticket_and_resumes_bit_equal(rk_folder):
    dense = rk_folder.train(BASE)
    path = rk_folder.folder / "ticket.yaml"
    search = f"{{name: lottery-ticket, run: {dense.path}, recipe: recipe.yaml, rounds: 1, prune_fraction: 0.75}}"
    path.write_text(f"rk: 1\nsearch: {search}\nfit: {{seed: 4, threads: 1}}\n")
    one = Trial(RecipeFile(path), Catalog(), rk_folder.folder / "trials")
    whole = one.run(5)
    assert whole.metrics["run/density"] == 0.25
    assert {m.removeprefix("run/") for m in whole.metrics} >= {"dense", "ticket", "reinit", "shuffle", "over-reinit"}
    assert whole.metrics["run/over-reinit"] == whole.metrics["run/ticket"] - whole.metrics["run/reinit"]
    last = load_file(whole.folder.path / "inside/round-1/model.safetensors")
    assert all(torch.equal(w, last[n]) for n, w in weights_of(whole.learner).items())
    ticket = load_file(whole.folder.path / "ticket-1.safetensors")
    assert all(torch.equal(w != 0, ticket[n]) for n, w in weights_of(whole.learner).items() if n in ticket)
    rows = [*csv.DictReader((whole.folder.path / "tickets.csv").open())]
    assert [row["training"] for row in rows] == ["round 0", "round 1", "reinit", "shuffle"]
    resumed = one.run(5, checkpoint_every=1, resume=one.run(5, checkpoint_every=1, cut_at=2).folder)
    assert all(torch.equal(w, last[n]) for n, w in weights_of(resumed.learner).items())
    assert {k: v for k, v in resumed.metrics.items() if "run/" in k} == {
        k: v for k, v in whole.metrics.items() if "run/" in k
    }


def test_masks_that_apply_late_find_the_weights_of_that_step_of_the_dense_training(tmp_path):
    """Late rewinding: w_k of the dense run, masked, is trained on with the learning rate and the data of step k."""
    one = trial(tmp_path, CALLBACKS["given-late"])
    at_five = one.run(12, cut_at=5)
    dense = trial(tmp_path, CALLBACKS["given-late"], BASE, "callbacks=[]").run(12, cut_at=5)
    masks = at_five.parts.callbacks[0].masks
    assert masks.density == pytest.approx(0.1, abs=0.001)
    for name, weight in weights_of(dense.learner).items():
        kept = masks.kept.get(name, torch.tensor(True))
        assert torch.equal(weights_of(at_five.learner)[name], weight * kept)


def test_tickets_are_rewound_to_a_later_step(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dense.yaml").write_text(BASE.replace("seed: 1", "seed: 1, log_every: 1"))
    command = ["analyze", "lottery-ticket", "--recipe", "dense.yaml", "--rounds", "1", "--runs-dir", "runs"]
    assert not cli([*command, "--rewind-steps", "4"], standalone_mode=False)
    folder = next((tmp_path / "runs").rglob("tickets.csv")).parent
    for name in ("round-1", "reinit", "shuffle"):
        lines = next(path for path in folder.rglob("metrics.jsonl") if path.parent.name == name).read_text()
        densities = {m["step"]: m["train/density"] for m in map(json.loads, lines.splitlines()) if "train/density" in m}
        assert [densities[step] for step in (3, 4, 12)] == pytest.approx([1.0, 0.8, 0.8], abs=0.001), name
    with pytest.raises(UserError, match="start_step must be < 12, the steps of the run, got 12"):
        cli([*command, "--rewind-steps", "12"], standalone_mode=False)


def test_the_curve_has_a_row_for_each_method_and_density(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dense.yaml").write_text(BASE)
    command = ["analyze", "sparsity-curve", "--recipe", "dense.yaml", "--methods", "[rigl, one-shot]", "--seeds", "2"]
    assert not cli(
        [*command, "--densities", "[0.2]", "--update-every", "2", "--runs-dir", "runs"], standalone_mode=False
    )
    table = next((tmp_path / "runs").rglob("curve.csv"))
    rows = {row["method"]: row for row in csv.DictReader(table.open())}
    assert [*rows] == ["dense", "rigl", "one-shot"]
    assert float(rows["rigl"]["cost"]) == pytest.approx(0.2, abs=0.01)
    assert float(rows["one-shot"]["cost"]) == pytest.approx((9 + 3 * 0.2) / 12, abs=0.1)
    assert json.loads(rows["dense"]["cost"]) == 1 and int(rows["rigl"]["seeds"]) == 2
    assert next(RunFolder.all(tmp_path / "runs"), None) is not None


def test_rescaled_weights_keep_the_variance_of_what_a_layer_gives(tmp_path):
    wide = ("model.hidden_sizes=[4000]", "callbacks.0.include=[blocks]", "fit.seed=3")
    plain, rescaled, dense = (
        trial(tmp_path, callback, BASE, *wide).build().parts.learner.model.blocks[0][0].weight.detach()
        for callback in (
            "{name: dynamic-sparsity, density: 0.25, method: static}",
            "{name: dynamic-sparsity, density: 0.25, method: static, init_rescale: true}",
            "{name: dynamic-sparsity, density: 1.0, method: static}",
        )
    )
    inputs = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    spread = [(inputs @ weight.T).std() for weight in (plain, rescaled, dense)]
    assert spread[1] == pytest.approx(float(spread[2]), rel=0.03)
    assert spread[0] == pytest.approx(float(spread[2]) / 2, rel=0.03)


ATTENTION = """
rk: 1
model: {name: sequence, layer: {name: attention, num_heads: 2}, d_model: 8}
data: {name: adding, length: 8, batch_size: 8, val_examples: 8, test_examples: 8}
loss: mse
trainer: {name: backprop, optimizer: {name: adam, lr: 1e-2}}
fit: {max_steps: 4, seed: 1, threads: 1}
"""


def test_attention_has_the_second_derivatives_that_grasp_needs(tmp_path):
    ended = trial(tmp_path, "{name: prune, method: grasp, density: 0.3}", ATTENTION).run(2)
    assert ended.parts.callbacks[0].masks.density == pytest.approx(0.3, abs=0.01)
