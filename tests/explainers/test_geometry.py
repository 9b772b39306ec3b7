"""centroid and density against SciPy's distances."""

import numpy as np
import pytest
import torch
from explaining import tiny_clouds, tiny_model
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from pellucid.errors import PellucidError
from pellucid.explainers import explainers


def importance(name, clouds, model=None, **options):
    return explainers[name](**options).explain(model or tiny_model(), clouds, batch_size=2).importance


def each(clouds):
    return [clouds.pos[a:b].numpy() for a, b in zip(clouds.ptr[:-1], clouds.ptr[1:], strict=True)]


def test_centroid_is_the_distance_to_the_mean():
    clouds = tiny_clouds((1, 9, 4))
    expected = np.concatenate([-cdist(pos, pos.mean(0, keepdims=True))[:, 0] for pos in each(clouds)])
    np.testing.assert_allclose(importance("centroid", clouds).numpy(), expected, atol=1e-12)


@given(k=st.integers(1, 12), seed=st.integers(0, 1000))
@settings(max_examples=25)
def test_density_is_the_distance_to_the_kth_other_point_or_the_farthest(k, seed):
    clouds = tiny_clouds((1, 9, 4, 2), seed=seed)
    expected = [-cKDTree(pos).query(pos, [min(k + 1, len(pos))])[0][:, 0] for pos in each(clouds)]
    np.testing.assert_allclose(importance("density", clouds, k=k).numpy(), np.concatenate(expected), atol=1e-12)


@pytest.mark.parametrize("name", ["centroid", "density"])
@given(seed=st.integers(0, 1000))
@settings(max_examples=10)
def test_neither_where_the_cloud_lies_nor_the_model_matters(name, seed):
    clouds = tiny_clouds()
    turn = torch.from_numpy(Rotation.random(random_state=seed).as_matrix())
    moved = clouds.replace(pos=clouds.pos @ turn.T + 3)
    torch.testing.assert_close(importance(name, moved), importance(name, clouds), atol=1e-10, rtol=0)
    assert torch.equal(importance(name, clouds, tiny_model("regression")), importance(name, clouds))


def test_k_below_one_is_refused():
    with pytest.raises(PellucidError, match="expected k of at least 1, got 0"):
        explainers["density"](k=0)
