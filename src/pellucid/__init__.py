"""pellucid: geometric deep learning that explains itself.

>>> import pellucid
>>> data = pellucid.load_dataset("synmol")  # doctest: +SKIP
>>> run = pellucid.fit(data, out="runs/first")  # doctest: +SKIP
>>> pellucid.explain("runs/first", "CCCCC(=O)NC1CC1")  # doctest: +SKIP
"""

from importlib.metadata import version
from typing import TYPE_CHECKING

from pellucid.errors import PellucidError
from pellucid.lazy import lazy

__version__ = version("pellucid")

if TYPE_CHECKING:
    from pellucid.api import compare, evaluate, explain, fit, predict
    from pellucid.clouds import PointClouds
    from pellucid.commands.auditing import audit
    from pellucid.commands.benching import bench
    from pellucid.cross_validation import cross_validate
    from pellucid.datasets.base import load_dataset
    from pellucid.datasets.molecules import load_molecules
    from pellucid.explanation import Explanation
    from pellucid.neighbors import Neighbors
    from pellucid.planting import trust
    from pellucid.pyg import from_pyg, to_pyg

lazy(__name__, {
    "api": ["compare", "evaluate", "explain", "fit", "predict"],
    "clouds": ["PointClouds"],
    "commands.auditing": ["audit"],
    "commands.benching": ["bench"],
    "cross_validation": ["cross_validate"],
    "datasets.base": ["load_dataset"],
    "datasets.molecules": ["load_molecules"],
    "explanation": ["Explanation"],
    "neighbors": ["Neighbors"],
    "planting": ["trust"],
    "pyg": ["from_pyg", "to_pyg"],
})

__all__ = ["Explanation", "Neighbors", "PellucidError", "PointClouds", "__version__", "audit", "bench", "compare",
           "cross_validate", "evaluate", "explain", "fit", "from_pyg", "load_dataset", "load_molecules", "predict",
           "to_pyg", "trust"]
