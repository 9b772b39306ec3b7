"""The Python API: load a dataset, fit a model that explains itself, explain what it never saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pellucid.commands.data import data_of, grouped
from pellucid.commands.explaining import Asked, ExplainedRun, explain_with, outside_of, prepare, subgraph_of
from pellucid.domains.base import domain_of
from pellucid.errors import PellucidError
from pellucid.explanation import Explanation
from pellucid.files import json_ready
from pellucid.progress import waiting
from pellucid.training.config import merge
from pellucid.training.devices import pick_device
from pellucid.training.model import load_model, refuse_untaught

if TYPE_CHECKING:
    from pellucid.commands.prediction_files import Summary
    from pellucid.datasets.base import PreparedDataset
    from pellucid.predictions import Predictions
    from pellucid.training.fit import Run


def fit(dataset: str | PreparedDataset, *, out: str | Path, backbone: str = "egnn",
        method: str = "lri-gaussian", preset: str = "fast", epochs: int | None = None, seed: int = 0,
        device: str = "auto", progress: bool = False, overwrite: bool = False, report: bool = True,
        dataset_options: dict[str, Any] | None = None, over: dict[str, Any] | None = None) -> Run:
    """Trains a model that explains itself and writes a run folder.

    LRI minimises CE(f(perturbed cloud), y) + beta * mean_v KL(noise_v || prior) (Miao et al. 2023, eq. 1 and 2): what
    needs little noise was important.

    Args:
        dataset: A name (see ``pellucid list datasets``) or what :func:`load_dataset` returned.
        out: The run folder: new, or that of an interrupted run, which then goes on.
        backbone: See ``pellucid list backbones``.
        method: See ``pellucid list methods``.
        preset: Settings of the dataset: ``"fast"`` or ``"paper"``.
        epochs: All epochs; warm-up keeps its share of the preset's.
        seed: Decides every random number; the same seed gives the same run on one machine.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
        progress: Whether to show a bar on stderr.
        overwrite: Whether a run in ``out`` may be replaced.
        report: Whether to write ``report.html``.
        dataset_options: Options of the dataset's recipe, where ``dataset`` is a name.
        over: Entries of :class:`pellucid.training.RunConfig` laid over the preset, e.g.
            ``{"method": {"options": {"graph_reconstruction": False}}, "training": {"learning_rate": 1e-3}}``.

    Returns:
        The finished run: model, metrics, explanation of the test split, folder.

    Raises:
        PellucidError: for unknown names or unfit settings, before any work starts; for a folder in use; for training
            that diverged.

    Example:
        >>> import pellucid
        >>> run = pellucid.fit("synmol", out="runs/egnn", epochs=20)  # doctest: +SKIP
        >>> run.metrics["interpretation"]["roc_auc"]  # doctest: +SKIP
        0.98
    """
    from pellucid.commands.reporting import report_run
    from pellucid.datasets.base import load_dataset
    from pellucid.training.fit import train
    from pellucid.training.presets import settings

    name = dataset if isinstance(dataset, str) else dataset.recipe.name
    config = settings(name, method, backbone, preset, merge({"seed": seed}, over or {}))
    if epochs is not None:
        if epochs < 1:
            raise PellucidError(f"expected at least 1 epoch, got {epochs}")
        warmup = min(epochs - 1, round(epochs * config.training.warmup / config.total_epochs))
        changed = merge(config.model_dump(), {"training": {"warmup": warmup, "epochs": epochs - warmup}})
        config = type(config).parse(changed)
    prepared = load_dataset(name, progress=progress, **(dataset_options or {})) if isinstance(dataset, str) else dataset
    recipe = prepared.recipe
    config = config.model_copy(update={"dataset_options": prepared.provenance.get("key", {})})
    spec = recipe.spec(prepared.clouds)
    run = train(config, grouped(prepared.clouds, spec.domain, config), Path(out), spec, device=device,
                data_provenance={**prepared.provenance, "path": str(prepared.path)}, progress=progress,
                overwrite=overwrite)
    if report:
        report_run(run)
    return run


def evaluate(run: str | Path, dataset: PreparedDataset | None = None, *, split: str = "test",
             target: str | None = None, device: str = "auto", seed: int | None = None) -> dict[str, Any]:
    """Measures a finished run again.

    Args:
        run: The run folder.
        dataset: What to measure on; None for the dataset that the run was trained on.
        split: ``"train"``, ``"val"`` or ``"test"``.
        target: The output that interpretation and fidelity are of, e.g. ``"logS"`` or ``"colour=red"``; None for the
            first target.
        device: Where to compute.
        seed: Of the random baselines; None for the run's own.

    Returns:
        Metrics, nested as in ``metrics.json``.

    Raises:
        PellucidError: if the folder is not a finished run, its dataset is gone, or the data do not fit the model.
    """
    from pellucid.training.evaluation import evaluate_model

    where = pick_device(device)
    model, config, spec = load_model(Path(run), where)
    refuse_untaught(Path(run), config)
    clouds = data_of(Path(run)) if dataset is None else grouped(dataset.clouds, spec.domain, config)
    chosen = clouds.split(split)
    model.refuse(chosen)
    metrics, _ = evaluate_model(model, chosen.to(where), target=target, precision_at_m=spec.precision_at,
                                seed=config.seed if seed is None else seed)
    return dict(json_ready(metrics))


def explain(run: str | Path, samples: Any, *, out: str | Path | None = None, method: str | None = None,
            options: Mapping[str, Any] | None = None, with_runs: Sequence[str | Path] = (), draws: int = 1,
            target: str | None = None, point: int | None = None, prediction_draws: int = 0,
            subgraph: str | None = None, dataset: PreparedDataset | None = None, device: str = "auto", seed: int = 0,
            progress: bool = False, **parts: Any) -> Explanation:
    """Explains samples that the model never saw, e.g. molecules, events or complexes.

    Args:
        run: The run folder; with ``method``, of any method, otherwise of one that explains.
        samples: A :class:`~pellucid.clouds.PointClouds`, the file of one, or what the domain of the run's data reads
            (``docs/domains.md``): e.g. a SMILES or a ``.smi``, ``.csv`` or ``.sdf`` file of molecules, a file of hits
            with ``columns``, a protein's structure with ``ligand``, a list of PyG's ``Data``, a file
            as the dataset's own.
        out: Folder for ``explanation.parquet`` and ``report.html``, and for what else the domain writes, e.g. a
            structure with importance as its B-factors; None writes nothing.
        method: A post-hoc explainer (see ``pellucid list explainers``); None for the importance that the run learned.
            One that learns is fitted on the training split of the run first.
        options: Of the explainer.
        with_runs: More run folders, e.g. of other seeds: all are explained in the same way, and their ranks averaged.
        draws: How often each run explains, each time with slightly moved coordinates and another seed.
        target: The output to explain, e.g. ``"logS"`` or ``"colour=red"``; None for the first target, of a multi-class
            target the class that is predicted.
        point: Where targets are of points: the place of the point whose prediction an explainer is asked about; None
            for the mean over all.
        prediction_draws: How often the noise that the run learned is injected, to see how far it moves the prediction;
            see :func:`pellucid.training.evaluation.explain_clouds`.
        subgraph: Which points to mark in the column ``subgraph``: ``"top:5"`` (points), ``"top:0.2"`` (fraction),
            ``"gap"``, or ``"fidelity:0.05"`` (calibrated on validation clouds to lose at most that share of the
            probability); see :func:`pellucid.explanations.subgraph.subgraph`.
        dataset: The training data, where they are not in the place that the run names any more.
        device: Where to compute.
        seed: Of conformers, explainers and draws. What a sample draws depends on its own content, not on the others.
        progress: Whether to show a bar for what takes long.
        **parts: Further parts of the input that the domain knows, e.g. ``ligand``: the ``.sdf`` or ``.mol2`` file of a
            complex's ligand; ``columns``: what the columns of hits mean, ``"trackml"`` or a YAML file.

    Returns:
        Explanation; what could not be read or embedded is in ``provenance["skipped"]``, the others go on. With several
        runs or draws it has columns ``spread`` and ``rank_stability``: :func:`pellucid.explanations.ensemble.ensemble`.

    Raises:
        PellucidError: if the run cannot explain, nothing of the input can be used, or the domain knows no such part.

    Example:
        >>> import pellucid
        >>> e = pellucid.explain("runs/egnn", "CCCCC(=O)NC1CC1")  # doctest: +SKIP
        >>> e.importance.shape, e.covariance.shape  # doctest: +SKIP
        (torch.Size([10]), torch.Size([10, 3, 3]))
    """
    if draws < 1:
        raise PellucidError(f"expected at least 1 draw, got {draws}")
    if subgraph is not None:
        from pellucid.explanations.subgraph import parse_rule

        parse_rule(subgraph)  # a mistake is told before work starts
    where, asked = pick_device(device), Asked(target, point, prediction_draws)
    sources = [ExplainedRun.open(Path(folder), where, method, options) for folder in (run, *with_runs)]
    for source in sources:
        source.model.targets.find(target)  # refuses an unknown one
    name = sources[0].spec.domain
    domain = domain_of(name)
    configs = [source.config for source in sources]
    given = domain.read(samples, dataset=configs[0].dataset, options=configs[0].dataset_options, seed=seed,
                        progress=progress, **parts)
    clouds = grouped(given.clouds, name, *configs)
    for source in sources:
        source.refuse(clouds)
    data = grouped(dataset.clouds, name, *configs) if dataset is not None else None
    with waiting("fitting the explainer", progress) as advance:
        prepare(sources, data, asked=asked, seed=seed, advance=advance)
    with waiting("explaining", progress) as advance:
        explanation = domain.gathered(explain_with(sources, clouds, asked=asked, draws=draws, seed=seed,
                                                   advance=advance))
    if subgraph is not None:
        with waiting("choosing the subgraph", progress) as advance:
            chosen = subgraph_of(explanation, sources, subgraph, data, asked=asked, draws=draws, seed=seed,
                                 advance=advance)
        explanation = chosen.marked()
    outside = outside_of(sources[0], explanation.clouds, domain)
    explanation = replace(explanation, provenance={"skipped": given.skipped, "outside": outside.sentences,
                                                   **explanation.provenance})
    if out is not None:
        from pellucid.commands.reporting import report_explanation

        folder = Path(out)
        explanation.save(folder / "explanation.parquet")
        domain.write(folder, explanation.of(), given.held)
        report_explanation(folder / "report.html", explanation,
                           [*(f"Left out: {sentence}" for sentence in given.skipped), *outside.told(explanation.clouds),
                            *given.notes], name)
    return explanation


def predict(run: str | Path, samples: Any, *, out: str | Path | None = None, with_runs: Sequence[str | Path] = (),
            explain: str | Sequence[str] = (), options: Mapping[str, Any] | None = None,
            target: str | Sequence[str] = (), workers: int = 1, ray: str | None = None, overwrite: bool = False,
            size: int = 1000, device: str = "auto", seed: int = 0, progress: bool = False, **parts: Any
            ) -> Predictions | Summary:
    """Predicts samples, by one model or several, and says which are unlike those of the training.

    The input is read and predicted piece by piece: with ``out`` neither it nor the output need fit into memory.

    Args:
        run: The run folder.
        samples: As for :func:`explain`.
        out: A ``.csv`` or ``.parquet`` file to write; None gives the predictions back.
        with_runs: More run folders with the same targets, e.g. of other seeds or folds: predictions are averaged, and
            their standard deviation told.
        explain: Explainers (see ``pellucid list explainers``), or ``"own"`` for the importance that the run learned:
            importance of every point goes into a second file beside ``out``.
        options: Of the explainers.
        target: Outputs to explain; empty for the first target.
        workers: Processes on this machine, one thread each; results do not depend on their number.
        ray: Address of a Ray cluster, or ``"local"`` to start one here, in their place.
        overwrite: Whether files that are there may be replaced.
        size: Entries a piece.
        device: Where to compute; with workers or a cluster ``"cpu"``.
        seed: Of conformers and explainers.
        progress: Whether to show a bar.
        **parts: As for :func:`explain`.

    Returns:
        :class:`~pellucid.predictions.Predictions`, an entry of the input a row, also of those that could not be used;
        with ``out`` a summary.

    Raises:
        PellucidError: if the run predicts nothing, runs do not go together, ``out`` cannot be written, or no entry can
            be used. Nothing is written then.

    Example:
        >>> import pellucid
        >>> made = pellucid.predict("runs/mine", ["CCO", "c1ccccc1"], with_runs=["runs/seed1"])  # doctest: +SKIP
        >>> made.mean, made.spread, made.outside  # doctest: +SKIP
    """
    from pellucid.commands.predicting import Plan
    from pellucid.commands.prediction_files import predict_all, predict_to_files

    if size < 1 or workers < 1:
        raise PellucidError(f"expected pieces of at least 1 entry and at least 1 worker, got {size} and {workers}")
    explainers = (explain,) if isinstance(explain, str) else tuple(explain)
    if explainers and out is None:
        raise PellucidError("expected a file for predictions with explanations, got out=None; name one, or use "
                            "pellucid.explain")
    if workers > 1 or ray is not None:
        if device not in ("auto", "cpu"):
            raise PellucidError(f"expected the device cpu with workers, got {device}; use one worker, without ray")
        device = "cpu"
    plan = Plan.of([run, *with_runs], explain=explainers, options=options, device=device, seed=seed,
                   targets=(target,) if isinstance(target, str) else tuple(target),
                   parts={name: value for name, value in parts.items() if value is not None})
    if out is None:
        return predict_all(plan, samples, size=size, workers=workers, ray=ray, progress=progress)
    return predict_to_files(plan, samples, Path(out), size=size, workers=workers, ray=ray, progress=progress,
                            overwrite=overwrite)


__all__ = ["evaluate", "explain", "fit", "predict"]
