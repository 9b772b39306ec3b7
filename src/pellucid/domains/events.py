"""Collision events: hits read by declared columns, drawn as tracks in space and in the planes of a collider."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pellucid.collisions import fields, views
from pellucid.domains.base import Domain, domains, path_of
from pellucid.domains.given import Given
from pellucid.domains.shown import Shown
from pellucid.errors import PellucidError
from pellucid.report.columns import Column, register_column
from pellucid.report.metric_names import describe_metric
from pellucid.report.plane import plane, tones
from pellucid.report.words import Look, Words

Floats = NDArray[np.float64]

LOOK: Look = {"label": "Track", "switch": "true tracks", "switches": "bonds", "switched": "line"}
"""Bonds are true tracks, which can be hidden."""

register_column("layer", Column("Layer", "The detector surface that measured the hit."))
register_column("p_t", Column("p_T (GeV)", "True transverse momentum at the hit; the model does not see it."))
for _name, _told in {
    "angle": ("Angle to the velocity (°)", "between the long axis of the noise (or the gradient) and the true velocity "
              "in x-y: median over all important {points}", "lower"),
    "angle_mean": ("Angle to the velocity, mean (°)", "the same, averaged", "lower"),
    "angle_assisted": ("Angle to the velocity, assisted mean (°)", "over important {points} that are ranked high: a "
                       "choice that knows the ground truth, as the LRI paper makes one", "lower"),
    "angle_assisted_events": ("Angle to the velocity, assisted, of events (°)", "over important {points} among the "
                              "first 12 and above the largest gap in the ranking: mean of an event, median over "
                              "events, as the release of the LRI paper has it", "lower"),
    "deviation_ratio": ("Ratio of deviations", "short to long axis of the noise in x-y (standard deviations), median "
                        "over all important {points}; 1 is round", ""),
    "eigen_ratio": ("Eigen-ratio", "smaller to larger eigenvalue of the noise's covariance in x-y, the square of the "
                    "ratio of deviations, median over all important {points}; 1 is round", ""),
    "eigen_ratio_events": ("Eigen-ratio, of events", "the same over the {points} of the assisted angle of events: "
                           "mean of an event, median over events", ""),
    "radial.angle": ("Angle of the radius (°)", "what the line from the beam to the {point} gives without any model: "
                     "median", ""),
    "radial.angle_mean": ("Angle of the radius, mean (°)", "the same, averaged", ""),
}.items():
    describe_metric(f"directions.{_name}", *_told)


@domains.register("events")
class Events(Domain):
    """Collision events: points are hits of a detector, read from CSV, parquet, ROOT or pickled tables."""

    words, look = Words("hit", "event"), LOOK
    inputs = "a file or folder of hits together with columns, or a PointClouds"
    parts = ("columns",)

    def make(self, source: Any, *, options: Mapping[str, Any], columns: Any = None, **more: Any) -> Given:
        """See :meth:`Domain.make`.

        Args:
            source: A file or folder of hits.
            options: Where the run was trained on hits, their own columns are in it and need not be given again.
            columns: See :func:`pellucid.collisions.columns.columns`.
            **more: Not used.
        """
        from pellucid.datasets.hits import read_events

        path = path_of(source, self)
        mapping = options.get("columns") if columns is None else columns
        if mapping is None:
            raise PellucidError(f"expected columns for the hits in {path}, got none; say what they mean with --columns "
                                "(columns=): trackml, or a YAML file")
        if columns is None and isinstance(mapping, dict):  # what only training needs may be missing in new files
            mapping = {**mapping, "label": None, "split": None, "important": None}
        return Given(read_events(path, mapping))

    def drawn(self, one: Shown) -> dict[str, Any] | None:
        """The 3D scene with true tracks, and flat views as drawings; see :meth:`Domain.drawn`."""
        pos, group, layer, momentum = one.pos, one.field("group"), one.field("layer"), one.field("momentum")
        if pos is None:
            return None
        pos = pos[:, :one.dim]
        group = np.full(len(pos), -1) if group is None else group
        tracks = track_lines(pos, group)
        columns: dict[str, Floats] = {}
        if layer is not None:
            columns["layer"] = layer.astype(float)
        if momentum is not None:
            columns["p_t"] = np.linalg.norm(momentum[:, :2], axis=1)
        return {"labels": [f"track {g}" if g >= 0 else "–" for g in group.tolist()],
                "bonds": [(a, b, 1.0) for line in tracks for a, b in pairwise(line.tolist())],
                "columns": columns | one.features,
                "views": flat_views(pos, one.unit, one.importance, tracks, one.important, one.directions, layer,
                                    signed=one.explanation.signed)}


def track_lines(pos: Floats, group: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Rows of each true track, from the inside out; tracks of one hit are left out.

    Example:
        >>> [line.tolist() for line in track_lines(np.array([[3.0, 0], [1, 0], [2, 0]]), np.array([0, 0, -1]))]
        [[1, 0]]
    """
    away = np.linalg.norm(pos, axis=1)
    lines = [np.flatnonzero(group == g) for g in np.unique(group[group >= 0])]
    return [line[np.argsort(away[line], kind="stable")] for line in lines if len(line) > 1]


def flat_views(pos: Floats, unit: str, importance: Floats, tracks: list[NDArray[np.int64]],
               truth: NDArray[np.bool_] | None, sigma: Floats | None, layer: NDArray[np.int64] | None, *,
               signed: bool = False) -> dict[str, str]:
    """Flat drawings by caption: x-y and r-z of three coordinates, the plane itself of two.

    Args:
        pos: (n, 2 or 3).
        unit: Of the coordinates; with two and none they are called eta and phi.
        importance: (n,).
        tracks: Rows of each.
        truth: (n,) bool.
        sigma: (n, D, D) covariance of the noise.
        layer: (n,) surfaces.
        signed: Whether importance has a sign.
    """
    colours = tones(importance, signed)
    if pos.shape[1] == 2:
        axes = ("eta", "phi (rad)") if unit == "" else (f"x ({unit})", f"y ({unit})")
        svg, note = plane(pos, axes, colours, tracks, truth, sigma, origin=True)
        return {f"{axes[0]} – {axes[1]}{note}": svg}
    r = np.hypot(pos[:, 0], pos[:, 1])
    side = np.where(pos[:, 1] >= 0, 1.0, -1.0)
    for line in tracks:  # a track stays on one side
        side[line] = side[line[-1]]
    across = np.zeros((len(pos), 2, 3))  # d(z, signed r) / d(x, y, z)
    across[:, 0, 2] = 1
    across[:, 1, :2] = side[:, None] * pos[:, :2] / np.maximum(r, 1e-9)[:, None]
    flat = None if sigma is None else sigma[:, :2, :2]
    along = None if sigma is None else across @ sigma @ across.transpose(0, 2, 1)
    xy, note_xy = plane(pos[:, :2], (f"x ({unit})", f"y ({unit})"), colours, tracks, truth, flat, rings=layer,
                        equal=True, origin=True)
    rz, note_rz = plane(np.stack([pos[:, 2], side * r], 1), (f"z ({unit})", f"r ({unit}), signed as y"), colours,
                        tracks, truth, along, origin=True)
    return {f"x – y{note_xy}": xy, f"r – z{note_rz}": rz}


__all__ = ["Events", "fields", "flat_views", "track_lines", "views"]
