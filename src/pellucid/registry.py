"""One registry per family: a new class in a new file registers itself and shows up everywhere."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from pellucid.errors import UnknownNameError

T = TypeVar("T")


class Registry(Generic[T]):
    """Names of one family (backbones, methods, ...) and what they stand for.

    Args:
        kind: What one entry is called in messages, e.g. ``"backbone"``.
        package: Package whose modules register entries when they are imported; it is imported on first use.

    Example:
        >>> shapes = Registry[type]("shape")
        >>> @shapes.register("ball")
        ... class Ball:
        ...     "A round thing."
        >>> shapes["ball"].__name__, shapes.describe()
        ('Ball', {'ball': 'A round thing.'})
    """

    def __init__(self, kind: str, package: str | None = None) -> None:
        self.kind = kind
        self._package = package
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that registers a class or function under ``name``."""

        def add(entry: T) -> T:
            if name in self._entries and _origin(self._entries[name]) != _origin(entry):  # a reload is no clash
                raise ValueError(f"expected a new {self.kind} name, got {name!r} twice; choose another")
            self._entries[name] = entry
            return entry

        return add

    def _load(self) -> None:
        if self._package is not None:
            name, self._package = self._package, None  # the modules may read the registry while they are imported
            try:
                package = importlib.import_module(name)
                for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
                    importlib.import_module(module.name)
            except BaseException:
                self._package = name  # tell the same error the next time too, rather than serve half the names
                raise

    def __getitem__(self, name: str) -> T:
        self._load()
        try:
            return self._entries[name]
        except KeyError:
            raise UnknownNameError(self.kind, name, self._entries) from None

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(sorted(self._entries))

    def __contains__(self, name: object) -> bool:
        self._load()
        return name in self._entries

    def __len__(self) -> int:
        self._load()
        return len(self._entries)

    def describe(self) -> dict[str, str]:
        """Name -> first line of the docstring, sorted by name."""
        return {name: (self[name].__doc__ or "").strip().split("\n")[0] for name in self}


def _origin(entry: object) -> tuple[str | None, str | None]:
    return getattr(entry, "__module__", None), getattr(entry, "__qualname__", repr(entry))
