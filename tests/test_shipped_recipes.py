"""Every recipe that is shipped checks without a problem or a warning, and the JSON Schema accepts it."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest

from rk.catalog import Catalog
from rk.plugins import Plugins
from rk.recipe import check_recipe
from rk.recipe.compose import compose
from rk.recipe.find import RecipeFile, find_recipe, packaged
from rk.recipe.schema import recipe_schema
from rk.recipe.tree import Mapping, Node, Sequence

SHIPPED = [*packaged(Plugins()), *map(RecipeFile, sorted((Path(__file__).parent.parent / "recipes").rglob("*.yaml")))]


@pytest.fixture(scope="module")
def installed():
    return Catalog()


@pytest.fixture(scope="module")
def schema(installed):
    return jsonschema.Draft202012Validator(recipe_schema(installed))


def plain(node: Node):
    if isinstance(node, Mapping):
        return {key: plain(child) for key, child in node.items.items()}
    return [plain(child) for child in node.items] if isinstance(node, Sequence) else node.value


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.name)
def test_it_has_no_problem_and_no_warning(file, installed):
    checked = check_recipe(file, (), installed)
    assert [str(p) for p in (*checked.problems, *checked.warnings)] == []


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.name)
def test_the_schema_accepts_it(file, installed, schema):
    tree, _ = compose(file, (), installed.plugins)
    schema.validate(plain(tree))


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.name)
def test_its_first_line_describes_it_and_its_baselines_exist(file, installed):
    assert file.path.read_text(encoding="utf-8").startswith("# ")
    for claim in check_recipe(file, (), installed).recipe.expect:
        if claim.baseline is not None:
            assert find_recipe(claim.baseline, installed.plugins, beside=file)
