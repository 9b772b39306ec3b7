import numpy as np
import pytest
from scipy.stats import spearmanr

from pellucid.report.figure import draw, fit


def sample(seed=0):
    rng = np.random.default_rng(seed)
    x = np.repeat([2.0, 4, 8, 12, 20], 3)
    return [(float(a), float(b)) for a, b in zip(x, 0.3 + 0.02 * x + rng.normal(0, 0.01, len(x)), strict=True)]


def test_the_line_is_that_of_the_normal_equations():
    points = sample()
    x, y = np.array(points).T
    design = np.stack([np.ones_like(x), x], 1)
    (intercept, slope), (rss,), *_ = np.linalg.lstsq(design, y, rcond=None)
    errors = np.sqrt(np.diag(np.linalg.inv(design.T @ design)) * rss / (len(x) - 2))
    line = fit(points)
    assert (line.intercept, line.slope) == pytest.approx((intercept, slope))
    assert (line.intercept_error, line.slope_error) == pytest.approx(tuple(errors))
    assert line.r_squared == pytest.approx(1 - rss / ((y - y.mean()) ** 2).sum())
    means = [y[x == v].mean() for v in np.unique(x)]
    assert line.rank_correlation == spearmanr(np.unique(x), means).statistic
    assert 0 < line.inversion_error < 2
    assert "rank correlation" in line.sentence("field", "ratio")


def test_too_few_places_have_no_line():
    assert fit([(1, 1), (2, 2), (2, 3)]) is None
    assert "<svg" in draw([(1, 1), (2, 2)], None, "x", "y")


def test_the_picture_has_a_dot_for_each_run():
    points = sample()
    picture = draw(points, fit(points), "B (T)", "<ratio>")
    assert picture.count('fill="#ef7f45"') == len(points)
    assert "&lt;ratio&gt;" in picture
    assert "nan" not in picture
