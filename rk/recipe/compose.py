"""`extends` and command-line overrides: several trees become one, each node keeping its own mark."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rk.errors import Mark, Problem, RecipeError, UserError, suggest
from rk.plugins import Plugins
from rk.recipe.find import RecipeFile, find_recipe
from rk.recipe.kept_tree import tree_of
from rk.recipe.requires import unmet
from rk.recipe.tree import MAX_DEPTH, MAX_SHOWN, Mapping, Node, Scalar, Sequence, parse_value

if TYPE_CHECKING:
    from rk.index.kept import Index

MAX_EXTENDS = 20


def compose(
    recipe: RecipeFile, overrides: tuple[str, ...], plugins: Plugins, index: Index | None = None
) -> tuple[Mapping, list[Problem]]:
    """Reads `recipe`, what it extends, and the overrides ``a.b=value`` or ``~a.b`` into one tree.

    Args:
        recipe: The file.
        overrides: Of the command line, in order.
        plugins: Whose recipes it may extend.
        index: Where unchanged files are looked up.

    Raises:
        RecipeError: When a file of the chain cannot be read at all or requires a plugin that is not there, or the chain
            is a cycle.
    """
    tree, problems = _extended(recipe, plugins, (), index)
    for override in overrides:
        problems += apply_override(tree, override)
    return tree, problems


def _extended(
    recipe: RecipeFile, plugins: Plugins, chain: tuple[RecipeFile, ...], index: Index | None
) -> tuple[Mapping, list[Problem]]:
    tree, problems = tree_of(recipe, index)
    chain = (*chain, recipe)
    if lacking := unmet(tree, plugins):  # every name of a plugin that is not there would be a mistake too
        raise RecipeError([*problems, *lacking])
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
    try:
        below, earlier = _extended(base, plugins, chain, index)
    except RecipeError as error:
        raise RecipeError([*problems, *error.problems]) from None
    return merge(below, tree), [*earlier, *problems]


def merge(below: Mapping, above: Mapping) -> Mapping:
    """Lays `above` over `below`: mappings join key by key, all else is replaced.

    A component with another name replaces the one below with all its parameters.
    """
    result = Mapping(dict(below.items), above.mark, dict(below.key_marks))
    for key, node in above.items.items():
        old = _with_parameters(result.items.get(key))
        if isinstance(node, Mapping) and isinstance(old, Mapping) and not _renames(old, node.items.get("name")):
            node = merge(old, node)
        result.put(key, node, above.mark_of(key))
    return result


def _with_parameters(node: Node | None) -> Node | None:
    """Returns a component given as a bare name as a mapping, which takes parameters; any other node as it is."""
    if isinstance(node, Scalar) and isinstance(node.value, str):
        return Mapping({"name": node}, node.mark, {"name": node.mark})
    return node


def _renames(component: Mapping, name: Node | None) -> bool:
    """Whether `name` makes `component` another one, to which the parameters given so far mean nothing."""
    return name is not None and getattr(component.items.get("name"), "value", None) != getattr(name, "value", None)


def apply_override(tree: Mapping, override: str) -> list[Problem]:
    """Sets ``a.b=value`` in `tree`, or removes ``~a.b``; returns what is wrong with the override."""
    mark = Mark(f"command line: {override if len(override) <= MAX_SHOWN else override[:MAX_SHOWN] + '...'}")
    if override.startswith("~"):
        return _remove(tree, override[1:], mark)
    key, equals, text = override.partition("=")
    path = _path(tree, key.split("."))
    if not equals or not all(path):
        return [Problem(mark, "", "an override has the form key=value, as in fit.max_steps=10, or ~key to drop one")]
    if key == "extends":
        return [Problem(mark, key, "extends cannot be overridden", "write a recipe that extends the other one")]
    if len(path) > MAX_DEPTH:
        return [Problem(mark, "", f"nested deeper than {MAX_DEPTH} levels")]
    try:
        value, problems = parse_value(text, mark.source)
    except RecipeError as error:
        problems = error.problems
    if problems:
        return [Problem(p.mark, key, p.message, p.hint) for p in problems]
    return _set(tree, path, value, mark)


def _path(tree: Mapping, parts: list[str]) -> list[str]:
    """Returns the keys that a dotted text means; one that holds dots itself, ``words.*``, is one where it is there."""
    node: Node | None = tree
    path: list[str] = []
    while parts and node is not None:
        length = 1
        if isinstance(node, Mapping):
            longest = min(len(parts), max((name.count(".") + 1 for name in node.items), default=1))
            whole = [n for n in range(longest, 1, -1) if ".".join(parts[:n]) in node.items]
            length = whole[0] if whole and parts[0] not in node.items else 1
        path.append(".".join(parts[:length]))
        node = _child(node, path[-1])
        parts = parts[length:]
    return path + parts


def _set(tree: Mapping, path: list[str], value: Node, mark: Mark) -> list[Problem]:
    node: Mapping | Sequence = tree
    for depth, part in enumerate(path[:-1]):
        child = _with_parameters(_child(node, part))  # `loss: mse` takes parameters too
        if isinstance(node, Mapping) and (child is None or (isinstance(child, Scalar) and child.value is None)):
            child = Mapping({}, mark, {})
        if child is None or isinstance(child, Scalar):
            where = ".".join(path[: depth + 1])
            what = "a plain value" if child is not None else f"not an item of a list of {len(node.items)}"
            return [Problem(mark, ".".join(path), f"{where} is {what}, so nothing can be set below it")]
        _put(node, part, child, node.mark_of(part) if isinstance(node, Mapping) and part in node.items else mark)
        node = child
    last = path[-1]
    if isinstance(node, Sequence) and _child(node, last) is None:
        accepted = f"the list has items 0 to {len(node.items) - 1}" if node.items else "the list is empty"
        return [Problem(mark, ".".join(path), accepted)]
    if last == "name" and isinstance(node, Mapping) and "name" in node.items and _renames(node, value):
        node.items.clear()
        node.key_marks.clear()
    _put(node, last, value, mark)
    return []


def _put(node: Mapping | Sequence, part: str, child: Node, mark: Mark) -> None:
    if isinstance(node, Mapping):
        node.put(part, child, mark)
    else:
        node.items[int(part)] = child


def _child(node: Node, part: str) -> Node | None:
    if isinstance(node, Mapping):
        return node.items.get(part)
    if isinstance(node, Sequence) and _is_index(part) and int(part) < len(node.items):
        return node.items[int(part)]
    return None


def _is_index(part: str) -> bool:
    return part.isascii() and part.isdigit() and len(part) < 10


def _remove(tree: Mapping, key: str, mark: Mark) -> list[Problem]:
    *parents, last = _path(tree, key.split("."))
    node: Node | None = tree
    for part in parents:
        node = _child(node, part) if node is not None else None
    if isinstance(node, Mapping) and last in node.items:
        del node.items[last]
        node.key_marks.pop(last, None)
    elif isinstance(node, Sequence) and _child(node, last) is not None:
        del node.items[int(last)]
    else:
        hint = suggest(last, node.items) if isinstance(node, Mapping) else None
        return [Problem(mark, key, "there is nothing to drop", hint)]
    return []
