"""Augmentations: fields turn as their irreps say, jitter moves coordinates, negatives get foreign partners."""

import pytest
import torch

from pellucid.clouds import Field, PointClouds
from pellucid.methods import NeighborRule
from pellucid.testing import small_clouds
from pellucid.testing.samples import orthogonal
from pellucid.training.batches import augmented, jittered, rotated, swapped
from pellucid.training.config import TrainingConfig

EXTRA = {"velocity": Field("point", "float", ("D",), irreps="vector"),
         "several": Field("point", "float", ("V", "D"), irreps="vector"),
         "stress": Field("point", "float", ("D", "D"), irreps="tensor"),
         "dipole": Field("cloud", "float", ("D",), irreps="vector"),
         "charge": Field("point", "float", ())}


def clouds_with_fields(dim=3):
    clouds = small_clouds(dim=dim)
    random = torch.Generator().manual_seed(2)
    for name, field in EXTRA.items():
        rows = clouds.points if field.level == "point" else len(clouds)
        shape = [{"D": dim, "V": 2}[s] for s in field.shape]
        clouds = clouds.with_field(name, field, torch.randn(rows, *shape, generator=random, dtype=torch.float64))
    return clouds.replace(partner=small_clouds((2, 3, 1, 2), dim, seed=4))


@pytest.mark.parametrize("dim", [2, 3])
def test_every_field_turns_by_its_irreps(dim):
    clouds = clouds_with_fields(dim)
    each = torch.stack([orthogonal(dim, seed=seed) for seed in range(len(clouds))])
    turned = clouds.rotate(each)
    for i, matrix in enumerate(each):
        rows = slice(int(clouds.ptr[i]), int(clouds.ptr[i + 1]))
        for name in ("pos", "velocity", "several"):
            torch.testing.assert_close(turned[name][rows], clouds[name][rows] @ matrix.t())
        torch.testing.assert_close(turned["stress"][rows], matrix @ clouds["stress"][rows] @ matrix.t())
        torch.testing.assert_close(turned["dipole"][i], matrix @ clouds["dipole"][i])
        own = slice(int(clouds.partner.ptr[i]), int(clouds.partner.ptr[i + 1]))
        torch.testing.assert_close(turned.partner.pos[own], clouds.partner.pos[own] @ matrix.t())
    for name in ("charge", "features", "categories"):
        assert torch.equal(turned[name], clouds[name])


def test_random_rotations_are_proper_and_one_a_cloud():
    clouds = clouds_with_fields()
    torch.manual_seed(1)
    turned = rotated(clouds)
    found = []
    for i in (0, 1, 3):  # the clouds with more than two points
        rows = slice(int(clouds.ptr[i]), int(clouds.ptr[i + 1]))
        matrix = torch.linalg.lstsq(clouds.pos[rows], turned.pos[rows]).solution.t()
        torch.testing.assert_close(matrix @ matrix.t(), torch.eye(3, dtype=torch.float64))
        assert float(torch.det(matrix)) == pytest.approx(1)
        torch.testing.assert_close(turned["velocity"][rows], clouds["velocity"][rows] @ matrix.t())
        torch.testing.assert_close(turned["stress"][rows], matrix @ clouds["stress"][rows] @ matrix.t())
        found.append(matrix)
    assert not torch.allclose(found[0], found[1])


def test_jitter_moves_coordinates_alone_and_connects_anew():
    clouds, rule = small_clouds(), NeighborRule("knn", 3)
    torch.manual_seed(0)
    many = small_clouds((4000,), categories=(), features=0)
    assert float((jittered(many, 0.3).pos - many.pos).std()) == pytest.approx(0.3, rel=0.03)
    moved, table = augmented(clouds, rule(clouds), TrainingConfig(jitter=0.5), rule)
    assert torch.equal(moved["features"], clouds["features"])
    assert torch.equal(table.index, rule(moved).index)
    same, kept = augmented(clouds, given := rule(clouds), TrainingConfig(), rule)
    assert same is clouds
    assert kept is given


def test_negatives_get_the_partner_of_another_sample_and_another_cluster():
    count = 60
    partner = PointClouds(torch.arange(count + 1), {"pos": torch.arange(count).double()[:, None].repeat(1, 3)})
    clouds = PointClouds(torch.arange(count + 1), {"pos": torch.zeros(count, 3), "y": torch.ones(count, 1),
                                                   "censored": torch.ones(count, 1, dtype=torch.int8),
                                                   "cluster": torch.arange(count) // 20}, partner=partner)
    torch.manual_seed(0)
    changed = swapped(clouds, 0.5)
    other = changed.partner.pos[:, 0].long()
    foreign = other != torch.arange(count)
    assert 5 < int(foreign.sum()) < 40
    assert torch.equal(changed["y"][:, 0] == 0, foreign)
    assert torch.equal(changed["censored"][:, 0] == 0, foreign), "that it does not bind is known"
    assert bool((clouds["cluster"][other[foreign]] != clouds["cluster"][foreign]).all())
