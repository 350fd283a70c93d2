"""The notebooks work as they stand: a kernel executes them. They are kept without outputs."""

from __future__ import annotations

from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

NOTEBOOKS = sorted((Path(__file__).parent.parent / "docs" / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs(path):
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert cells and all(cell.outputs == [] and cell.execution_count is None for cell in cells)


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """Source of a cell -> its outputs, of the notebook with the first steps."""
    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.read(next(path for path in NOTEBOOKS if path.stem == "first-steps"), as_version=4)
    nbclient.NotebookClient(notebook, timeout=100, resources={"metadata": {"path": str(folder)}}).execute()
    return {cell.source: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}


def shown(executed, source, kind):
    """Returns what the cell that begins with `source` shows in one of Jupyter's formats."""
    outputs = next(outputs for text, outputs in executed.items() if text.startswith(source))
    return "".join(output.data[kind] for output in outputs if kind in output.get("data", {}))


def test_training_shows_one_bar_that_ends_with_the_last_step(executed):
    bar = shown(executed, "recipe = {", "text/html")
    assert bar.count("<progress ") == 1 and "step 200/200" in bar and "loss" in bar


def test_a_run_shows_its_results_and_draws_its_figures(executed):
    assert "test/accuracy" in shown(executed, "run", "text/html").replace("run.metrics", "")
    accuracy = float(shown(executed, "run.metrics", "text/plain").strip("(").partition(",")[0])
    assert accuracy > 0.9
    for source in ("run.figures", "answers.figures()"):
        assert "src='data:image/png;base64," in shown(executed, source, "text/html")


def test_arrays_are_answered_by_a_table(executed):
    assert shown(executed, "from sklearn", "text/html").count("<tr>") == 5
    assert shown(executed, "answers.outputs", "text/plain") == "torch.Size([4, 10])"
    assert shown(executed, "import matplotlib", "image/png")


def test_a_mistake_is_one_message(executed):
    outputs = next(outputs for text, outputs in executed.items() if text.startswith("try:"))
    assert [output.output_type for output in outputs] == ["stream"]
    assert "model.hiden_sizes: unknown parameter" in outputs[0].text


# -- signals -----------------------------------------------------------------------------------------------------------

LONG = """
import rk
recipe = {
    "rk": 1, "data": "digits", "model": "mlp", "loss": "cross-entropy",
    "trainer": {"name": "backprop", "optimizer": "adam"}, "fit": {"max_steps": 1_000_000, "threads": 1},
}
rk.train(recipe)
"""


RESUMED = """
run = rk.load("last", runs_dir="runs")
step = run.info["step"]
run.resume(fit={"max_steps": step + 2})
run.status, run.info["step"] - step
"""


@pytest.fixture
def kernel(tmp_path):
    """A kernel that runs in the test's folder."""
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(cwd=str(tmp_path))
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def test_interrupting_the_kernel_stops_after_the_step_and_the_run_can_be_resumed(kernel):
    manager, client = kernel
    sent = []

    def interrupt_at_the_first_bar(message):
        if message["msg_type"] == "update_display_data" and not sent:
            sent.append(message)
            manager.interrupt_kernel()

    said = client.execute_interactive(LONG, timeout=100, output_hook=interrupt_at_the_first_bar)["content"]
    assert said["ename"] == "Interrupted" and "resume with run.resume()" in said["evalue"]
    shown = []
    done = client.execute_interactive(RESUMED, timeout=100, output_hook=shown.append)["content"]
    results = [message["content"]["data"]["text/plain"] for message in shown if message["msg_type"] == "execute_result"]
    assert done["status"] == "ok" and results == ["('done', 2)"]
