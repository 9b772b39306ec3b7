"""Gradient explainers of Captum on coordinates and input embeddings: saliency, integrated gradients, input x gradient.

Captum thinks in examples of one shape, so a cloud is one example, padded to the largest cloud of the batch. Captum lays
the steps of a path along the examples; the forward function then takes as many copies of the clouds, neighbourhoods and
all, and returns one logit for each. Neighbourhoods stay those of the unchanged cloud.
"""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from pellucid.backbones.kernels import segment_sum
from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError
from pellucid.explainers.base import WHAT, Attribution, Explainer, Need, Predictor, chosen, explainers
from pellucid.explainers.occlusion import points_a_pass
from pellucid.neighbors import Neighbors
from pellucid.randomness import CloudRandom

On = Literal["inputs", "pos", "both"]

_PARTS: dict[On, tuple[Need, ...]] = {"pos": ("pos",), "inputs": ("inputs",), "both": ("pos", "inputs")}
_COLUMNS: dict[Need, str] = {"pos": "coordinates", "inputs": "features"}


class _Padded:
    """Clouds as Captum sees them: one example a cloud, of one shape.

    Coordinates are given from the cloud's centroid, so that where the origin lies does not matter.

    Args:
        predictor: The model.
        clouds: One batch.
        neighbors: Their neighbourhoods, for all passes.
        target: (clouds,) the output that is explained.
        parts: What is explained.
    """

    def __init__(self, predictor: Predictor, clouds: PointClouds, neighbors: Neighbors, target: Tensor,
                 parts: tuple[Need, ...]) -> None:
        self.predictor, self.clouds, self.neighbors, self.target, self.parts = (
            predictor, clouds, neighbors, target, parts)
        self.width = max(1, int(clouds.sizes.max()))  # Captum cannot take examples without an entry
        self.inside = torch.arange(self.width, device=clouds.device) < clouds.sizes[:, None]
        self._copies: tuple[PointClouds, Neighbors] = (clouds, neighbors)

    @functools.cached_property
    def centroid(self) -> Tensor:
        """(points, D) the mean of the point's cloud."""
        return self.mean(self.clouds.pos)

    def mean(self, values: Tensor) -> Tensor:
        """(points, D) -> (points, D) mean over the point's cloud."""
        mean = segment_sum(values, self.clouds.ptr) / self.clouds.sizes.clamp(min=1)[:, None]
        return mean.to(values.dtype)[self.clouds.batch]

    def pad(self, values: Tensor) -> Tensor:
        """(points, D) -> (clouds, width, D), zero where there is no point."""
        padded = values.new_zeros(*self.inside.shape, values.shape[-1])
        padded[self.inside] = values
        return padded

    def given(self) -> tuple[Tensor, ...]:
        """The parts that are explained, as they are in the data, with gradient."""
        with torch.no_grad():
            values = [self.clouds.pos - self.centroid if part == "pos" else self.predictor.inputs(self.clouds)
                      for part in self.parts]
        return tuple(self.pad(value).requires_grad_() for value in values)

    def copies(self, count: int) -> tuple[PointClouds, Neighbors]:
        """All clouds ``count`` times."""
        if len(self._copies[0]) != count * len(self.clouds):  # steps come in few numbers: keep the last
            places = torch.arange(len(self.clouds), device=self.clouds.device).repeat(count)
            self._copies = (self.clouds.select(places),
                            self.neighbors.select(self.clouds.ptr, places, self.clouds.edge_ptr))
        return self._copies

    def logits(self, *padded: Tensor) -> Tensor:
        """Parts of shape (steps * clouds, width, D) -> (steps * clouds,) logits."""
        count = len(padded[0]) // len(self.clouds)
        clouds, neighbors = self.copies(count)
        inside = self.inside.repeat(count, 1)
        values: dict[str, Tensor] = {part: tensor[inside] for part, tensor in zip(self.parts, padded, strict=True)}
        if "pos" in values:
            values["pos"] = values["pos"] + self.centroid.repeat(count, 1)
        return chosen(self.predictor.logits(clouds, neighbors, **values), self.target.repeat(count))


