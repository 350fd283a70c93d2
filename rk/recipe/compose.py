"""`extends` and command-line overrides: several trees become one, each node keeping its own mark."""

from __future__ import annotations

from rk.errors import Mark, Problem, RecipeError, UserError, suggest
from rk.plugins import Plugins
from rk.recipe.find import RecipeFile, find_recipe
from rk.recipe.tree import Mapping, Node, Scalar, Sequence, parse_value, read_tree

MAX_EXTENDS = 20


def compose(recipe: RecipeFile, overrides: tuple[str, ...], plugins: Plugins) -> tuple[Mapping, list[Problem]]:
    """Reads `recipe`, what it extends, and the overrides ``a.b=value`` or ``~a.b`` into one tree.

    Raises:
        RecipeError: When a file of the chain cannot be read at all, or the chain is a cycle.
    """
    tree, problems = _extended(recipe, plugins, ())
    for override in overrides:
        problems += apply_override(tree, override)
    return tree, problems


def _extended(recipe: RecipeFile, plugins: Plugins, chain: tuple[RecipeFile, ...]) -> tuple[Mapping, list[Problem]]:
    tree, problems = read_tree(recipe.path, recipe.label)
    chain = (*chain, recipe)
    parent = tree.items.pop("extends", None)
    if parent is None:
        return tree, problems
    mark = tree.key_marks.pop("extends")
    if not isinstance(parent, Scalar) or not isinstance(parent.value, str):
        raise RecipeError([*problems, Problem(parent.mark, "extends", "expected the name or path of one recipe")])
    try:
        base = find_recipe(parent.value, plugins, beside=recipe)
    except UserError as error:
        raise RecipeError([*problems, Problem(parent.mark, "extends", error.message, error.hint)]) from None
    known = [r.path.resolve() for r in chain]
    if base.path.resolve() in known:
        cycle = " -> ".join([r.name for r in chain[known.index(base.path.resolve()) :]] + [base.name])
        raise RecipeError([*problems, Problem(mark, "extends", f"the recipes extend each other in a circle: {cycle}")])
    if len(chain) >= MAX_EXTENDS:
        raise RecipeError([*problems, Problem(mark, "extends", f"more than {MAX_EXTENDS} recipes in a chain")])
    below, earlier = _extended(base, plugins, chain)
    return merge(below, tree), [*earlier, *problems]


def merge(below: Mapping, above: Mapping) -> Mapping:
    """Lays `above` over `below`: mappings join key by key, all else is replaced.

    A component with another name replaces the one below with all its parameters.
    """
    result = Mapping(dict(below.items), above.mark, dict(below.key_marks))
    for key, node in above.items.items():
        old = result.items.get(key)
        if isinstance(node, Mapping) and isinstance(old, Scalar) and isinstance(old.value, str):
            if "name" not in node.items:  # parameters for a component that was given as a bare name
                old = Mapping({"name": old}, old.mark, {"name": old.mark})
        if isinstance(node, Mapping) and isinstance(old, Mapping) and not _renames(old, node):
            node = merge(old, node)
        result.put(key, node, above.mark_of(key))
    return result


def _renames(old: Mapping, new: Mapping) -> bool:
    if "name" not in new.items:
        return False
    before = old.items.get("name")
    return getattr(before, "value", None) != getattr(new.items["name"], "value", None)


def apply_override(tree: Mapping, override: str) -> list[Problem]:
    """Sets ``a.b=value`` in `tree`, or removes ``~a.b``; returns what is wrong with the override."""
    mark = Mark(f"command line: {override}")
    if override.startswith("~"):
        return _remove(tree, override[1:], mark)
    key, equals, text = override.partition("=")
    path = key.split(".")
    if not equals or not all(path):
        return [Problem(mark, "", "an override has the form key=value, as in fit.max_steps=10, or ~key to drop one")]
    if key == "extends":
        return [Problem(mark, key, "extends cannot be overridden", "write a recipe that extends the other one")]
    try:
        value, problems = parse_value(text, mark.source)
    except RecipeError as error:
        return list(error.problems)
    if problems:
        return [Problem(p.mark, key, p.message, p.hint) for p in problems]
    return _set(tree, path, value, mark)


def _set(tree: Mapping, path: list[str], value: Node, mark: Mark) -> list[Problem]:
    node: Node = tree
    for depth, part in enumerate(path[:-1]):
        child = _child(node, part)
        if child is None and isinstance(node, Mapping):
            child = Mapping({}, mark, {})
            node.put(part, child, mark)
        elif isinstance(child, Scalar) and isinstance(child.value, str) and isinstance(node, Mapping):
            child = Mapping({"name": child}, child.mark, {"name": child.mark})  # `loss: mse` takes parameters too
            node.put(part, child, node.mark_of(part))
        elif isinstance(child, Scalar) and child.value is None and isinstance(node, Mapping):
            child = Mapping({}, mark, {})
            node.put(part, child, mark)
        if child is None or isinstance(child, Scalar):
            where = ".".join(path[: depth + 1])
            return [Problem(mark, ".".join(path), f"{where} is {_what(node, part)}, so nothing can be set below it")]
        node = child
    return _assign(node, path, value, mark)


def _what(node: Node, part: str) -> str:
    if isinstance(node, Sequence):
        return f"not an item of a list of {len(node.items)}" if _child(node, part) is None else "a plain value"
    return "a plain value"


def _assign(node: Node, path: list[str], value: Node, mark: Mark) -> list[Problem]:
    last = path[-1]
    if isinstance(node, Sequence):
        if not last.isdigit() or int(last) >= len(node.items):
            return [Problem(mark, ".".join(path), f"the list has items 0 to {len(node.items) - 1}")]
        node.items[int(last)] = value
        return []
    if last == "name" and isinstance(node, Mapping) and "name" in node.items:
        if getattr(node.items["name"], "value", None) != getattr(value, "value", None):
            node.items.clear()  # another component: the old one's parameters mean nothing to it
            node.key_marks.clear()
    node.put(last, value, mark)
    return []


def _child(node: Node, part: str) -> Node | None:
    if isinstance(node, Mapping):
        return node.items.get(part)
    if isinstance(node, Sequence) and part.isdigit() and int(part) < len(node.items):
        return node.items[int(part)]
    return None


def _remove(tree: Mapping, key: str, mark: Mark) -> list[Problem]:
    *parents, last = key.split(".")
    node: Node | None = tree
    for part in parents:
        node = _child(node, part) if node is not None else None
    if not isinstance(node, Mapping) or last not in node.items:
        hint = suggest(last, node.items) if isinstance(node, Mapping) else None
        return [Problem(mark, key, "there is nothing to drop", hint)]
    del node.items[last]
    node.key_marks.pop(last, None)
    return []
