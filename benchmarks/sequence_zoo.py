"""recipes/sequence-zoo: parameters of each model, and tokens per second that it trains on, by CPU time of one thread.

python benchmarks/sequence_zoo.py            all tasks
python benchmarks/sequence_zoo.py s3 recall  some
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from paired import interleave, process_seconds

from rk.catalog import Catalog
from rk.fit.build import Builder, prepare
from rk.fit.loaded import LoadedRun
from rk.plugins import Plugins
from rk.recipe import check_recipe
from rk.recipe.find import RecipeFile

ZOO = Path(__file__).parent.parent / "recipes" / "sequence-zoo"
BASELINE = "gru"
ROUNDS = 5


def main() -> None:
    torch.set_num_threads(1)
    catalog = Catalog(Plugins())
    tasks = sys.argv[1:] or sorted({path.stem.partition("-")[0] for path in ZOO.glob("*.yaml")})
    for task in tasks:
        calls: dict[str, Callable[[], None]] = {}
        sizes: dict[str, int] = {}
        tokens = 0
        for path in sorted(ZOO.glob(f"{task}-*.yaml")):
            layer = path.stem.removeprefix(f"{task}-")
            calls[layer], sizes[layer], tokens = trained(path, catalog)
        found = interleave({n: (lambda f=f: process_seconds(f)) for n, f in calls.items()}, ROUNDS)  # type: ignore[misc]
        print(f"\n{task}, batches of {tokens} tokens")
        print(f"  {'layer':<16}{'parameters':>12}{'tokens/s':>12}{'time':>9}")
        for layer, seconds in found.items():
            print(f"  {layer:<16}{sizes[layer]:>12,}{tokens / seconds:>12,.0f}{seconds / found[BASELINE]:>8.2f}x")


def trained(path: Path, catalog: Catalog) -> tuple[Callable[[], None], int, int]:
    """Returns forward and backward over a recipe's first batch, how many parameters, and how many tokens these are."""
    recipe = check_recipe(RecipeFile(path), (), catalog).valid()
    assert recipe.model is not None
    builder = Builder(recipe, catalog, LoadedRun.open)
    data: Any = builder.data()  # Any: every data has batches
    prepare(data, recipe.data)
    builder.learn_facts(data)
    model: Any = builder.build(recipe.model)
    batch = data.batch("train", 0)
    fields = {name: batch[name] for name in inspect.signature(model.forward).parameters if name in batch}

    def step() -> None:
        model(**fields)["logits"].square().mean().backward()

    first = fields.get("tokens", fields.get("inputs"))
    return step, sum(p.numel() for p in model.parameters()), first.shape[0] * first.shape[1]


if __name__ == "__main__":
    main()
