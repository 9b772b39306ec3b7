"""Statistics of a collision dataset beside the paper's, and plots of its physics.

    python scripts/collision_statistics.py actstrack [--field 2] [--out FOLDER] [--json]
    python scripts/collision_statistics.py tau3mu

The published numbers are those of Table 1 of the LRI paper. Plots go to FOLDER/NAME.svg.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from pellucid.clouds import PointClouds
from pellucid.collisions.kinematics import invariant_mass, pseudorapidity, transverse
from pellucid.commands.settings_text import parse_settings
from pellucid.datasets import load_dataset

PAPER = {"actstrack": {"samples": 3241, "hits a sample": 109.1, "important hits in a positive": 22.8,
                       "positive share": 0.39},
         "tau3mu": {"samples": 129687, "hits a sample": 16.9, "important hits in a positive": 5.5,
                    "positive share": 0.24}}
MUON_MASS = 0.1056584
INK, SIGNAL, REST = "#333", "#c2410c", "#94a3b8"


def statistics(clouds: PointClouds) -> dict[str, float]:
    positive = clouds["y"][:, 0] == 1
    important = clouds["important"]
    return {"samples": len(clouds), "hits a sample": clouds.points / len(clouds),
            "important hits in a positive": float(important.sum() / positive.sum()),
            "positive share": float(positive.double().mean())}


def tracks(clouds: PointClouds) -> dict[str, np.ndarray]:
    """Of each track: momentum at its first hit, number of hits, whether it is important, and its cloud."""
    group = clouds["group"].numpy()
    real = group >= 0
    key = clouds.batch.numpy().astype(np.int64) * (group.max() + 2) + group
    far = np.abs(clouds["layer"].numpy()) if clouds.pos.shape[1] == 2 else np.linalg.norm(clouds.pos.numpy(), axis=1)
    order = np.lexsort((far, key))
    order = order[real[order]]
    first = order[np.unique(key[order], return_index=True)[1]]
    return {"momentum": clouds["momentum"].numpy()[first].astype(np.float64),
            "hits": np.unique(key[real], return_counts=True)[1], "important": clouds["important"].numpy()[first],
            "cloud": clouds.batch.numpy()[first]}


def masses(of: dict[str, np.ndarray], count: int) -> np.ndarray:
    """Invariant mass of the important tracks of each cloud that has ``count`` of them, taken as muons."""
    p, cloud = of["momentum"][of["important"]], of["cloud"][of["important"]]
    whole = np.flatnonzero(np.bincount(cloud) == count)
    rows = np.flatnonzero(np.isin(cloud, whole))
    rows = rows[np.argsort(cloud[rows], kind="stable")].reshape(-1, count)
    return invariant_mass(p[rows], np.full(rows.shape, MUON_MASS))


class Sheet:
    """Panels of an SVG in a row of three."""

    def __init__(self, count: int) -> None:
        self.parts: list[str] = []
        self.rows = -(-count // 3)
        self.panels = 0

    def panel(self, title: str, x_label: str, x: tuple[float, float], y: tuple[float, float], y_label: str = "",
              log: bool = False):
        left, top = 60 + 330 * (self.panels % 3), 40 + 300 * (self.panels // 3)
        self.panels += 1
        scale = np.log10 if log else np.asarray
        a, b = float(scale(x[0])), float(scale(x[1]))

        def place(u, v):
            return left + 250 * (scale(u) - a) / (b - a), top + 210 * (1 - (np.asarray(v) - y[0]) / (y[1] - y[0]))
        self.parts.append(f'<rect x="{left}" y="{top}" width="250" height="210" fill="none" stroke="#ccc"/>'
                          f'<text x="{left}" y="{top - 8}" font-weight="600">{title}</text>'
                          f'<text x="{left + 250}" y="{top + 240}" text-anchor="end">{x_label}</text>')
        if y_label:
            self.parts.append(f'<text x="{left}" y="{top - 22}" fill="#666">{y_label}</text>')
        ticks = 10.0 ** np.arange(np.ceil(a), np.floor(b) + 1) if log else np.linspace(x[0], x[1], 5)
        for t in ticks:
            u, _ = place(t, y[0])
            self.parts.append(f'<text x="{u:.0f}" y="{top + 226}" text-anchor="middle" fill="#666">{t:g}</text>')
        for t in (y[0], y[1]):
            _, v = place(x[0], t)
            self.parts.append(f'<text x="{left - 6}" y="{v + 4:.0f}" text-anchor="end" fill="#666">{t:.3g}</text>')
        return place

    def histogram(self, title: str, label: str, values: dict[str, np.ndarray], edges: np.ndarray, log: bool = False
                  ) -> None:
        heights = {name: np.histogram(v, edges)[0] / max(len(v), 1) for name, v in values.items()}
        place = self.panel(title, label, (edges[0], edges[-1]), (0, 1.1 * max(h.max() for h in heights.values())),
                           "share of tracks" if "track" in title.lower() or "muon" in title.lower() else "share", log)
        left, bottom = place(edges[0], 0)
        for n, (name, h) in enumerate(heights.items()):
            colour = (SIGNAL, REST)[n % 2]
            u, v = place(np.repeat(edges, 2)[1:-1], np.repeat(h, 2))
            points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(u, v, strict=True))
            self.parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.6"/>'
                              f'<text x="{left + 244:.0f}" y="{bottom - 190 + 16 * n:.0f}" text-anchor="end" '
                              f'fill="{colour}">{name}</text>')

    def event(self, title: str, labels: tuple[str, str], points: np.ndarray, group: np.ndarray, important: np.ndarray,
              order: np.ndarray, reach: tuple[tuple[float, float], tuple[float, float]]) -> None:
        place = self.panel(title, labels[0], *reach, y_label=labels[1])
        for t in np.unique(group[group >= 0]):
            mine = np.flatnonzero(group == t)
            mine = mine[np.argsort(order[mine])]
            u, v = place(points[mine, 0], points[mine, 1])
            line = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(u, v, strict=True))
            colour = SIGNAL if important[mine].any() else REST
            self.parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="0.8"/>')
        u, v = place(points[:, 0], points[:, 1])
        self.parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2.4" fill="{SIGNAL if i else REST}"/>'
                       for a, b, i in zip(u, v, important, strict=True)]

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        height = 40 + 300 * self.rows
        path.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1010 {height}" font-family="sans-serif" '
                        f'font-size="11" fill="{INK}"><rect width="1010" height="{height}" fill="white"/>'
                        f'{"".join(self.parts)}</svg>\n')


def plot(name: str, clouds: PointClouds, path: Path) -> None:
    of = tracks(clouds)
    important = of["important"]
    sheet = Sheet(6)

    def split(values: np.ndarray) -> dict[str, np.ndarray]:
        return {"signal": values[important], "others": values[~important]}
    sheet.histogram("Transverse momentum of tracks", "p_T (GeV)", split(transverse(of["momentum"])),
                    np.geomspace(0.3, 150, 40), log=True)
    sheet.histogram("Pseudorapidity of tracks", "eta", split(pseudorapidity(of["momentum"])), np.linspace(-4, 4, 41))
    count, low, high = (2, 84, 98) if name == "actstrack" else (3, 0, 4)
    sheet.histogram("Invariant mass of the signal muons", "GeV", {"positive samples": masses(of, count)},
                    np.linspace(low, high, 57))
    most = int(np.quantile(of["hits"], 0.999)) + 1
    sheet.histogram("Hits a track", "hits", split(of["hits"]), np.arange(0.5, most + 1))
    positive = (clouds["y"][:, 0] == 1).nonzero()[:2, 0].tolist()
    pos, batch = clouds.pos.numpy(), clouds.batch.numpy()
    for cloud in positive[:2]:
        mine = batch == cloud
        group, truth = clouds["group"].numpy()[mine], clouds["important"].numpy()[mine]
        if pos.shape[1] == 3:
            flat = pos[mine][:, :2] if cloud == positive[0] else np.stack(
                [pos[mine][:, 2], np.hypot(*pos[mine][:, :2].T)], 1)
            labels, reach = ((("x (mm)", "y (mm)"), ((-1050, 1050), (-1050, 1050))) if cloud == positive[0] else
                             (("z (mm)", "r (mm)"), ((-3000, 3000), (0, 1050))))
        else:
            flat, labels, reach = pos[mine], ("eta", "phi"), ((0, 3), (-3.15, 3.15))
        sheet.event("A positive sample", labels, flat, group, truth, np.linalg.norm(pos[mine], axis=1), reach)
    sheet.save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=sorted(PAPER))
    parser.add_argument("--set", action="append", default=[], metavar="OPTION=VALUE", help="option of the dataset")
    parser.add_argument("--out", type=Path, help="folder for the plots")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    made = load_dataset(args.name, progress=sys.stderr.isatty(), **parse_settings(args.set))
    ours = statistics(made.clouds)
    if args.out is not None:
        plot(args.name, made.clouds, args.out / f"{args.name}.svg")
    if args.json:
        print(json.dumps({"ours": ours, "paper": PAPER[args.name], "counts": made.provenance["counts"]}, indent=1))
        return
    print(f"| {args.name} | paper (Table 1) | here |\n|---|---:|---:|")
    for name, value in PAPER[args.name].items():
        print(f"| {name} | {value:g} | {ours[name]:.6g} |")


if __name__ == "__main__":
    main()
