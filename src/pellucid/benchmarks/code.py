"""A version of the code that decides a result: what changes it makes a new result, and nothing else does."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from pellucid.errors import PellucidError


@cache
def code_digest(*modules: str) -> str:
    """Hash of modules and all modules of this package that they import, directly or not, in functions or outside.

    Only what Python executes counts: comments, docstrings, layout and imports for type checkers do not.

    Args:
        *modules: Full names, e.g. ``"pellucid.methods.lri"``.

    Returns:
        16 hexadecimal digits.

    Raises:
        PellucidError: for a module that is not there.

    Example:
        >>> code_digest("pellucid.errors") == code_digest("pellucid.errors", "pellucid.errors")
        True
    """
    content = hashlib.sha256()
    for name in sorted(closure(*modules)):
        content.update(f"{name}\n{ast.dump(_tree(name))}\n".encode())
    return content.hexdigest()[:16]


def closure(*modules: str) -> set[str]:
    """Names of the modules and of all that they import from their own package."""
    seen: set[str] = set()
    left = list(modules)
    while left:
        name = left.pop()
        if name not in seen:
            seen.add(name)
            left += _imports(name)
    return seen


@cache
def _tree(name: str) -> ast.Module:
    tree = ast.parse(_file(name).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            node.body = [n for n in node.body if not ((isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant))
                                                      or (isinstance(n, ast.If) and _for_types_only(n.test)))]
    return tree


def _for_types_only(test: ast.expr) -> bool:
    return isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"


@cache
def _imports(name: str) -> list[str]:
    package = name.split(".")[0]
    return [found for node in ast.walk(_tree(name)) for found in _named(node)
            if found.split(".")[0] == package and _is_module(found)]


def _named(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
        yield node.module
        yield from (f"{node.module}.{alias.name}" for alias in node.names)  # a module of the package, or a name in it


@cache
def _is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # the parent is no package
        return False


def _file(name: str) -> Path:
    if not _is_module(name):
        raise PellucidError(f"expected a module of this package, got {name!r}")
    spec = find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin)
