"""Errors that a user can act on: one sentence each, "expected X, got Y; do Z"."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class PellucidError(ValueError):
    """A mistake in the input, told in one sentence that says what to do about it.

    The command line prints the sentence to stderr and exits with status 2, without a traceback.
    """


class UnknownNameError(PellucidError):
    """A name that is not registered; the message lists the near misses.

    Example:
        >>> str(UnknownNameError("backbone", "dgcn", ["dgcnn", "egnn"]))
        "expected a known backbone, got 'dgcn'; did you mean 'dgcnn'? Known: dgcnn, egnn"
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
        hint = f"did you mean {' or '.join(repr(n) for n in near)}? " if near else ""
        super().__init__(f"expected a known {kind}, got {name!r}; {hint}Known: {', '.join(names) or 'none'}")


class DamagedFileError(PellucidError):
    """A file of ours that cannot be read back."""


class MissingPackageError(PellucidError):
    """An optional package that is not installed; the message has the command that installs it."""
