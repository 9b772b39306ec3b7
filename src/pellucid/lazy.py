"""Packages that import a part of theirs when it is first asked for, so that nobody waits for what he does not use."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from types import ModuleType
from typing import Any


class _Lazy(ModuleType):
    """A package whose names come from its modules on demand."""

    def __getattr__(self, name: str) -> Any:
        module = self.__dict__["_lazy"].get(name)
        if module is None:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{self.__name__}.{module}"), name)
        self.__dict__[name] = value
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        # Python binds a module in its package. Where a function has the module's name, the package means the function.
        if not (isinstance(value, ModuleType) and name in self.__dict__["_lazy"]):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*self.__dict__, *self.__dict__["_lazy"]})


def lazy(package: str, names: Mapping[str, Sequence[str]]) -> None:
    """Makes a package lazy; called in its ``__init__``, which imports the same names under ``TYPE_CHECKING``.

    Args:
        package: ``__name__`` of the package.
        names: Module of the package -> names that the package takes from it.

    Example:
        >>> from pellucid import chemistry
        >>> "conformer" in dir(chemistry), chemistry.conformer.__module__
        (True, 'pellucid.chemistry.conformers')
    """
    module = sys.modules[package]
    module.__dict__["_lazy"] = {name: place for place, some in names.items() for name in some}
    module.__class__ = _Lazy
