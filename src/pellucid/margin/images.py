"""Which pixels an image's prediction rests on, by masking superpixels of many sizes (MARGIN paper, section 5.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from pellucid.errors import PellucidError
from pellucid.margin.base import CITATION
from pellucid.margin.filters import influence, shift
from pellucid.margin.graph import Graph, knn_graph
from pellucid.margin.image_explanation import ImageExplanation
from pellucid.margin.superpixels import Fill, Masker, as_image, superpixels
from pellucid.progress import waiting

Classifier = Callable[[NDArray[Any]], Any]
"""(images, height, width, channels) in, of the type and range of the image; (images, classes) probabilities out."""
Variant = Literal["overlap", "sparse", "paper"]
VARIANTS: tuple[Variant, ...] = ("overlap", "sparse", "paper")
SIZES = (50, 100, 150, 200, 250, 300)
"""Superpixels of each run in the paper."""


class ImageExplainer(BaseEstimator):  # type: ignore[misc]
    """Maps which pixels a class probability of an image rests on, of any model that can be called.

    The superpixels of all sizes are nodes. Each is masked alone, and p(I) - p(I_m) is what that takes from the
    probability. A pixel's value is the mean over the superpixels m that hold it, weighted by 1 / size (section 5.2);
    the map is S * I, pixel by pixel.

    - ``overlap`` (ours): S is the drop max(p(I) - p(I_m), 0). Superpixels that share pixels are neighbours, weighted by
      how many they share; I is the mean drop over the neighbours (a low-pass filter): what counts is what counts at
      every size.
    - ``sparse`` (ours): S is the drop; neighbours are the superpixels with the most similar drops, as in the paper;
      with f = size / largest size, I = max(A f - f, 0): smaller than others that matter as much.
    - ``paper``: S = |p(I) - p(I_m)|; neighbours are those with the most similar S, which is the distance |e_mn| of the
      paper; I = (f - A f)^2, Algorithm 1. It takes a rise of the probability for importance, and a large superpixel for
      influential as well as a small one.

    Args:
        model: Any callable: a batch (images, height, width, channels), of the type and range of the image, in;
            (images, classes) probabilities out, as array or tensor.
        sizes: About how many superpixels, one run of SLIC each; one call of the model for each superpixel.
        variant: See above.
        fill: What masked pixels show; see :class:`pellucid.margin.superpixels.Masker`.
        n_neighbors: k of the graph of ``sparse`` and ``paper``, less than the number of superpixels.
        compactness: Of superpixels; the larger, the squarer.
        batch_size: Images that the model is given at a time.
        verbose: Whether to show a bar.

    Attributes:
        segments_: A (height, width) array of superpixel numbers for each size.
        size_: (superpixels,) pixels of each, of all sizes one after another.
        probability_: (classes,) for the image.
        masked_: (superpixels, classes) with each superpixel masked.
        calls_: Images that the model was asked about; superpixels that are the same at two sizes are asked about once.

    Example:
        >>> from sklearn.datasets import load_digits
        >>> from sklearn.linear_model import LogisticRegression
        >>> X, y = load_digits(return_X_y=True)
        >>> digits = LogisticRegression(max_iter=3000).fit(X[:1000], y[:1000])
        >>> explainer = ImageExplainer(lambda batch: digits.predict_proba(batch.reshape(len(batch), -1)), (8, 16, 32))
        >>> seen = explainer.fit(X[1005].reshape(8, 8)).explain()
        >>> seen.target, seen.map.shape, seen.calls
        (6, (8, 8), 81)
        >>> other = explainer.explain(3)  # why 3, or why not: no more calls
    """

    citation: ClassVar[str] = CITATION

    def __init__(self, model: Classifier, sizes: Sequence[int] = SIZES, *, variant: Variant = "overlap",
                 fill: Fill = "blur", n_neighbors: int = 20, compactness: float = 10.0, batch_size: int = 4,
                 verbose: bool = False) -> None:
        self.model = model
        self.sizes = sizes
        self.variant = variant
        self.fill = fill
        self.n_neighbors = n_neighbors
        self.compactness = compactness
        self.batch_size = batch_size
        self.verbose = verbose

    def fit(self, image: ArrayLike, y: None = None) -> Self:
        """Finds the superpixels and asks the model about the image without each of them.

        Args:
            image: (height, width, 1 or 3) or (height, width), of any type and range that the model takes.
            y: Not used.

        Raises:
            PellucidError: for an image, parameters or a model that cannot be used.
            MissingPackageError: without scikit-image.
        """
        x = as_image(image)
        self._check(x)
        masker = Masker(x, self.fill)
        self.segments_ = tuple(superpixels(x, int(n), compactness=self.compactness) for n in self.sizes)
        self.size_ = np.concatenate([np.bincount(part.ravel()) for part in self.segments_])
        masks: dict[bytes, int] = {}
        place = [masks.setdefault(np.packbits(part == m).tobytes(), len(masks))
                 for part in self.segments_ for m in range(int(part.max()) + 1)]
        self.probability_ = self._ask(x[None])[0]
        answers = []
        with waiting("Masking superpixels", self.verbose) as progress:
            different = list(masks)
            for first in range(0, len(different), self.batch_size):
                where = [np.unpackbits(np.frombuffer(bits, np.uint8), count=x[..., 0].size).astype(bool)
                         for bits in different[first:first + self.batch_size]]
                copies = [masker.copy(mask.reshape(x.shape[:2])) for mask in where]
                answers.append(self._ask(np.stack(copies), len(self.probability_)))
                progress(first, len(masks))
        self.masked_ = np.concatenate(answers)[place]
        self.calls_ = 1 + len(masks)
        self.image_ = x
        return self

    def explain(self, target: int | None = None) -> ImageExplanation:
        """Which pixels the probability of a class rests on; without another call of the model.

        Args:
            target: Number of the class; None: the one that the model predicts.

        Raises:
            PellucidError: for a class that the model does not have, or parameters that cannot be used.
        """
        check_is_fitted(self, "masked_")
        if self.variant not in VARIANTS:
            raise PellucidError(f"expected a variant out of {', '.join(VARIANTS)}, got {self.variant!r}")
        classes = len(self.probability_)
        t = int(self.probability_.argmax()) if target is None else target
        if isinstance(t, bool) or not isinstance(t, int | np.integer) or not 0 <= t < classes:
            raise PellucidError(f"expected a target from 0 to {classes - 1}, got {target!r}; give the number of a "
                                "class, or None for the predicted one")
        change = self.probability_[t] - self.masked_[:, t]
        s = np.abs(change) if self.variant == "paper" else np.maximum(change, 0)
        saliency, weight = self._pixels(s), self._pixels(self._influence(s))
        product = saliency * weight
        return ImageExplanation(self.image_, int(t), float(self.probability_[t]), saliency, weight,
                                product / (product.max() or 1.0), self.segments_, change, self.calls_)

    def _influence(self, s: NDArray[np.float64]) -> NDArray[np.float64]:
        """(superpixels,) I."""
        if self.variant == "overlap":
            return shift(_overlaps(self.segments_), s[:, None])[:, 0]
        graph = knn_graph(s[:, None], self.n_neighbors)
        f = self.size_ / self.size_.max()
        return (influence(graph, f) if self.variant == "paper" else np.maximum(-influence(graph, f, mode="signed"), 0))

    def _pixels(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(height, width) mean over the superpixels that hold a pixel, weighted by 1 / size."""
        total, weights, first = np.zeros(self.image_.shape[:2]), np.zeros(self.image_.shape[:2]), 0
        for part in self.segments_:
            nodes = part + first
            total += (values / self.size_)[nodes]
            weights += 1 / self.size_[nodes]
            first += int(part.max()) + 1
        return total / weights

    def _ask(self, batch: NDArray[Any], classes: int | None = None) -> NDArray[np.float64]:
        """(images, classes) what the model says, checked."""
        said = self.model(batch)
        p = np.asarray(said.detach().cpu() if hasattr(said, "detach") else said)
        if p.ndim != 2 or len(p) != len(batch) or p.shape[1] < 1 or p.shape[1] != (classes or p.shape[1]):
            raise PellucidError(f"expected a model that gives ({len(batch)}, {classes or 'classes'}) probabilities for "
                                f"{len(batch)} images, got shape {p.shape}; wrap it in a function that does")
        if p.dtype.kind not in "fiu" or not np.isfinite(p).all() or p.min() < -1e-6 or p.max() > 1 + 1e-6:
            raise PellucidError("expected a model that gives probabilities in [0, 1], got others; put a softmax or a "
                                "sigmoid after it")
        return p.astype(np.float64)

    def _check(self, image: NDArray[Any]) -> None:
        if not callable(self.model):
            raise PellucidError(f"expected a model that can be called with a batch of images, got "
                                f"{type(self.model).__name__}; give a function")
        pixels = image.shape[0] * image.shape[1]
        sizes = np.asarray(self.sizes)
        if sizes.ndim != 1 or not len(sizes) or sizes.dtype.kind not in "iu" or sizes.min() < 2 or sizes.max() > pixels:
            raise PellucidError(f"expected sizes as whole numbers from 2 to the {pixels} pixels of the image, got "
                                f"{self.sizes!r}; e.g. (50, 100, 150)")
        if isinstance(self.batch_size, bool) or not isinstance(self.batch_size, int) or self.batch_size < 1:
            raise PellucidError(f"expected batch_size as a whole number of images, got {self.batch_size!r}")
        if not (np.isfinite(self.compactness) and self.compactness > 0):
            raise PellucidError(f"expected a positive compactness, got {self.compactness}")


