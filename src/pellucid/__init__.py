"""pellucid: geometric deep learning that explains itself.

>>> import pellucid
>>> data = pellucid.load_dataset("synmol")  # doctest: +SKIP
>>> run = pellucid.fit(data, out="runs/first")  # doctest: +SKIP
>>> pellucid.explain("runs/first", "CCCCC(=O)NC1CC1")  # doctest: +SKIP
"""

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from pellucid.errors import PellucidError

__version__ = version("pellucid")

if TYPE_CHECKING:
    from pellucid.api import evaluate, explain, fit, load_dataset
    from pellucid.clouds import PointClouds
    from pellucid.commands.auditing import audit
    from pellucid.commands.benching import bench
    from pellucid.explanation import Explanation
    from pellucid.neighbors import Neighbors

_LAZY = {"audit": "commands.auditing", "bench": "commands.benching", "evaluate": "api", "explain": "api", "fit": "api",
         "load_dataset": "api", "PointClouds": "clouds", "Explanation": "explanation", "Neighbors": "neighbors"}


def __getattr__(name: str) -> Any:
    """Imports the heavy parts when they are asked for, so that ``pellucid --help`` answers at once."""
    if name not in _LAZY:
        raise AttributeError(f"module 'pellucid' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"pellucid.{_LAZY[name]}"), name)


__all__ = ["Explanation", "Neighbors", "PellucidError", "PointClouds", "__version__", "audit", "bench", "evaluate",
           "explain", "fit", "load_dataset"]