class CaptumExplainer(Explainer):
    """Base of the explainers that Captum computes.

    Args:
        on: ``"pos"`` (coordinates), ``"inputs"`` (the input embeddings of categories and features), or ``"both"``,
            explained together; the columns ``coordinates`` and ``features`` give each part. None for what the model
            has of the two: a graph network sees no coordinates.
    """

    needs = frozenset()  # of the class; which of "pos" and "inputs" an instance needs follows from ``on``
    citation = "Kokhlikyan et al., Captum: A unified and generic model interpretability library for PyTorch, 2020"

    def __init__(self, on: On | None = None) -> None:
        if on is not None and on not in _PARTS:
            raise PellucidError(f"expected on to be one of {', '.join(_PARTS)}, got {on!r}")
        self.on = on

    def refuse(self, predictor: Predictor, clouds: PointClouds) -> None:
        """Raises PellucidError where the model does not allow what ``on`` asks for; see :meth:`Explainer.refuse`."""
        super().refuse(predictor, clouds)
        for need in self.parts(predictor):
            if need not in predictor.can:
                other = [part for part in ("inputs", "pos") if part in predictor.can]
                advice = f"choose another on, on={other[0]!r}" if other else "choose another on"
                raise PellucidError(f"expected {WHAT[need]} for {type(self).__name__}(on={self.on or 'both'!r}), "
                                    f"got a model without; {advice}, or an explainer that does not need it")

    def parts(self, predictor: Predictor) -> tuple[Need, ...]:
        """What is explained of a model."""
        if self.on is not None:
            return _PARTS[self.on]
        return tuple(part for part in _PARTS["both"] if part in predictor.can) or _PARTS["both"]

    @abstractmethod
    def run(self, padded: _Padded, given: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], dict[str, list[Any]]]:
        """Calls Captum.

        Args:
            padded: The batch; ``padded.logits`` is what is explained.
            given: (clouds, width, D) each, with gradient.

        Returns:
            Attributions of the shapes of ``given``, and facts, one a cloud.
        """

    def attribute(self, predictor: Predictor, clouds: PointClouds, neighbors: Neighbors, target: Tensor,
                  random: CloudRandom) -> Attribution:
        """Sums over channels; see :meth:`Explainer.attribute`."""
        padded = _Padded(predictor, clouds, neighbors, target, self.parts(predictor))
        parts, facts = _differentiable(lambda: self.run(padded, padded.given()), self.on or "both")
        columns = {_COLUMNS[name]: part.detach().sum(-1)[padded.inside]
                   for name, part in zip(padded.parts, parts, strict=True)}
        return Attribution(torch.stack(list(columns.values())).sum(0), columns, facts)


def _differentiable(run: Callable[[], tuple[tuple[Tensor, ...], dict[str, list[Any]]]],
                    on: On) -> tuple[tuple[Tensor, ...], dict[str, list[Any]]]:
    try:
        return run()
    except RuntimeError as error:
        if "does not require grad" not in str(error) and "not have been used in the graph" not in str(error):
            raise
        raise PellucidError(f"expected a prediction that depends differentiably on all of on={on!r}, got one that does "
                            "not; choose another on, or an explainer without gradients, e.g. occlusion") from error


@explainers.register("saliency")
class Saliency(CaptumExplainer):
    """Saliency (Captum): sum of the absolute gradients of the logit at a point's coordinates and input channels.

    Importance of v is sum_d |d logit / d x_vd| over its coordinates (logits per unit of ``pos``) and channels (logits
    per unit of the embedding); the two units are added as they are (Simonyan et al. 2014, section 3).
    """

    citation = "Simonyan et al., Deep Inside Convolutional Networks: Visualising Image Classification Models, 2014"
    check = "equal to autograd without Captum and padding, and to finite differences of the logit in float64"
    importance_name = "saliency, sum |d logit / d x|"

    def run(self, padded: _Padded, given: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], dict[str, list[Any]]]:
        """One backward pass; see :meth:`CaptumExplainer.run`."""
        from captum.attr import Saliency as Captum  # here, as it loads matplotlib

        return Captum(padded.logits).attribute(given), {}