def explain_image(model: Classifier, image: ArrayLike, target: int | None = None, **settings: Any) -> ImageExplanation:
    """Which pixels of an image a class probability rests on; see :class:`ImageExplainer`.

    Args:
        model: (images, height, width, channels) in, (images, classes) probabilities out.
        image: (height, width, 1 or 3) or (height, width).
        target: Number of the class; None: the one that the model predicts.
        settings: Of :class:`ImageExplainer`.

    Raises:
        PellucidError: for an image, a model, a target or settings that cannot be used.

    Example:
        >>> image = np.zeros((16, 16)); image[2:6, 2:6] = 1  # the model looks at this corner alone
        >>> def model(batch):
        ...     seen = batch[:, 2:6, 2:6, 0].mean((1, 2))
        ...     return np.stack([seen, 1 - seen], 1)
        >>> found = explain_image(model, image, 0, sizes=(16, 32), fill="mean")
        >>> round(float(found.map[2:6, 2:6].sum() / found.map.sum()), 3)
        1.0
    """
    return ImageExplainer(model, **settings).fit(image).explain(target)


def _overlaps(segments: tuple[NDArray[np.int64], ...]) -> Graph:
    """Superpixels of all sizes, linked by the number of pixels that they share; each with itself by its size."""
    pixels = segments[0].size
    member = sp.vstack([sp.csr_array((np.ones(pixels), (part.ravel(), np.arange(pixels))),
                                     shape=(int(part.max()) + 1, pixels)) for part in segments])
    return Graph(sp.csr_array(member @ member.T), {"graph": "overlap", "symmetry": "union"})
