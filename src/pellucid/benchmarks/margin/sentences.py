"""How findings tell a difference."""

from __future__ import annotations

from pellucid.benchmarks.margin.curves import point


def difference(values: list[float]) -> str:
    """Paired differences as their mean with its 95 % t interval over repetitions.

    Example:
        >>> difference([0.01, 0.02, 0.03]), difference([0.01])
        ('+0.0200 (-0.0048 to +0.0448)', '+0.0100 (one repetition)')
    """
    found = point(values)
    if len(values) < 2:
        return f"{found.mean:+.4f} (one repetition)"
    return f"{found.mean:+.4f} ({found.mean - found.half:+.4f} to {found.mean + found.half:+.4f})"
