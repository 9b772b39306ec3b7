"""Settings given as text: ``method.options.beta=0.1`` becomes a nested dictionary."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import yaml

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
        try:
            entry: Any = yaml.safe_load(value)
        except yaml.YAMLError:
            raise PellucidError(f"expected a plain value after {place}=, got {value!r}") from None
        for key in reversed(place.split(".")):
            entry = {key: entry}
        result = merge(result, entry)
    return result