@explainers.register("input-x-gradient")
class InputXGradient(CaptumExplainer):
    """Input x gradient (Captum): signed first-order share of a point's coordinates and input channels in the logit.

    Importance of v is sum_d x_vd * d logit / d x_vd, in logits, coordinates counted from the cloud's centroid
    (Shrikumar et al. 2016). What argues against the output is negative.
    """

    citation = "Shrikumar et al., Not Just a Black Box: Learning Important Features Through Propagating Activation " \
               "Differences, 2016"
    check = "equal to autograd without Captum and padding; on a linear model the exact shares of the logit"
    importance_name = "input x gradient, sum x * d logit / d x"
    signed = True

    def run(self, padded: _Padded, given: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], dict[str, list[Any]]]:
        """One backward pass; see :meth:`CaptumExplainer.run`."""
        from captum.attr import InputXGradient as Captum

        return Captum(padded.logits).attribute(given), {}


@explainers.register("integrated-gradients")
class IntegratedGradients(CaptumExplainer):
    """Integrated gradients (Captum): a point's signed share of the difference between the logit and a baseline's.

    Importance of v is sum_d (x_vd - b_vd) * int_0^1 d logit / d x_vd at b + a (x - b) da, in logits, by Gauss-Legendre
    quadrature (Sundararajan et al. 2017, equation 1). The shares sum to F(x) - F(b) where F has no jump on the path;
    ``convergence_delta`` in the provenance is, for each cloud, by how much they do not.

    Args:
        on: See :class:`CaptumExplainer`.
        steps: Points of the quadrature.
        pos_baseline: ``"centroid"`` (all points at the cloud's centroid) or ``"zero"`` (at the origin).
        inputs_baseline: ``"zero"`` (embedding zero) or ``"mean"`` (of the cloud's points).
    """

    citation = "Sundararajan et al., Axiomatic Attribution for Deep Networks, ICML 2017"
    check = "the closed form on a quadratic model; completeness on a smooth one as steps grow"
    importance_name = "integrated gradients, share of logit - logit(baseline)"
    signed = True

    def __init__(self, on: On | None = None, *, steps: int = 50, pos_baseline: Literal["centroid", "zero"] = "centroid",
                 inputs_baseline: Literal["zero", "mean"] = "zero") -> None:
        super().__init__(on)
        if steps < 1:
            raise PellucidError(f"expected at least 1 step, got {steps}")
        if pos_baseline not in ("centroid", "zero"):
            raise PellucidError(f"expected a baseline of coordinates out of centroid, zero, got {pos_baseline!r}")
        if inputs_baseline not in ("zero", "mean"):
            raise PellucidError(f"expected a baseline of inputs out of zero, mean, got {inputs_baseline!r}")
        self.steps, self.pos_baseline, self.inputs_baseline = steps, pos_baseline, inputs_baseline

    def run(self, padded: _Padded, given: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], dict[str, list[Any]]]:
        """``steps`` backward passes, several at once where the batch is small; see :meth:`CaptumExplainer.run`."""
        from captum.attr import IntegratedGradients as Captum

        baselines = tuple(self.baseline(padded, part, value.detach())
                          for part, value in zip(padded.parts, given, strict=True))
        together = max(1, points_a_pass(padded.clouds) // max(1, padded.clouds.points)) * len(padded.clouds)
        parts, delta = Captum(padded.logits).attribute(given, baselines, n_steps=self.steps,
                                                       internal_batch_size=together, return_convergence_delta=True)
        return parts, {"convergence_delta": delta.tolist()}

    def baseline(self, padded: _Padded, part: Need, value: Tensor) -> Tensor:
        """(clouds, width, D) where the path to ``value`` starts."""
        if part == "pos" and self.pos_baseline == "zero":
            return padded.pad(-padded.centroid)
        if part == "inputs" and self.inputs_baseline == "mean":
            return padded.pad(padded.mean(value[padded.inside]))
        return torch.zeros_like(value)
