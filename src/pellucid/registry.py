"""One registry per family: a new class in a new file registers itself and shows up everywhere."""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pellucid.errors import PellucidError, UnknownNameError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")

INDEX = Path(__file__).with_name("index.json")
"""Names of the built-in entries, made by ``scripts/index.py``, so that they are known without importing them."""


class Registry(Generic[T]):
    """Names of one family (backbones, methods, ...) and what they stand for.

    A name of the index imports the one module that registers it. Any other is looked for in modules of the package
    that the index does not know, which a new file is, and then in the entry points ``pellucid.<family>`` of installed
    packages, whose objects register themselves when they are loaded.

    Args:
        kind: What one entry is called in messages, e.g. ``"backbone"``.
        package: Package whose modules register entries when they are imported.
        family: Name in the index and of the group of entry points, e.g. ``"backbones"``; None has neither.

    Example:
        >>> shapes = Registry[type]("shape")
        >>> @shapes.register("ball")
        ... class Ball:
        ...     "A round thing."
        >>> shapes["ball"].__name__, shapes.describe()
        ('Ball', {'ball': 'A round thing.'})
    """

    def __init__(self, kind: str, package: str | None = None, family: str | None = None) -> None:
        self.kind, self.package, self.family = kind, package, family
        self._entries: dict[str, T] = {}
        self._searching = False
        self._searched = False

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that registers a class or function under ``name``.

        Raises:
            ValueError: if the name is taken, be it by an entry of the index that is not imported yet.
        """

        def add(entry: T) -> T:
            taken = name in self._entries and _origin(self._entries[name]) != _origin(entry)  # a reload is no clash
            if taken or (name in self._known() and not self._is_ours(entry)):
                raise ValueError(f"expected a new {self.kind} name, got {name!r} twice; choose another")
            self._entries[name] = entry
            return entry

        return add

    def __getitem__(self, name: str) -> T:
        if name not in self._entries and name in self._known():
            importlib.import_module(self._known()[name][0])
        if name not in self._entries:
            self._search()
        if name not in self._entries and (points := [p for p in self._plugins() if p.name == name]):
            self._load(points)
        try:
            return self._entries[name]
        except KeyError:
            raise UnknownNameError(self.kind, name, self._names() | {p.name for p in self._plugins()}) from None

    def __iter__(self) -> Iterator[str]:
        self._search()
        self._refused()
        return iter(sorted(self._names()))

    def __contains__(self, name: object) -> bool:
        return name in self._entries or name in self._known() or name in set(self)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def describe(self) -> dict[str, str]:
        """Name -> first line of the docstring, sorted by name; of a plug-in that cannot be loaded, the reason."""
        self._search()
        refused = self._refused()
        lines = {name: self._known()[name][1] if name in self._known() else first_line(self._entries[name])
                 for name in self._names()}
        return dict(sorted((lines | refused).items()))

    # -- where entries come from --------------------------------------------------------------------------------
    def _known(self) -> dict[str, tuple[str, str]]:
        """Name -> module and first line, by the index."""
        names: dict[str, tuple[str, str]] = _index().get(self.family or "", {}).get("names", {})
        return names

    def _is_ours(self, entry: T) -> bool:
        """Whether it is of the package that the registry's modules are of, and no plug-in."""
        module = str(getattr(entry, "__module__", ""))
        return self.package is not None and module.partition(".")[0] == self.package.partition(".")[0]

    def _names(self) -> set[str]:
        return {*self._known(), *self._entries}

    def _search(self) -> None:
        """Imports the modules of the package that the index does not know."""
        if self.package is None or self._searched or self._searching:
            return  # the modules may read the registry while they are imported
        self._searching = True
        try:
            indexed = _index().get(self.family or "", {})
            known = {place for place, _ in indexed.get("names", {}).values()} | {*indexed.get("others", ())}
            package = importlib.import_module(self.package)
            for module in pkgutil.iter_modules(package.__path__, f"{self.package}."):
                if module.name not in known:
                    importlib.import_module(module.name)
            self._searched = True  # not before: the same error the next time too, rather than half the names
        finally:
            self._searching = False

    def _plugins(self) -> list[EntryPoint]:
        return _plugins(f"pellucid.{self.family}") if self.family else []

    def _load(self, points: list[EntryPoint]) -> None:
        """Loads the plug-in of one name.

        Raises:
            PellucidError: if it cannot be loaded or does not register the name; nothing of it stays registered then.
        """
        name, sources = points[0].name, sorted({_distribution(p) for p in points})
        if len(points) > 1:
            raise PellucidError(f"expected one package with the {self.kind} {name!r}, got {' and '.join(sources)}; "
                                "uninstall one of them")
        before = {*self._entries}
        try:
            points[0].load()
        except Exception as error:  # whatever someone else's module raises
            for new in {*self._entries} - before:
                if not self._is_ours(self._entries[new]):  # what it imported of ours is imported for good
                    del self._entries[new]
            raise PellucidError(f"expected the package {sources[0]} to load for the {self.kind} {name!r}, got "
                                f"{type(error).__name__}: {_line(error)}; repair or uninstall it") from error
        if name not in self._entries:
            raise PellucidError(f"expected the package {sources[0]} to register the {self.kind} {name!r}, got "
                                f"{points[0].value} without it; give its class the decorator register({name!r})")

    def _refused(self) -> dict[str, str]:
        """Loads all plug-ins; name -> reason of those that cannot be."""
        reasons: dict[str, str] = {}
        plugins = self._plugins()
        for name in sorted({p.name for p in plugins}):
            points = [p for p in plugins if p.name == name]
            if name in self._known():
                sources = " and ".join(sorted({_distribution(p) for p in points}))
                reasons[f"{name} ({sources})"] = (f"cannot be used: {name!r} is the name of a built-in {self.kind}; "
                                                  "the package must choose another")
            elif name not in self._entries:
                try:
                    self._load(points)
                except PellucidError as error:
                    reasons[name] = f"cannot be used: {error}"
        return reasons


def first_line(entry: object) -> str:
    """First line of a docstring, empty where there is none.

    Example:
        >>> first_line(Registry)
        'Names of one family (backbones, methods, ...) and what they stand for.'
    """
    return (getattr(entry, "__doc__", None) or "").strip().split("\n")[0]


def index_of(registry: Registry[Any]) -> dict[str, Any]:
    """What the index says of one family, made anew by importing all modules of its package.

    Args:
        registry: The family's registry.

    Returns:
        ``names``: name -> (module, first line of the docstring); ``others``: modules that register nothing.
    """
    package = importlib.import_module(str(registry.package))
    modules = [m.name for m in pkgutil.iter_modules(package.__path__, f"{registry.package}.")]
    for module in modules:
        importlib.import_module(module)
    entries = {name: entry for name, entry in sorted(registry._entries.items()) if registry._is_ours(entry)}
    names = {name: [str(getattr(entry, "__module__", "")), first_line(entry)] for name, entry in entries.items()}
    return {"names": names, "others": sorted({*modules} - {place for place, _ in names.values()})}


@cache
def _index() -> dict[str, Any]:
    try:
        return dict(json.loads(INDEX.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}


@cache
def _plugins(group: str) -> list[EntryPoint]:
    from importlib.metadata import entry_points  # reads the metadata of every installed package

    return list(entry_points(group=group))


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.module


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]


def _origin(entry: object) -> tuple[str | None, str | None]:
    return getattr(entry, "__module__", None), getattr(entry, "__qualname__", repr(entry))
