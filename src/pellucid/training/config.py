"""The configuration of a run: everything that decides its result, validated before any work starts."""

from __future__ import annotations

import difflib
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from pellucid.errors import PellucidError
from pellucid.methods.readout import CloudReadoutKind
from pellucid.views import views


def _known_view(name: str) -> str:
    views[name]  # refuses an unknown one with the near misses
    return name


ViewName = Annotated[str, AfterValidator(_known_view)]
Option = bool | int | float | str


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RuleConfig(_Strict):
    """How neighbourhoods are made; see :class:`pellucid.methods.NeighborRule`."""

    kind: Literal["knn", "radius", "edges"] = "knn"
    value: float = Field(5, gt=0)
    loop: bool = True
    view: ViewName = "plain"
    undirected: bool = True
    """Whether given edges (``kind: edges``) are heard in both directions."""


class BackboneConfig(_Strict):
    """The encoder."""

    name: str = "egnn"
    hidden: int = Field(64, ge=1)
    layers: int = Field(4, ge=1)
    dropout: float = Field(0.2, ge=0, lt=1)
    length_scale: float | Literal["neighbors"] = 1.0
    """Scaled lengths are divided by it; ``"neighbors"`` = the mean distance between neighbours of the training set."""
    view: ViewName = "plain"
    """As what coordinates are seen; see :func:`pellucid.views.seen`."""
    coordinates: bool = False
    """Whether coordinates are features of the points too."""
    edge_directions: bool = False
    """Whether EGNN sees directions to neighbours besides distances."""
    read_all: bool = False
    """Whether what every layer knows is read, and not the last one alone."""
    nested: float = Field(0.0, ge=0, le=1)
    """With ``read_all``, the share of samples that are read to a random depth alone in training, so that what can be
    known without neighbours, or near ones, is read there; see :class:`pellucid.backbones.base.Backbone`."""
    options: dict[str, Option] = Field(default_factory=dict)
    """The backbone's own options, e.g. the number of radial functions."""


class EncoderConfig(_Strict):
    """An encoder that comes out of another run, e.g. of a pretraining."""

    source: str = Field(alias="from")
    """The run's folder."""
    freeze: bool = False
    """Whether it stays as it is; only readout and interpreter are trained then."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, serialize_by_alias=True)


class ObjectiveConfig(_Strict):
    """What training minimises; see ``pellucid list objectives``."""

    name: str = "supervised"
    options: dict[str, Option] = Field(default_factory=dict)


class MethodConfig(_Strict):
    """The method and its own options (alpha, beta, graph_reconstruction, ...)."""

    name: str = "lri-gaussian"
    scale: float = Field(1.0, gt=0)
    """The constant c that multiplies coordinates."""
    dropout: float = Field(0.2, ge=0, lt=1)
    rule: RuleConfig = RuleConfig()
    reconstruct: RuleConfig | None = None
    """Neighbourhoods of perturbed points, where the method rebuilds them; None = the same rule."""
    partner_rule: RuleConfig | None = None
    """Neighbourhoods of second clouds (ligands), where samples have any; None = the same rule."""
    readout: CloudReadoutKind = "pooled"
    """How points become a prediction; see :class:`pellucid.methods.readout.Readout`."""
    options: dict[str, Option] = Field(default_factory=dict)


class TrainingConfig(_Strict):
    """The schedule."""

    warmup: int = Field(0, ge=0)
    """Epochs that train the classifier alone."""
    epochs: int = Field(20, ge=1)
    """Epochs after warm-up; all of them for a method without interpreter."""
    batch_size: int = Field(128, ge=2)
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(1e-5, ge=0)
    schedule: Literal["constant", "one-cycle"] = "constant"
    """``one-cycle`` rises to ``learning_rate`` and falls to almost zero over all epochs."""
    reestimate: int = Field(20, ge=0)
    """Batches over which batch-norm statistics are re-estimated before each evaluation; 0 = running statistics."""
    freeze_classifier: bool = False
    """Whether only the interpreter trains after warm-up, to the last epoch, and each part has a learning-rate cycle
    (needs an encoder of its own: ``shared: false``)."""
    retries: int = Field(0, ge=0)
    """How often at most the interpreter is drawn anew, and the classifier taken back to the warm-up's best, after the
    first epoch in which it learned: where its importance contradicts removal on validation samples (no truth is asked).
    Which way a mask turns is settled in that epoch. Each time costs an epoch, and a quarter of them is the most;
    without a warm-up there is no classifier to go back to, and nothing is drawn anew."""
    settle: float = Field(0.0, ge=0, lt=1)
    """Share of the epochs after warm-up, from the first, that are not chosen from: the interpreter has hardly learned
    then, and on a small validation split one of them may predict best by chance."""
    select_by: Literal["score", "loss"] = "score"
    """Which number of the validation split decides which epoch is kept: the score (ROC AUC, R2, ...; of equal ones that
    with the smaller loss), or the loss, which tells epochs apart where nearly all samples are ranked rightly."""
    rotate: bool = False
    """Whether each cloud is turned at random in every training step (for data whose orientation means nothing)."""
    swap_partner: float = Field(0.0, ge=0, lt=1)
    """Share of the samples of two clouds that get the second cloud of another sample in a training step, as negatives
    (paper, appendix B: 0.1 on PLBind); never of a sample of the same ``cluster``, where the clouds say."""
    jitter: float = Field(0.0, ge=0)
    """Standard deviation of normal noise on all coordinates in every training step, in their unit."""
    threads: int = Field(0, ge=0)
    """Threads of PyTorch on the CPU while a run is made; 0 leaves them as they are. Where a step is short, a second
    thread gains little, and costs many times that as soon as another program wants its core."""
    precision: Literal["32", "bf16"] = "32"
    """``bf16``: linear layers under bfloat16 autocast; geometry, sums and batch norm stay in float32."""


class RunConfig(_Strict):
    """All that decides a run's result.

    Example:
        >>> RunConfig.parse({"seed": 1, "backbone": {"name": "dgcnn"}}).backbone.hidden
        64
    """

    dataset: str = ""
    dataset_options: dict[str, Any] = Field(default_factory=dict)
    backbone: BackboneConfig = BackboneConfig()
    method: MethodConfig = MethodConfig()
    training: TrainingConfig = TrainingConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    encoder: EncoderConfig | None = None
    seed: int = Field(0, ge=0)
    preset: str = "custom"

    @classmethod
    def parse(cls, content: Any) -> Self:
        """Validates a plain dictionary.

        Raises:
            PellucidError: one sentence that names the first wrong entry.
        """
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(p) for p in first["loc"])
            hint = ""
            if first["type"] == "extra_forbidden":
                near = difflib.get_close_matches(str(first["loc"][-1]), _all_names(cls), n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
            raise PellucidError(f"expected a valid run configuration, got {first.get('input')!r} in {place!r} "
                                f"({first['msg']}){hint}") from None

    @property
    def total_epochs(self) -> int:
        """Warm-up and joint epochs."""
        return self.training.warmup + self.training.epochs


def _all_names(model: type[BaseModel]) -> list[str]:
    names: list[str] = []
    for name, info in model.model_fields.items():
        names.append(name)
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            names += _all_names(info.annotation)
    return names


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """``over`` laid on ``base``, dictionary by dictionary.

    Example:
        >>> merge({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}})
        {'a': {'b': 1, 'c': 3}}
    """
    result = dict(base)
    for key, value in over.items():
        old = result.get(key)
        result[key] = merge(old, value) if isinstance(value, dict) and isinstance(old, dict) else value
    return result
