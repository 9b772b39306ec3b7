"""A metric against an option of the data, with a straight line through it: Figure 3 of the LRI paper."""

from __future__ import annotations

import html
import math
from dataclasses import asdict, dataclass
from statistics import fmean, stdev

import numpy as np
from scipy.stats import linregress, spearmanr, t

from pellucid.report.charts import round_step

Points = list[tuple[float, float]]
WIDE, HIGH, LEFT, BOTTOM = 620, 400, 70, 60


@dataclass(frozen=True)
class Line:
    """y = intercept + slope x, by least squares over all runs.

    Attributes:
        slope: And its standard error.
        intercept: And its standard error.
        r_squared: Share of the variance that the line explains.
        rank_correlation: Spearman's, of the means of each x; 1 = rising throughout.
        inversion_error: Mean absolute error of x when the line through the other x is solved for it; NaN below four.
    """

    slope: float
    slope_error: float
    intercept: float
    intercept_error: float
    r_squared: float
    rank_correlation: float
    inversion_error: float

    def sentence(self, x: str, y: str) -> str:
        """The fit in words."""
        return (f"{y} = ({self.intercept:.4g} ± {self.intercept_error:.2g}) + ({self.slope:.3g} ± "
                f"{self.slope_error:.2g}) × {x}; R² {self.r_squared:.3f}, rank correlation of the means "
                f"{self.rank_correlation:.3f}; {x} from the line through the other points: mean absolute error "
                f"{self.inversion_error:.2g}")

    def document(self) -> dict[str, float | None]:
        """For JSON."""
        return {name: value if math.isfinite(value) else None for name, value in asdict(self).items()}


def fit(points: Points) -> Line | None:
    """The line through (x, y) of runs; None for fewer than three different x.

    Example:
        >>> line = fit([(2.0, 0.2), (4.0, 0.4), (8.0, 0.8), (16.0, 1.6)])
        >>> round(line.slope, 6), round(line.r_squared, 6), line.rank_correlation
        (0.1, 1.0, 1.0)
    """
    x, y = np.array(points, dtype=float).reshape(-1, 2).T
    places = np.unique(x)
    if len(places) < 3:
        return None
    line = linregress(x, y)
    means = [float(y[x == place].mean()) for place in places]
    errors = []
    for place, mean in zip(places, means, strict=True):
        others = linregress(x[x != place], y[x != place]) if len(places) > 3 else None
        if others is not None and others.slope:
            errors.append(abs((mean - others.intercept) / others.slope - place))
    return Line(float(line.slope), float(line.stderr), float(line.intercept), float(line.intercept_stderr),
               float(line.rvalue**2), float(spearmanr(places, means).statistic),
               float(np.mean(errors)) if errors else math.nan)


def draw(points: Points, line: Line | None, x_label: str, y_label: str) -> str:
    """An SVG: each run a dot, means with deviations, the line with its 95 % band.

    Args:
        points: (x, y) of the runs.
        line: Through them.
        x_label: With its unit.
        y_label: With its unit.
    """
    x, y = np.array(points, dtype=float).reshape(-1, 2).T
    low, high = float(y.min()), float(y.max())
    margin = 0.15 * (high - low) or 0.05
    step = round_step(high - low + 2 * margin)
    low, high = math.floor((low - margin) / step) * step, math.ceil((high + margin) / step) * step
    end = 1.08 * float(x.max())

    def at(u: float, v: float) -> tuple[float, float]:
        return LEFT + (WIDE - LEFT - 20) * u / end, HIGH - BOTTOM - (HIGH - BOTTOM - 20) * (v - low) / (high - low)
    parts = [f'<rect width="{WIDE}" height="{HIGH}" fill="#fff"/>',
             f'<path d="M{LEFT} 20V{HIGH - BOTTOM}H{WIDE - 20}" fill="none" stroke="#626c7c"/>']
    for u in sorted(set(x.tolist())):
        parts.append(f'<text x="{at(u, low)[0]:.1f}" y="{HIGH - BOTTOM + 18}" text-anchor="middle">{u:g}</text>')
    for v in np.arange(low, high + step / 2, step):
        parts.append(f'<text x="{LEFT - 8}" y="{at(0, v)[1] + 4:.1f}" text-anchor="end">{v:.3g}</text>')
    if line is not None:
        us = np.linspace(0, end, 60)
        middle = line.intercept + line.slope * us
        spread = y - line.intercept - line.slope * x
        deviation = math.sqrt(float((spread**2).sum()) / max(len(x) - 2, 1))
        width = float(t.ppf(0.975, max(len(x) - 2, 1))) * deviation * np.sqrt(
            1 / len(x) + (us - x.mean()) ** 2 / ((x - x.mean()) ** 2).sum())
        edge = [at(u, float(np.clip(v, low, high))) for u, v in
                [*zip(us, middle + width, strict=True), *zip(us[::-1], (middle - width)[::-1], strict=True)]]
        inside = [at(u, v) for u, v in zip(us, middle, strict=True) if low <= v <= high]
        parts += [f'<path d="M{"L".join(f"{a:.1f} {b:.1f}" for a, b in edge)}Z" fill="#5a217c" opacity="0.13"/>',
                  f'<path d="M{"L".join(f"{a:.1f} {b:.1f}" for a, b in inside)}" fill="none" stroke="#5a217c" '
                  'stroke-width="2"/>']
    for u in sorted(set(x.tolist())):
        values = y[x == u].tolist()
        mean, std = fmean(values), stdev(values) if len(values) > 1 else 0.0
        (a, b), top, under = at(u, mean), at(u, mean + std)[1], at(u, mean - std)[1]
        parts.append(f'<path d="M{a:.1f} {top:.1f}V{under:.1f}" stroke="#1a2230" stroke-width="1.5"/>')
        parts += [f'<circle cx="{a:.1f}" cy="{at(u, v)[1]:.1f}" r="3" fill="#ef7f45"/>' for v in values]
        parts.append(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="4.5" fill="none" stroke="#1a2230" stroke-width="1.5"/>')
    parts += [f'<text x="{WIDE - 20}" y="{HIGH - 14}" text-anchor="end">{html.escape(x_label)}</text>',
              f'<text x="{LEFT}" y="14">{html.escape(y_label)}</text>']
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {HIGH}" font-family="sans-serif" '
            f'font-size="13" fill="#1a2230">{"".join(parts)}</svg>\n')
