"""What a user says of targets, beside what their values say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pellucid.errors import PellucidError


@dataclass(frozen=True)
class TargetOptions:
    """What a user says of targets, by name or by title with the unit; the rest is read off the values.

    Attributes:
        kinds: ``binary``, ``multiclass`` or ``regression``.
        units: In place of those in the titles.
        floors: Values that mean "at most this", such as an assay's lower limit.
        ceilings: Values that mean "at least this".
    """

    kinds: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    floors: Mapping[str, float] = field(default_factory=dict)
    ceilings: Mapping[str, float] = field(default_factory=dict)

    @staticmethod
    def of(options: Mapping[str, Any]) -> TargetOptions:
        """Out of a dataset's options of these names, each a mapping, a text such as ``"a=1,b=2"``, or None.

        Raises:
            PellucidError: if one is something else, or a floor or ceiling no number.

        Example:
            >>> TargetOptions.of({"kinds": "a=binary", "units": None, "floors": {"b": 1}, "ceilings": ""}).floors
            {'b': 1.0}
        """
        numbers: dict[str, dict[str, float]] = {"floors": {}, "ceilings": {}}
        for option, found in numbers.items():
            for name, text in assignments(options[option], option).items():
                try:
                    found[name] = float(text)
                except ValueError:
                    raise PellucidError(f"expected a number for {name!r} in {option}, got {text!r}; write e.g. "
                                        f"{name}=0.5") from None
        return TargetOptions(assignments(options["kinds"], "kinds"), assignments(options["units"], "units"), **numbers)

    def document(self) -> dict[str, dict[str, Any]]:
        """As the key of a cache holds them."""
        return {name: dict(given) for name, given in vars(self).items()}


def assignments(given: Mapping[str, object] | str | None, option: str) -> dict[str, str]:
    """An option that says something of targets: a mapping, or a text such as ``"HLM=regression,toxic=binary"``.

    Raises:
        PellucidError: if it is something else.

    Example:
        >>> assignments("HLM=0.675, RLM=1.03", "floors"), assignments({"HLM": 0.675}, "floors")
        ({'HLM': '0.675', 'RLM': '1.03'}, {'HLM': '0.675'})
    """
    if given is None:
        return {}
    if isinstance(given, Mapping):
        return {str(name): str(value) for name, value in given.items()}
    if not isinstance(given, str):
        raise PellucidError(f"expected {option} as a mapping of names or as NAME=VALUE,..., got {given!r}")
    found = {}
    for part in filter(None, (part.strip() for part in given.split(","))):
        name, sign, value = (word.strip() for word in part.rpartition("="))
        if not sign or not name or not value:
            raise PellucidError(f"expected {option} as NAME=VALUE,..., got {part!r}")
        found[name] = value
    return found
