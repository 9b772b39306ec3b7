from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pellucid.errors import PellucidError
from pellucid.report import PublishedCell, ReportContent, Sample
from pellucid.report.content import CLOUD_LOOK, CLOUDS, Words, split_unit, unit_of

GOOD: dict[str, Any] = {"name": "CO", "unit": "angstrom", "pos": [[0, 0, 0], [1.4, 0, 0]], "labels": ["C", "O"],
                        "importance": [0.1, 0.9], "prediction": 0.8}
EYE = np.eye(3)


def test_everything_optional_may_be_left_out() -> None:
    sample = Sample(**GOOD)
    assert sample.bonds == []
    assert sample.importance.dtype == float


@pytest.mark.parametrize(("changes", "message"), [
    ({"pos": [[0, 0], [1, 1]]}, r"\(n, 3\), got \(2, 2\)"),
    ({"pos": np.empty((0, 3))}, "at least one point"),
    ({"pos": [[0, 0, np.nan], [0, 0, 0]]}, "finite coordinates"),
    ({"labels": ["C"]}, "2 labels"),
    ({"importance": [0.1]}, r"\(2,\), got \(1,\)"),
    ({"prediction": 3.2}, "sigmoid"),
    ({"prediction": None}, "probability"),
    ({"target": "yes"}, "probability"),
    ({"bonds": [(0, 2, 1.0)]}, "two of the 2 points"),
    ({"bonds": [(0, 0, 1.0)]}, "two of the 2 points"),
    ({"bonds": [(0, 1)]}, r"\(i, j, order\)"),
    ({"important": [0.2, 1]}, "booleans"),
    ({"covariance": [EYE]}, r"\(2, 3, 3\)"),
    ({"covariance": [EYE, -EYE]}, "positive semi-definite"),
    ({"covariance": [EYE, np.triu(np.ones((3, 3)))]}, "symmetric"),
    ({"covariance": [EYE, np.full((3, 3), np.nan)]}, "finite covariances"),
    ({"svg": "no drawing"}, "SVG"),
    ({"name": 3}, "text"),
    ({"facts": ["SMILES"]}, "dict of facts"),
    ({"columns": {"spread": [0.1]}}, r"spread of sample 'CO' .*\(2,\), got \(1,\)"),
])
def test_bad_samples_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PellucidError, match=message):
        Sample(**{**GOOD, **changes})


@pytest.mark.parametrize(("changes", "message"), [
    ({"title": None}, "title"),
    ({"metrics": {"a": "b"}}, r"number as metrics\.a"),
    ({"metrics": {"a": {"b": True}}}, r"metrics\.a\.b"),
    ({"metrics": {1: 1.0}}, "names as keys"),
    ({"samples": [GOOD]}, "Sample in samples, got dict at position 0"),
    ({"notes": "one"}, "list as notes"),
    ({"history": [{"epoch": 1}], "selected_epoch": 2}, "selected_epoch"),
])
def test_bad_content_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PellucidError, match=message):
        ReportContent(**{"title": "t", **changes})


@pytest.mark.parametrize(("mean", "std"), [(float("nan"), 0.1), (0.9, -0.1), ("0.9", 0.1)])
def test_bad_published_numbers_are_refused(mean: Any, std: Any) -> None:
    with pytest.raises(PellucidError, match="published"):
        PublishedCell("a", mean, std, "Table 1")


def test_what_is_predicted_says_whether_it_is_a_probability() -> None:
    assert Sample(**GOOD).probability is True
    value = Sample(**{**GOOD, "prediction": -2.5, "predicts": "logS (log mol/L)", "target": -3.0, "signed": True})
    assert (value.probability, value.importance_unit) == (False, "log mol/L")
    assert Sample(**GOOD, signed=True).importance_unit == "log-odds"
    assert Sample(**GOOD, signed=True, importance_unit="nats").importance_unit == "nats"
    assert Sample(**GOOD, predicts="chance of rain", probability=True).probability
    with pytest.raises(PellucidError, match="sigmoid"):
        Sample(**{**GOOD, "prediction": 3.0, "predicts": "chance of rain", "probability": True})


@pytest.mark.parametrize(("changes", "message"), [
    ({"radius": [0.1]}, r"\(2,\), got \(1,\)"),
    ({"radius": [0.1, -0.1]}, "radii of 0 or more"),
    ({"radius": [0.1, 0.1], "covariance": [EYE, EYE]}, "a radius or a covariance"),
    ({"others": {"P(b)": [1.0]}}, r"contributions to P\(b\)"),
    ({"level": "point"}, "values .* with level='point'"),
    ({"values": [0.1, 0.2]}, "values .* with level='point'"),
    ({"level": "point", "values": [0.1, 0.2]}, "NaN as the prediction"),
    ({"level": "point", "values": [0.1, 2.0], "prediction": float("nan")}, "probabilities in"),
    ({"level": "atom"}, "cloud or point"),
    ({"look": {"colour": "red"}}, "look with the keys"),
    ({"look": {"extents": "few"}}, "extents of all, top or none"),
])
def test_new_parts_are_checked(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PellucidError, match=message):
        Sample(**{**GOOD, **changes})


def test_noise_says_what_its_axes_mean() -> None:
    assert Sample(**GOOD).noise_note == ""
    axes = Sample(**GOOD, covariance=[EYE, EYE], words=Words("node", "graph"))
    assert "do not turn with the graph when it is turned" in axes.noise_note
    assert "does not see directions" in Sample(**GOOD, radius=[0.1, 0.2]).noise_note
    assert Sample(**GOOD, radius=[0.1, 0.2], frame_note="As {a_point} likes.").noise_note == "As a point likes."


def test_plain_points_unless_words_and_a_look_are_given() -> None:
    assert (Sample(**GOOD).words, Sample(**GOOD).drawn) == (CLOUDS, CLOUD_LOOK)
    own = Sample(**GOOD, words=Words("node", "graph"), look={"label": "Kind"})
    assert own.drawn == {**CLOUD_LOOK, "label": "Kind"}
    with pytest.raises(PellucidError, match="graphs"):
        ReportContent("t", samples=[own, Sample(**GOOD, words=Words("node", "graph"))])


def test_quantities_come_apart() -> None:
    assert split_unit("yield (%)") == ("yield", "%")
    assert split_unit("P(a)") == ("P(a)", "")
    assert (unit_of("P(a (b))"), unit_of("pK")) == ("log-odds", "")


def test_texts_are_one_a_point() -> None:
    with pytest.raises(PellucidError, match="2 texts of Chain of sample 'x', one a point, got 1"):
        Sample("x", "angstrom", [[0, 0, 0], [1, 0, 0]], ["A", "B"], [0, 1], 0.5, texts={"Chain": ["A"]})


def test_words_have_their_plural() -> None:
    assert Words("residue", "complex").of("{a_point} of these {samples}, {points} of {a_sample}") == (
        "a residue of these complexes, residues of a complex")
    plurals = [Words(word, "x").points for word in ("atom", "bus", "branch", "sky", "day")]
    assert plurals == ["atoms", "buses", "branches", "skies", "days"]
    assert Words("hit", "event").of("{samples}, {a_sample}, {{samples}}, {other}") == (
        "events, an event, {{samples}}, {other}")
    assert Words("vertex", "mesh", points="vertices").of("{points} of {samples}") == "vertices of meshes"
    assert (Words("body", "ray").points, Words("body", "ray").samples, Words("body", "ray").cloud) == (
        "bodies", "rays", "ray")
    with pytest.raises(PellucidError, match="one point"):
        Words("", "mesh")
