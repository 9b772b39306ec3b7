"""Small encoders in a state that is not the initial one."""

import pytest
import torch

from pellucid.backbones import backbones
from pellucid.backbones.kernels import Norm


def unsettle(module, seed=1):
    """Gives all norms statistics and weights that are not 0 and 1, so that a mistake in them is seen."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for norm in (m for m in module.modules() if isinstance(m, Norm)):
            for values, low, high in ((norm.running_mean, -0.5, 0.5), (norm.running_var, 0.5, 1.5),
                                      (norm.weight, 0.5, 1.5), (norm.bias, -0.5, 0.5)):
                values.copy_(low + (high - low) * torch.rand(values.shape, generator=random))
    return module


def build(name, dim=3, category_sizes=(), feature_size=0, *, dtype=torch.float64, seed=0, **options):
    torch.manual_seed(seed)
    options = {"hidden": 8, "layers": 2, "dropout": 0.0, **options}
    return unsettle(backbones[name](dim, category_sizes, feature_size, **options)).to(dtype).eval()


@pytest.fixture(scope="session")
def encoder():
    """Makes an encoder by name, in eval mode and float64 unless told."""
    return build
