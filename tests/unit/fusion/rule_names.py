"""Every rule name that the source of `fusion` can give a statement, as patterns, read from the code itself.

A name is written out, put together in an f-string, handed through a local variable, or given to a helper that hands it
on to ``say`` or ``warn``; all four are followed. What is put in at run time becomes a wildcard.
"""

import ast
import importlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import fusion

WRITERS = frozenset({"say", "warn"})
WILD = ".+"
Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def _trees() -> dict[str, ast.Module]:
    folder = Path(fusion.__file__).parent
    return {path.stem: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.py"))}


def _functions() -> Iterator[tuple[str, Function]]:
    for module, tree in _trees().items():
        for node in ast.walk(tree):
            if isinstance(node, Function):
                yield module, node


def _calls(node: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Calls within a node with the bare name of what is called."""
    for one in ast.walk(node):
        if isinstance(one, ast.Call):
            if isinstance(one.func, ast.Attribute):
                yield one.func.attr, one
            elif isinstance(one.func, ast.Name):
                yield one.func.id, one


def _parameters(function: Function) -> list[str]:
    names = [one.arg for one in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)]
    return names[1:] if names[:1] == ["self"] else names


def _argument(call: ast.Call, name: str, place: int) -> ast.expr | None:
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value
    return call.args[place] if place < len(call.args) else None


@cache
def _wrappers() -> dict[str, tuple[str, int, str]]:
    """Helpers that hand a rule name on: their parameter that carries it, its place, and what they put before it."""
    found: dict[str, tuple[str, int, str]] = dict.fromkeys(WRITERS, ("rule", 0, ""))
    while True:
        before = len(found)
        for _, function in _functions():
            if function.name in found:
                continue
            parameters = _parameters(function)
            for name, call in _calls(function):
                if name not in found:
                    continue
                carried, place, start = found[name]
                argument = _argument(call, carried, place)
                if isinstance(argument, ast.Name) and argument.id in parameters:
                    found[function.name] = (argument.id, parameters.index(argument.id), start)
                elif isinstance(argument, ast.JoinedStr) and len(argument.values) == 2:
                    text, inner = argument.values
                    name_in = inner.value if isinstance(inner, ast.FormattedValue) else None
                    if isinstance(text, ast.Constant) and isinstance(name_in, ast.Name) and name_in.id in parameters:
                        before_it = start + re.escape(str(text.value))
                        found[function.name] = (name_in.id, parameters.index(name_in.id), before_it)
        if len(found) == before:
            return found


def _values(node: ast.expr, function: Function, module: str) -> set[str]:
    """What an expression may be, as regular expressions."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return {re.escape(node.value)}
    if isinstance(node, ast.JoinedStr):
        return {"".join(re.escape(str(one.value)) if isinstance(one, ast.Constant) else WILD for one in node.values)}
    if isinstance(node, ast.Name):
        return _assigned(node.id, function, module)
    return {WILD}


def _assigned(name: str, function: Function, module: str) -> set[str]:
    """What a local variable is set to within a function, or a name of the module."""
    constant = getattr(importlib.import_module(f"fusion.{module}"), name, None)
    if isinstance(constant, str):
        return {re.escape(constant)}
    found: set[str] = set()
    for one in ast.walk(function):
        if not isinstance(one, ast.Assign):
            continue
        for target in one.targets:
            if isinstance(target, ast.Name) and target.id == name:
                found |= _values(one.value, function, module)
            elif isinstance(target, ast.Tuple) and isinstance(one.value, ast.Tuple):
                for part, value in zip(target.elts, one.value.elts, strict=False):
                    if isinstance(part, ast.Name) and part.id == name:
                        found |= _values(value, function, module)
    return found or {WILD}


def rule_patterns() -> dict[str, set[str]]:
    """Pattern of a rule name and the modules that write it; a name known only at run time is left out."""
    found: dict[str, set[str]] = {}
    wrappers = _wrappers()
    for module, function in _functions():
        parameters = _parameters(function)
        for name, call in _calls(function):
            if name not in wrappers:
                continue
            carried, place, start = wrappers[name]
            argument = _argument(call, carried, place)
            if argument is None or (isinstance(argument, ast.Name) and argument.id in parameters):
                continue
            for pattern in _values(argument, function, module):
                if start + pattern != WILD:
                    found.setdefault(start + pattern, set()).add(module)
    return found
