"""Contract tests that ship with the package: what every backbone, method, explainer, ... must do, for plug-ins too.

Each is a function that a test calls; it raises an AssertionError with one sentence where a class breaks its contract.

Example:
    >>> from pellucid.backbones.schnet import SchNet
    >>> from pellucid.testing import assert_backbone, symmetry
    >>> assert_backbone(SchNet, radial=8)
    >>> str(symmetry(SchNet(3))["scalars"]["rotation"])
    'unchanged'
"""

from pellucid.testing.contracts import assert_backbone, assert_dataset, assert_method, assert_metric, assert_objective
from pellucid.testing.explaining import assert_explainer
from pellucid.testing.samples import clouds_like, small_clouds
from pellucid.testing.symmetry import Change, assert_symmetry, symmetry

__all__ = ["Change", "assert_backbone", "assert_dataset", "assert_explainer", "assert_method", "assert_metric",
           "assert_objective", "assert_symmetry", "clouds_like", "small_clouds", "symmetry"]
