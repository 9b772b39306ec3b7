"""The Python API: load a dataset, fit a model that explains itself, explain what it never saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from pellucid.commands.data import AskedData, data_of, grouped
from pellucid.commands.explaining import (
    AUTO,
    Asked,
    ExplainedRun,
    explain_with,
    outside_of,
    prepare,
    recommended,
    subgraph_of,
)
from pellucid.domains.base import domain_of
from pellucid.errors import PellucidError
from pellucid.explanation import Explanation
from pellucid.files import json_ready, refuse_used
from pellucid.progress import waiting
from pellucid.training.config import merge
from pellucid.training.devices import pick_device
from pellucid.training.model import load_model, refuse_untaught

if TYPE_CHECKING:
    from pellucid.commands.comparing import Comparison
    from pellucid.commands.prediction_files import Summary
    from pellucid.datasets.base import PreparedDataset
    from pellucid.explanations.side_by_side import SideBySide
    from pellucid.predictions import Predictions
    from pellucid.training.fit import Run


def fit(dataset: Any, target: str | Sequence[str] | None = None, *, out: str | Path, backbone: str | None = None,
        method: str | None = None, preset: str = "fast", epochs: int | None = None, seed: int = 0,
        device: str = "auto", progress: bool = False, overwrite: bool = False, report: bool = True,
        dataset_options: dict[str, Any] | None = None, over: dict[str, Any] | None = None) -> Run:
    """Trains a model that explains itself and writes a run folder.

    LRI minimises CE(f(perturbed cloud), y) + beta * mean_v KL(noise_v || prior) (Miao et al. 2023, eq. 1 and 2): what
    needs little noise was important.

    Args:
        dataset: A name (see ``pellucid list datasets``), what :func:`load_dataset` returned, or molecules of your own:
            the path of a table, or a table in memory, as :func:`pellucid.load_molecules` takes them.
        target: Of your own molecules: the column that is predicted, or several.
        out: The run folder: new, or that of an interrupted run, which then goes on.
        backbone: See ``pellucid list backbones``; None for the one that suits the dataset.
        method: See ``pellucid list methods``; None for the one that suits the dataset.
        preset: Settings of the dataset: ``"fast"`` or ``"paper"``.
        epochs: All epochs; warm-up keeps its share of the preset's.
        seed: Decides every random number; the same seed gives the same run on one machine.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
        progress: Whether to show a bar on stderr.
        overwrite: Whether a run in ``out`` may be replaced.
        report: Whether to write ``report.html``.
        dataset_options: Options of the dataset's recipe, where it is not prepared yet; those of your own molecules:
            ``pellucid data options molecules``.
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
        >>> run = pellucid.fit("mine.csv", "logS", out="runs/mine")  # doctest: +SKIP
    """
    from pellucid.commands.reporting import report_run
    from pellucid.training.fit import refuse_taken, train
    from pellucid.training.presets import defaults, settings

    refuse_taken(Path(out), overwrite)  # before data are made
    asked = AskedData.of(dataset, target, dataset_options)
    own = defaults(asked.name, asked.coordinates)
    config = settings(asked.name, method or own[1], backbone or own[0], preset, merge({"seed": seed}, over or {}),
                      coordinates=asked.coordinates)  # refuses what does not fit before data are made
    if epochs is not None:
        if epochs < 1:
            raise PellucidError(f"expected at least 1 epoch, got {epochs}")
        warmup = min(epochs - 1, round(epochs * config.training.warmup / config.total_epochs))
        changed = merge(config.model_dump(), {"training": {"warmup": warmup, "epochs": epochs - warmup}})
        config = type(config).parse(changed)
    prepared = asked.prepare(progress)
    config = config.model_copy(update={"dataset_options": prepared.provenance.get("key", {})})
    spec = prepared.recipe.spec(prepared.clouds)
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


@overload
def explain(run: str | Path, samples: Any, *, out: str | Path | None = None, method: str | None = None,
            options: Mapping[str, Any] | None = None, with_runs: Sequence[str | Path] = (), draws: int = 1,
            target: str | None = None, point: int | None = None, prediction_draws: int = 0, subgraph: str | None = None,
            dataset: PreparedDataset | None = None, device: str = "auto", seed: int = 0, progress: bool = False,
            overwrite: bool = False, **parts: Any) -> Explanation: ...


@overload
def explain(run: str | Path, samples: Any, *, out: str | Path | None = None, method: list[str] | tuple[str, ...],
            options: Mapping[str, Any] | None = None, with_runs: Sequence[str | Path] = (), draws: int = 1,
            target: str | None = None, point: int | None = None, prediction_draws: int = 0, subgraph: str | None = None,
            dataset: PreparedDataset | None = None, device: str = "auto", seed: int = 0, progress: bool = False,
            overwrite: bool = False, **parts: Any) -> SideBySide: ...


def explain(run: str | Path, samples: Any, *, out: str | Path | None = None,
            method: str | list[str] | tuple[str, ...] | None = None,
            options: Mapping[str, Any] | None = None, with_runs: Sequence[str | Path] = (), draws: int = 1,
            target: str | None = None, point: int | None = None, prediction_draws: int = 0, subgraph: str | None = None,
            dataset: PreparedDataset | None = None, device: str = "auto", seed: int = 0, progress: bool = False,
            overwrite: bool = False, **parts: Any) -> Explanation | SideBySide:
    """Explains samples that the model never saw, e.g. molecules, events or complexes.

    Args:
        run: The run folder; with ``method``, of any method, otherwise of one that explains.
        samples: A :class:`~pellucid.clouds.PointClouds`, the file of one, or what the domain of the run's data reads
            (``docs/domains.md``): e.g. a SMILES, a file or a frame of molecules, a file of hits
            with ``columns``, a protein's structure with ``ligand``, a list of PyG's ``Data``, a file
            as the dataset's own.
        out: Folder for ``explanation.parquet`` and ``report.html``, and for what else the domain writes, e.g. a
            structure with importance as its B-factors; None writes nothing.
        method: A post-hoc explainer (see ``pellucid list explainers``); None for the importance that the run learned.
            One that learns is fitted on the training split of the run first. Several are shown side by side, each as it
            is; among them, ``"own"`` is what the run learned (``"own:COLUMN"`` a column of it), and ``"auto"`` what
            :func:`compare` recommends for the run.
        options: Of the explainer, where there is one.
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
        overwrite: Whether what is in ``out`` may be replaced; otherwise a folder with anything in it is refused.
        **parts: Further parts of the input that the domain knows, e.g. ``ligand``: the ``.sdf`` or ``.mol2`` file of a
            complex's ligand; ``columns``: what the columns of hits mean, ``"trackml"`` or a YAML file.

    Returns:
        Explanation; what could not be read or embedded is in ``provenance["skipped"]``, the others go on;
        ``provenance["notes"]`` says what was read or prepared in an unusual way;
        ``provenance["trust"]`` is how far it can be trusted by what was measured of the run. With several runs or draws
        it has columns ``spread`` and ``rank_stability``: :func:`pellucid.explanations.ensemble.ensemble`. With several
        methods, :class:`pellucid.explanations.side_by_side.SideBySide`.

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
    if out is not None:
        refuse_used(Path(out), overwrite)
    if subgraph is not None:
        from pellucid.explanations.subgraph import parse_rule

        parse_rule(subgraph)  # a mistake is told before work starts
    found_by, asked_for = "", [] if method is None or isinstance(method, str) else list(dict.fromkeys(method))
    if method == AUTO or (isinstance(method, (list, tuple)) and AUTO in method):
        best, own, reason = recommended(Path(run), target)
        options = options or (own if isinstance(method, str) else None)
        found_by = f"Explained by what pellucid compare recommends: {reason}"
        method = best if isinstance(method, str) else [best if name == AUTO else name for name in method]
    one_method = method if method is None or isinstance(method, str) else None
    several = list(dict.fromkeys(method)) if isinstance(method, (list, tuple)) else None
    if several is not None and found_by and len(several) == 1 < len(asked_for):
        raise PellucidError(f"expected another explainer beside {several[0]}, got {' and '.join(asked_for)}, which are "
                            f"the same: pellucid compare recommends {several[0]}; name another one, or auto alone")
    if several is not None and (subgraph is not None or options or len(several) < 2):
        raise PellucidError(f"expected at least two methods side by side, without options and subgraph, got "
                            f"{', '.join(several) or 'none'}; name each once, or explain by one method at a time")
    where, asked = pick_device(device), Asked(target, point, prediction_draws)
    by = {name: [ExplainedRun.open(Path(folder), where, name, options) for folder in (run, *with_runs)]
          for name in ([one_method] if several is None else several)}
    everyone = [source for sources in by.values() for source in sources]
    for source in everyone:
        source.model.targets.find(target)  # refuses an unknown one
    first = everyone[0]
    name = first.spec.domain
    domain = domain_of(name)
    configs = [source.config for source in everyone]
    given = domain.read(samples, dataset=first.config.dataset, options=first.config.dataset_options, seed=seed,
                        progress=progress, **parts)
    clouds = grouped(given.clouds, name, *configs)
    for source in everyone:
        source.refuse(clouds)
    data = grouped(dataset.clouds, name, *configs) if dataset is not None else None
    with waiting("fitting the explainer", progress) as advance:
        prepare(everyone, data, asked=asked, seed=seed, advance=advance)
    outside = None
    made: dict[str, Explanation] = {}
    for label, sources in by.items():
        with waiting("explaining" if several is None else f"explaining by {label}", progress) as advance:
            one = domain.gathered(explain_with(sources, clouds, asked=asked, draws=draws, seed=seed, advance=advance))
        if subgraph is not None:
            with waiting("choosing the subgraph", progress) as advance:
                one = subgraph_of(one, sources, subgraph, data, asked=asked, draws=draws, seed=seed,
                                  advance=advance).marked()
        outside = outside or outside_of(sources[0], one.clouds, domain)
        made[str(label)] = replace(one, provenance={
            "skipped": given.skipped, "notes": given.notes, "outside": outside.sentences,
            "trust": sources[0].trust(target), **one.provenance})
    cautions = {name: one.caution() for name, one in made.items()}
    notes = [*([found_by] if found_by else []),
             *(f"{name}: {text}" if several else text for name, text in cautions.items() if text), *given.notes]
    made = {name: replace(one, provenance={**one.provenance, "notes": notes}) for name, one in made.items()}
    found: Explanation | SideBySide = next(iter(made.values()))
    if several is not None:
        from pellucid.explanations.side_by_side import SideBySide

        found = SideBySide(made)
    if out is not None:
        from pellucid.commands.reporting import report_explanation

        folder = Path(out)
        found.save(folder / "explanation.parquet")
        domain.write(folder, next(iter(made.values())), given.held)
        report_explanation(folder / "report.html", found,
                           [*(f"Left out: {sentence}" for sentence in given.skipped),
                            *(outside.told(next(iter(made.values())).clouds) if outside else []), *notes], name)
    return found


