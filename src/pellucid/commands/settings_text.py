"""Settings given as text: ``method.options.beta=0.1`` becomes a nested dictionary."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, overload

from pellucid.errors import PellucidError
from pellucid.training.config import merge


def parse_settings(texts: Iterable[str]) -> dict[str, Any]:
    """Nested settings out of ``place=value`` texts; values are read as YAML.

    Raises:
        PellucidError: if a text has no ``=`` or its value is not YAML.

    Example:
        >>> parse_settings(["method.scale=5", "method.options.graph_reconstruction=false"])
        {'method': {'scale': 5, 'options': {'graph_reconstruction': False}}}
    """
    result: dict[str, Any] = {}
    for text in texts:
        place, sign, value = text.partition("=")
        if not sign or not place:
            raise PellucidError(f"expected place=value, got {text!r}; write e.g. method.scale=5")
        import yaml  # slow to import, and most commands are given no settings

        try:
            entry: Any = yaml.safe_load(value)
        except yaml.YAMLError:
            raise PellucidError(f"expected a plain value after {place}=, got {value!r}") from None
        for key in reversed(place.split(".")):
            entry = {key: entry}
        result = merge(result, entry)
    return result


def explainer_options(texts: Iterable[str]) -> dict[str, Any] | None:
    """Options of an explainer out of ``options.name=value`` texts; None where there is none.

    Raises:
        PellucidError: as :func:`parse_settings`, and for settings of anything else.

    Example:
        >>> explainer_options(["options.steps=100"])
        {'steps': 100}
    """
    settings = parse_settings(texts)
    for name, value in settings.items():
        if name != "options" or not isinstance(value, dict):
            raise PellucidError(f"expected options of the explainer, got {name!r}; write e.g. --set options.steps=100")
    return settings.get("options")


@overload
def parse_pairs(flag: str, texts: Iterable[str] | None, *, number: Literal[True]) -> dict[str, float] | None: ...
@overload
def parse_pairs(flag: str, texts: Iterable[str] | None) -> dict[str, str] | None: ...
def parse_pairs(flag: str, texts: Iterable[str] | None, *, number: bool = False) -> dict[str, Any] | None:
    """``NAME=VALUE`` texts as a dictionary; the last ``=`` separates, since a column's name may hold others.

    Args:
        flag: What they were given with, for messages.
        texts: None for None.
        number: Whether values are numbers.

    Raises:
        PellucidError: for another form.

    Example:
        >>> parse_pairs("--floor", ["HLM (mL/min)=0.7"], number=True)
        {'HLM (mL/min)': 0.7}
    """
    if texts is None:
        return None
    found: dict[str, Any] = {}
    for text in texts:
        name, sign, value = text.rpartition("=")
        try:
            found[name.strip()] = float(value) if number else value.strip()
        except ValueError:
            sign = ""
        if not sign or not name.strip() or not value.strip():
            raise PellucidError(f"expected {flag} NAME={'NUMBER' if number else 'TEXT'}, got {text!r}; write e.g. "
                                f"{flag} {'logS=-8' if number else 'logS=value'}")
    return found


def parse_names(text: str | None) -> list[str] | None:
    """Names out of a text with commas; None for None.

    Raises:
        PellucidError: if there is none.

    Example:
        >>> parse_names("egnn, dgcnn")
        ['egnn', 'dgcnn']
    """
    if text is None:
        return None
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise PellucidError(f"expected names with commas between, got {text!r}")
    return names


def parse_numbers(text: str | None) -> list[int] | None:
    """Whole numbers from 0 on out of a text with commas; None for None.

    Raises:
        PellucidError: if one is none, or there is none.

    Example:
        >>> parse_numbers("0,1")
        [0, 1]
    """
    names = parse_names(text)
    if names is None:
        return None
    if not all(name.isdecimal() for name in names) or len(set(names)) < len(names):
        raise PellucidError(f"expected different whole numbers with commas between, got {text!r}; write e.g. 0,1,2")
    return [int(name) for name in names]


def parse_flags(words: list[str]) -> dict[str, Any]:
    """Options out of ``--name value`` words; a flag without a value is True, values are read as YAML.

    Raises:
        PellucidError: if a value has no flag before it.

    Example:
        >>> parse_flags(["--field", "4", "--full", "--val-tracks=20"])
        {'field': 4, 'full': True, 'val_tracks': 20}
    """
    texts: list[str] = []
    for word in words:
        if word.startswith("--"):
            name, sign, value = word[2:].partition("=")
            texts.append(f"{name.replace('-', '_')}={value if sign else 'true'}")
        elif texts and texts[-1].endswith("=true"):
            texts[-1] = texts[-1].removesuffix("true") + word
        else:
            raise PellucidError(f"expected --name value, got {word!r}; see pellucid data options NAME")
    return parse_settings(texts)
