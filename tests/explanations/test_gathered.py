"""Several clouds of one sample as one: means and deviations against NumPy, and what travels with them."""

import numpy as np
import pytest
import torch

from pellucid.clouds import Field, PointClouds
from pellucid.errors import PellucidError
from pellucid.explanation import Explanation
from pellucid.explanations.ensemble import ensemble
from pellucid.explanations.gathered import gather
from pellucid.targets import Target, Targets

DECLARED = {"sample_of": Field("cloud", "int")}


def clouds_of(sizes, samples):
    generator = torch.Generator().manual_seed(1)
    ptr = torch.tensor([0, *np.cumsum(sizes)])
    return PointClouds(ptr, {"pos": torch.randn(int(ptr[-1]), 3, generator=generator),
                             "sample_of": torch.tensor(samples)}, declared=DECLARED,
                       text={"id": [f"c{i}" for i in range(len(sizes))]})


def explained(clouds, **more):
    generator = torch.Generator().manual_seed(2)
    return Explanation(clouds, torch.rand(len(clouds), 1, generator=generator),
                       torch.rand(clouds.points, generator=generator), **more)


def test_means_and_deviations_are_numpys():
    clouds = clouds_of([2, 2, 2, 3, 4, 4], [5, 5, 5, 0, 9, 9])
    before = explained(clouds, radius=torch.rand(17), columns={"a": torch.rand(17), "kept": torch.arange(17)})
    after = gather(before)
    assert after.clouds.text["id"] == ["c0", "c3", "c4"]
    assert torch.equal(after.clouds.pos, torch.cat([clouds.pos[:2], clouds.pos[6:9], clouds.pos[9:13]]))
    for name, rows in (("importance", before.importance), ("a", before.columns["a"])):
        first, last = rows[:6].reshape(3, 2).numpy(), rows[9:].reshape(2, 4).numpy()
        found = after.importance if name == "importance" else after.columns[name]
        np.testing.assert_allclose(found, [*first.mean(0), *rows[6:9], *last.mean(0)], rtol=1e-6)
        if name == "importance":
            np.testing.assert_allclose(after.columns["spread"], [*first.std(0, ddof=1), 0, 0, 0,
                                                                 *last.std(0, ddof=1)], rtol=1e-5)
    assert after.columns["kept"].tolist() == [0, 1, 6, 7, 8, 9, 10, 11, 12]
    squares = before.radius[:6].reshape(3, 2).numpy() ** 2
    np.testing.assert_allclose(after.radius[:2], np.sqrt(squares.mean(0)), rtol=1e-6)
    np.testing.assert_allclose(after.prediction[0, 0], before.prediction[:3, 0].mean(), rtol=1e-6)
    told = after.provenance["gathered"]
    assert (told["by"], told["clouds"]) == ("sample_of", [3, 1, 2])
    np.testing.assert_allclose(told["prediction_spread"][2], [np.std(before.prediction[4:, 0].numpy(), ddof=1)],
                               rtol=1e-5)


def test_one_cloud_a_sample_stays_as_it_is():
    one = explained(clouds_of([2, 3], [4, 1]))
    assert gather(one) is one


def test_covariance_is_that_of_the_coordinates_that_are_shown():
    clouds = clouds_of([2, 2], [1, 1])
    covariance = torch.diag_embed(torch.rand(4, 3))
    assert torch.equal(gather(explained(clouds, covariance=covariance)).covariance, covariance[:2])


def test_clouds_that_do_not_fit_are_refused():
    with pytest.raises(PellucidError, match="expected as many points in all clouds of a sample"):
        gather(explained(clouds_of([2, 3], [1, 1])))
    with pytest.raises(PellucidError, match="expected a field 'other'"):
        gather(explained(clouds_of([2, 2], [1, 1])), by="other")


def test_several_outputs_and_classes():
    clouds = clouds_of([2, 2], [0, 0])
    targets = Targets((Target("colour", "multiclass", classes=("red", "green", "blue")),))
    importance = torch.arange(12.0).reshape(4, 3)
    prediction = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.7, 0.2]])
    after = gather(Explanation(clouds, prediction, importance, targets=targets, explained=torch.tensor([0, 1])))
    assert after.explained.tolist() == [1]  # of the mean prediction, 0.3 0.5 0.2
    assert after.importance.tolist() == [[3, 4, 5], [6, 7, 8]]
    assert after.of().importance.tolist() == [4, 7]


def test_predictions_of_points():
    clouds = clouds_of([2, 2], [0, 0])
    targets = Targets((Target("charge", "regression", level="point"),))
    after = gather(Explanation(clouds, torch.tensor([[1.0], [2.0], [3.0], [6.0]]), torch.ones(4), targets=targets))
    assert after.prediction.flatten().tolist() == [2, 4]


def test_an_ensemble_keeps_its_spread_and_what_it_says_of_each_sample():
    clouds = clouds_of([3, 3, 2], [0, 0, 1])
    members = [explained(clouds), Explanation(clouds, torch.rand(3, 1), torch.rand(8))]
    before = ensemble(members)
    after = gather(before)
    within = before.columns["spread"][:6].reshape(2, 3).double().numpy()
    between = before.importance[:6].reshape(2, 3).double().numpy().std(0, ddof=1)
    np.testing.assert_allclose(after.columns["spread"][:3], np.sqrt((within**2).mean(0) + between**2), rtol=1e-5)
    about = after.provenance["ensemble"]
    assert len(about["rank_correlations"]) == len(about["prediction_spread"]) == 2
    assert about["rank_correlations"][1] == pytest.approx(before.provenance["ensemble"]["rank_correlations"][2])
    assert len(before.provenance["ensemble"]["rank_correlations"]) == 3  # not changed in place
