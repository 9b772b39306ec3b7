"""From a name and options to an explainer."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from pellucid.errors import PellucidError, UnknownNameError
from pellucid.explainers.base import Explainer, explainers


def make_explainer(name: str, options: Mapping[str, Any] | None = None) -> Explainer:
    """An explainer of a registered class.

    Args:
        name: See ``pellucid list explainers``.
        options: Arguments of the class.

    Raises:
        UnknownNameError: for an unknown explainer or option.
        PellucidError: for a value that does not fit.

    Example:
        >>> type(make_explainer("gradgeo")).__name__
        'GradGeo'
    """
    made = explainers[name]
    known = inspect.signature(made).parameters
    given = dict(options or {})
    passes_on = any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values())  # and checks them itself
    for option in given:
        if option not in known and not passes_on:
            raise UnknownNameError(f"option of {name}", option, known)
    try:
        return made(**given)
    except TypeError as error:
        raise PellucidError(f"expected fitting options for {name}, got {given} ({error})") from error