def compare(run: str | Path, *, samples: int = 500, target: str | None = None, explainers: Sequence[str] = (),
            options: Mapping[str, Mapping[str, Any]] | None = None, dataset: PreparedDataset | None = None,
            device: str = "auto", seed: int = 0, progress: bool = False, write: bool = True) -> Comparison:
    """Which explainer to take for a run: all that apply, on its validation data, without any ground truth.

    Of each: what its points do to the prediction (:class:`pellucid.metrics.effect.Effects`), whether it changes when
    the model's weights are shuffled, whether it is steady, how far it agrees with the others, and how long it takes.
    What it says of a sample is what it says when it is called alone.

    Args:
        run: The run folder, of any method.
        samples: Validation samples at most, evenly spaced.
        target: The output to explain; None for the first target.
        explainers: See ``pellucid list explainers``, and ``"own"`` for what the run learned; empty for all that apply.
        options: Of explainers, by their name; of others what the preset of the run has for them.
        dataset: The training data, where they are not in the place that the run names any more.
        device: Where to compute.
        seed: Decides every random number.
        progress: Whether to show a bar.
        write: Whether to record it in the run folder, for ``explain(..., method="auto")``.

    Returns:
        Comparison: ``rows``, ``recommended`` and the ``reason``, and the ``explanations`` themselves.

    Raises:
        PellucidError: if the folder is no finished run, its data are gone, or a named explainer does not apply.

    Example:
        >>> import pellucid
        >>> found = pellucid.compare("runs/mine", samples=200)  # doctest: +SKIP
        >>> found.recommended, found.reason  # doctest: +SKIP
        >>> pellucid.explain("runs/mine", "CCO", method="auto")  # doctest: +SKIP
    """
    from pellucid.commands.comparing import compare_run, record

    where, folder = pick_device(device), Path(run)
    _, config, spec = load_model(folder, where)
    refuse_untaught(folder, config)
    clouds = data_of(folder) if dataset is None else grouped(dataset.clouds, spec.domain, config)
    with waiting("comparing", progress) as advance:
        found = compare_run(folder, where, clouds, samples=samples, target=target, names=explainers, options=options,
                            seed=seed, advance=advance)
    if write:
        record(found)
    return found


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


__all__ = ["compare", "evaluate", "explain", "fit", "predict"]
