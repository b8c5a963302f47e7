"""Which code draws voltages that the causal filter has bent, found without running it.

The ST segment of such a curve is the filter's work, so nobody may read it as a heart's; a network is fed it all the
same. What is followed are names: through assignments, loops and functions of a notebook.
"""

import ast
from collections.abc import Iterator

# What takes the unit from voltages, or makes something else of them.
_UNITLESS = {"min_max", "zscore", "render", "fit", "predict", "auroc"}
_RECIPES = {"preprocess", "SignalRecipe"}
_IN_MILLIVOLTS = {"ecg_paper", "leads", "leads_and_images", "attribution"}


def _called(node: ast.AST) -> str:
    return ast.unparse(node.func).rpartition(".")[2] if isinstance(node, ast.Call) else ""


def _stored(node: ast.AST) -> set[str]:
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}


def reads_causal(node: ast.AST, known: set[str]) -> bool:
    """Whether code reads millivolts that the causal filter has passed: from `known` names, or from the package."""
    given = {word.arg: ast.unparse(word.value) for word in getattr(node, "keywords", [])}
    name = _called(node)
    in_mv = name == "bandpass" or (name in _RECIPES and given.get("scaling") == "'millivolt'")
    if isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
        known = known - _stored(node)
    if isinstance(node, ast.Assert) or name in _UNITLESS or given.get("zero_phase") == "True":
        return False
    if in_mv or (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in known):
        return True
    return name not in _RECIPES and any(reads_causal(child, known) for child in ast.iter_child_nodes(node))


def _bindings(statement: ast.stmt) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Pair what a statement binds with what it is bound to, through zip and tuples of the same length."""
    value = getattr(statement, "iter", None) or getattr(statement, "value", None)
    for target in getattr(statement, "targets", None) or [getattr(statement, "target", None)]:
        parts = value.args if _called(value) == "zip" else getattr(value, "elts", [])
        if isinstance(target, ast.Tuple) and len(target.elts) == len(parts):
            yield from zip(target.elts, parts, strict=True)
        elif target is not None and value is not None:
            yield target, value


def follow(body: list[ast.stmt], known: set[str]) -> None:
    """Keep track, line by line, of the names that hold such voltages and of the functions that read them."""
    for statement in body:
        if isinstance(statement, ast.FunctionDef):
            own = _stored(statement) | {node.arg for node in ast.walk(statement.args) if isinstance(node, ast.arg)}
            pairs = [(ast.Name(statement.name, ast.Store()), reads_causal(statement, known - own))]
        else:
            pairs = [(target, reads_causal(value, known)) for target, value in _bindings(statement)]
            inner = [*getattr(statement, "body", []), *getattr(statement, "orelse", [])]
        for target, is_causal in pairs:
            # A dict into which one such curve was put has it for good.
            known -= _stored(target)
            known |= {one.id for one in ast.walk(target) if isinstance(one, ast.Name) and is_causal}
        if not isinstance(statement, ast.FunctionDef):
            follow(inner, known)


def draws_millivolts(tree: ast.AST, helpers: set[str]) -> bool:
    """Whether code that draws has an axis in mV: by its labels, the package's plots, or functions known to have one."""
    texts = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return any("mV" in text for text in texts) or any(
        _called(node) in _IN_MILLIVOLTS | helpers and "units" not in {word.arg for word in node.keywords}
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
    )
