"""The command line: parses, calls, prints. Results for machines go to stdout alone, everything else to stderr."""

from __future__ import annotations

import gc
import json
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from pellucid.errors import PellucidError
from pellucid.progress import console

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="rich",
                  help="Geometric deep learning that explains itself: which points decided, and where they may move.")
data_app = typer.Typer(no_args_is_help=True, help="Show and make datasets.")
app.add_typer(data_app, name="data")
log, out = console(), console(stderr=False)

Json = Annotated[bool, typer.Option("--json", help="Print JSON to stdout and nothing else.")]
RawSource = Annotated[str | None, typer.Option(help="Where the raw data come from; synmol: zinc (default) or logic8.")]
SourceDir = Annotated[Path | None, typer.Option(help="Folder with the raw files, where the source needs one.")]
Size = Annotated[int | None, typer.Option(min=1, help="Number of samples, where the source can be sampled.")]
DataSeed = Annotated[int | None, typer.Option(min=0, help="Seed of sampling, splits and conformers.")]
DataOption = Annotated[list[str] | None, typer.Option("--data", help="An option of the dataset, e.g. field=4; see: "
                                                      "pellucid data options NAME.")]
OWN_FLAGS = {"allow_extra_args": True, "ignore_unknown_options": True}
"""A dataset's own options become flags."""
OWN_PANEL = "Your own molecules"
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
SmilesColumn = Annotated[str | None, typer.Option("--smiles", help="Column of the SMILES; default: found.")]
IdColumn = Annotated[str | None, typer.Option("--id", help="Column of the ids; default: found.")]
TargetName = Annotated[str | None, typer.Option("--target", help="What is predicted, of several: a target, or "
                                                "target=class; default: the first, with several classes the predicted "
                                                "one.")]


def _options(source: str | None, source_dir: Path | None, size: int | None, seed: int | None,
             data: list[str] | None = None) -> dict[str, Any]:
    from pellucid.commands.settings_text import parse_settings

    given = {"source": source, "source_dir": source_dir, "size": size, "seed": seed}
    return {name: value for name, value in given.items() if value is not None} | parse_settings(data or [])


def _print(content: Any, as_json: bool, title: str) -> None:
    if as_json:
        sys.stdout.write(json.dumps(content, indent=2, default=str) + "\n")
        return
    table = Table(title=title, show_header=False, title_justify="left")
    table.add_column()
    table.add_column(overflow="fold")  # a long SMARTS is shown whole
    for name, value in _flat(content):
        table.add_row(name, value)
    out.print(table)


def _measured(metrics: dict[str, Any], as_json: bool, title: str) -> None:
    """Prints metrics, and what they say about trust as a sentence below."""
    told = {name: value for name, value in metrics.items() if name not in ("trust", "targets")}
    _print(metrics if as_json else told, as_json, title)
    _trusted(metrics)
    for name, other in metrics.get("targets", {}).items():
        _trusted(other, f"{name}: ")


def _trusted(about: dict[str, Any], of: str = "Can it be trusted? ") -> None:
    if "trust" in about:
        colour = {"good": "green", "unclear": "yellow", "no": "red"}[about["trust"]["level"]]
        log.print(of + about["trust"]["sentence"], style=colour, soft_wrap=True)


def _flat(content: Any, prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in content.items():
        if isinstance(value, dict) and set(value) == {"mean", "std"}:
            rows.append((prefix + name, f"{value['mean']:.4f} ± {value['std']:.4f}"))
        elif isinstance(value, dict):
            rows += _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list) and len(value) > 12:
            rows.append((prefix + name, f"{len(value)} entries"))
        else:
            rows.append((prefix + name, f"{value:.4f}" if isinstance(value, float) else str(value)))
    return rows


@app.command("list", epilog="Example: pellucid list backbones --json")
def list_(kind: Annotated[str, typer.Argument(help="backbones, methods, explainers, datasets, domains, metrics, "
                                               "studies or benchmarks")],
          as_json: Json = False) -> None:
    """List what is registered, with one line about each."""
    from pellucid.errors import UnknownNameError
    from pellucid.families import families

    known = families()
    if kind not in known:
        raise UnknownNameError("family", kind, known)
    _print(known[kind].describe(), as_json, kind)


@data_app.command("list", epilog="Example: pellucid data list")
def data_list(as_json: Json = False) -> None:
    """List the datasets."""
    list_("datasets", as_json)


@data_app.command("options", epilog="Example: pellucid data options actstrack")
def data_options(name: Annotated[str, typer.Argument(help="Dataset, e.g. actstrack")], as_json: Json = False) -> None:
    """List the options of a dataset with their defaults and what they mean."""
    from pellucid.datasets.base import option_table

    _print(option_table(name), as_json, name)


@data_app.command("prepare", context_settings=OWN_FLAGS, epilog="Example: pellucid data prepare synmol --size 2000; "
                  "pellucid data prepare actstrack --field 4 --tracks 20")
def data_prepare(ctx: typer.Context, name: Annotated[str, typer.Argument(help="Dataset, e.g. synmol")],
                 source: RawSource = None, source_dir: SourceDir = None, size: Size = None, seed: DataSeed = None,
                 processes: Annotated[int | None, typer.Option(min=1, help="Worker processes.")] = None,
                 as_json: Json = False) -> None:
    """Make a dataset, or go on where a stop left it. Further flags: pellucid data options NAME."""
    from pellucid.commands.settings_text import parse_flags
    from pellucid.datasets import load_dataset

    options = _options(source, source_dir, size, seed) | ({"processes": processes} if processes else {})
    prepared = load_dataset(name, progress=True, **options, **parse_flags(ctx.args))
    _print({"clouds": len(prepared.clouds), "path": str(prepared.path)}, as_json, name)


@data_app.command("describe", context_settings=OWN_FLAGS, epilog="Example: pellucid data describe synmol --json")
def data_describe(ctx: typer.Context, name: Annotated[str, typer.Argument(help="Dataset, e.g. synmol")],
                  source: RawSource = None, source_dir: SourceDir = None, size: Size = None, seed: DataSeed = None,
                  as_json: Json = False) -> None:
    """Describe a dataset: counts, class ratio, points and important points a sample, provenance."""
    from pellucid.commands.settings_text import parse_flags
    from pellucid.datasets import describe, load_dataset

    options = _options(source, source_dir, size, seed) | parse_flags(ctx.args)
    _print(describe(load_dataset(name, progress=True, **options)), as_json, name)


@app.command(epilog="Example: pellucid train mine.csv --target logS --out runs/mine, or "
                    "pellucid train synmol --backbone egnn --method lri-gaussian --out runs/first")
def train(dataset: Annotated[str, typer.Argument(metavar="DATA", help="A table of your own molecules (.csv, .tsv, .smi,"
                                                 " .sdf, .parquet, also .gz), or a dataset: pellucid list datasets")],
          out_: Annotated[Path, typer.Option("--out", help="Run folder: new, or of an interrupted run.")],
          target: Annotated[list[str] | None, typer.Option("--target", help="Column to predict; may be given several "
                            "times.", rich_help_panel=OWN_PANEL)] = None,
          graph: Annotated[bool, typer.Option("--graph", help="Learn from bonds alone: no 3D structures are made.",
                                              rich_help_panel=OWN_PANEL)] = False,
          conformers: Annotated[int | None, typer.Option(min=1, help="3D structures of a molecule.",
                                                         rich_help_panel=OWN_PANEL)] = None,
          split: Annotated[str | None, typer.Option(help="scaffold (default), random, column:NAME or time:NAME.",
                                                    rich_help_panel=OWN_PANEL)] = None,
          folds: Annotated[int | None, typer.Option(min=2, help="Cross-validate: so many runs, each molecule in the "
                                                    "test part of one; mean and deviation.",
                                                    rich_help_panel=OWN_PANEL)] = None,
          smiles: Annotated[str | None, typer.Option(help="Column of SMILES; found by its content.",
                                                     rich_help_panel=OWN_PANEL)] = None,
          id_: Annotated[str | None, typer.Option("--id", help="Column of names; default: the first of unique texts.",
                                                  rich_help_panel=OWN_PANEL)] = None,
          kind: Annotated[list[str] | None, typer.Option(metavar="NAME=KIND", help="What a target is, where that is "
                          "guessed wrongly: binary, multiclass or regression.", rich_help_panel=OWN_PANEL)] = None,
          unit: Annotated[list[str] | None, typer.Option(metavar="NAME=UNIT", help="Unit of a target.",
                                                         rich_help_panel=OWN_PANEL)] = None,
          floor: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="A value that means 'at most', "
                           "such as an assay's lower limit.", rich_help_panel=OWN_PANEL)] = None,
          ceiling: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="A value that means 'at "
                             "least'.", rich_help_panel=OWN_PANEL)] = None,
          salts: Annotated[str | None, typer.Option(help="largest: keep the largest organic fragment (default); "
                                                    "refuse.", rich_help_panel=OWN_PANEL)] = None,
          backbone: Annotated[str | None, typer.Option(help="See: pellucid list backbones; default: what suits the "
                                                       "data.")] = None,
          method: Annotated[str | None, typer.Option(help="See: pellucid list methods; default: what suits the data."
                                                     )] = None,
          preset: Annotated[str, typer.Option(help="fast; smoke to try; paper for a paper's settings.")] = "fast",
          epochs: Annotated[int | None, typer.Option(min=1, help="All epochs; warm-up keeps its share.")] = None,
          seed: Annotated[int, typer.Option(min=0, help="Decides every random number of the training.")] = 0,
          set_: Annotated[list[str] | None, typer.Option("--set", help="Any setting, e.g. method.scale=5 or "
                          "method.options.graph_reconstruction=false.")] = None,
          source: RawSource = None, source_dir: SourceDir = None, size: Size = None,
          data_seed: DataSeed = None, data: DataOption = None, device: Device = "auto",
          overwrite: Annotated[bool, typer.Option(help="Replace a run that is there.")] = False,
          as_json: Json = False) -> None:
    """Train a model that explains itself, on your own molecules or a dataset; evaluate it; write the report."""
    from pellucid.api import fit
    from pellucid.commands.settings_text import parse_pairs, parse_settings

    own: dict[str, Any] = {"geometry": "graph" if graph else None, "conformers": conformers, "split": split,
                           "smiles": smiles, "id": id_, "fragments": salts,
                           "kinds": parse_pairs("--kind", kind), "units": parse_pairs("--unit", unit),
                           "floors": parse_pairs("--floor", floor, number=True),
                           "ceilings": parse_pairs("--ceiling", ceiling, number=True)}
    options = _options(source, source_dir, size, data_seed, data) | {n: v for n, v in own.items() if v is not None}
    common: dict[str, Any] = {"backbone": backbone, "method": method, "preset": preset, "epochs": epochs, "seed": seed,
                              "device": device, "progress": True, "overwrite": overwrite,
                              "over": parse_settings(set_ or [])}
    if folds is not None:
        from pellucid.cross_validation import cross_validate

        found = cross_validate(dataset, target, folds=folds, out=out_, dataset_options=options, **common)
        _measured(found.metrics, as_json, f"{out_}, {folds} folds")
        log.print(f"report: {found.report}", soft_wrap=True)
        return
    run = fit(dataset, target, out=out_, dataset_options=options, **common)
    _measured(run.metrics, as_json, f"{run.folder}, test split")
    log.print(f"report: {run.folder / 'report.html'}", soft_wrap=True)


@app.command(epilog="Example: pellucid trust mine.csv --rule 'amide and not halogen' --graph --out planted")
def trust(table: Annotated[str | None, typer.Argument(metavar="TABLE", help="Your own molecules; default: real ones "
                                                      "from ZINC.")] = None,
          rule: Annotated[str | None, typer.Option(help="SMARTS in quotes or names of groups with and, or, not; "
                                                   "count('P') >= 2; distance('P', 'Q') < 5; chirality('P') == 'R'; a "
                                                   "sum; or a name of --list.")] = None,
          out_: Annotated[Path | None, typer.Option("--out", help="Folder for the runs and trust.json.")] = None,
          graph: Annotated[bool, typer.Option("--graph", help="Learn from bonds alone: no 3D structures are made.")]
          = False,
          method: Annotated[list[str] | None, typer.Option(help="Models to train; default: what suits molecules. May "
                                                           "be given several times.")] = None,
          by: Annotated[list[str] | None, typer.Option(help="Explainers; default: all that apply, and own.")] = None,
          size: Annotated[int, typer.Option(min=1, help="Molecules at most.")] = 2000,
          explained: Annotated[int, typer.Option(min=1, help="Test molecules that are explained at most.")] = 200,
          smiles: SmilesColumn = None, id_: IdColumn = None, preset: Annotated[str, typer.Option(
              help="fast; smoke to try.")] = "fast",
          seed: Annotated[int, typer.Option(min=0, help="Of data and models.")] = 0, device: Device = "auto",
          list_rules: Annotated[bool, typer.Option("--list", help="List the rules that come along, and stop.")] = False,
          overwrite: Annotated[bool, typer.Option(help="Replace runs that are there.")] = False,
          as_json: Json = False) -> None:
    """Plant a rule of your own in molecules, and see how well each explainer finds it."""
    if list_rules:
        from pellucid.datasets.rules import named_rules

        known = {name: {"kind": one.kind, "half": one.half, "rule": one.text} for name, one in named_rules().items()}
        _print(known if as_json else {name: one["rule"] for name, one in known.items()}, as_json, "rules")
        return
    if rule is None or out_ is None:
        raise PellucidError("expected a rule and a folder, got none; give --rule and --out, or --list for the rules "
                            "that come along")
    from pellucid.planting import trust as plant

    planted = plant(rule, table, out=out_, graph=graph, methods=method or (), by=by or (), size=size,
                    explained=explained, smiles=smiles, id=id_, preset=preset, seed=seed, device=device, progress=True,
                    overwrite=overwrite)
    if as_json:
        _print(planted.document(), True, "")
    else:
        score = "ROC AUC" if planted.kind == "binary" else "Spearman"
        table_ = Table("explainer", "of", score, "95 % interval", "samples", "seconds", title_justify="left",
                       title=f"{planted.rule}: how well it is found")
        for one in planted.found:
            cells = (["", one.trouble, "", ""] if one.trouble else
                     [f"{one.score:.3f}", f"{one.low:.3f} to {one.high:.3f}", str(one.samples), f"{one.seconds:.1f}"])
            table_.add_row(one.name, one.method, *cells)
        out.print(table_)
    log.print(planted.sentence, markup=False, soft_wrap=True)


@app.command(epilog="Example: pellucid evaluate runs/first --json")
def evaluate(run: Annotated[Path, typer.Argument(help="Run folder")],
             split: Annotated[str, typer.Option(help="train, val or test")] = "test",
             target: TargetName = None, device: Device = "auto", as_json: Json = False) -> None:
    """Measure a finished run again, on the dataset it was trained on."""
    from pellucid.api import evaluate as measure

    _measured(measure(run, split=split, target=target, device=device), as_json, f"{run}, {split} split")


@app.command(epilog="Example: pellucid compare runs/first, then pellucid explain runs/first input.csv --method auto "
                    "--out explained")
def compare(run: Annotated[Path, typer.Argument(help="Run folder")],
            samples: Annotated[int, typer.Option(min=1, help="Validation samples at most, evenly spaced.")] = 500,
            target: TargetName = None,
            explainers: Annotated[str | None, typer.Option(help="Names with commas, own for what the run learned; "
                                                           "default: all that apply.")] = None,
            seed: Annotated[int, typer.Option(min=0, help="Decides every random number.")] = 0,
            device: Device = "auto", as_json: Json = False) -> None:
    """Compare all explainers on a run's validation data, without ground truth, and record which one to take."""
    from pellucid.api import compare as run_compare
    from pellucid.commands.settings_text import parse_names

    found = run_compare(run, samples=samples, target=target, explainers=parse_names(explainers) or [], seed=seed,
                        device=device, progress=True)
    if as_json:
        _print(found.document(), True, "")
    else:
        head, rows = found.table()
        table = Table(title=f"{found.target}, {found.samples} validation samples", title_justify="left")
        for place, name in enumerate(head):
            table.add_column(name, no_wrap=not place)
        for row in rows:
            table.add_row(*row, style="bold" if row[0] == found.recommended else None)
        out.print(table)
    for text in found.sentences():
        log.print(text, markup=False, soft_wrap=True)


@app.command(epilog="Example: pellucid explain runs/first 'CCCCC(=O)NC1CC1' --out explained, or "
                    "pellucid explain runs/plbind complex.pdb ligand.sdf --out explained")
def explain(run: Annotated[Path, typer.Argument(help="Run folder")],
            samples: Annotated[str, typer.Argument(metavar="INPUT", help="As the run's data: SMILES, or a file of "
                                                   "them (.csv, .smi, .sdf, .mol2, .parquet, ..., each also .gz); "
                                                   "with --columns a table of hits; a protein's .pdb or .cif, or "
                                                   "a .csv of protein_file and ligand_file; an .xyz; .safetensors "
                                                   "of any point clouds.")],
            ligand: Annotated[Path | None, typer.Argument(help="The protein's ligand in its pose: .sdf or .mol2.")]
            = None,
            *, out_: Annotated[Path, typer.Option("--out", help="Folder for the table and the report.")],
            target: TargetName = None,
            point: Annotated[int | None, typer.Option(min=0, help="Where points have targets: place of the point whose "
                             "prediction an explainer is asked about; default: the mean over all.")] = None,
            prediction_draws: Annotated[int, typer.Option(min=0, help="How often the noise that the run learned is "
                                        "injected, to see how far it moves the prediction.")] = 0,
            method: Annotated[list[str] | None, typer.Option(help="A post-hoc explainer, see: pellucid list "
                              "explainers; default: what the run itself learned (own); auto: what pellucid compare "
                              "recommends. Several are shown side by side.")] = None,
            set_: Annotated[list[str] | None, typer.Option("--set", help="An option of the explainer, e.g. "
                            "options.steps=100.")] = None,
            with_: Annotated[list[Path] | None, typer.Option("--with", help="Another run, e.g. of another seed: "
                             "their ranks are averaged. May be given several times.")] = None,
            draws: Annotated[int, typer.Option(min=1, help="How often each run explains slightly moved "
                             "coordinates, to see how far the answer varies.")] = 1,
            subgraph: Annotated[str | None, typer.Option(help="Mark the points to keep: top:5, top:0.2, gap or "
                                "fidelity:0.05.")] = None,
            columns: Annotated[str | None, typer.Option(help="INPUT is hits in CSV, parquet or ROOT with these "
                               "columns: trackml, or a YAML file that maps them.")] = None,
            smiles: SmilesColumn = None, id_: IdColumn = None,
            seed: Annotated[int, typer.Option(min=0, help="Of conformers, explainers and noise.")] = 0,
            overwrite: Annotated[bool, typer.Option(help="Replace what is in the folder.")] = False,
            device: Device = "auto", as_json: Json = False) -> None:
    """Explain molecules, events or other samples that the model never saw: what decided, where points may move."""
    from pellucid.api import explain as run_explain
    from pellucid.commands.explaining import Outside, other_targets, prediction_table
    from pellucid.commands.reporting import agreeing
    from pellucid.commands.settings_text import explainer_options
    from pellucid.explanations.ensemble import agreement
    from pellucid.explanations.side_by_side import SideBySide

    asked: Any = method[0] if method and len(method) == 1 else method or None
    found: Any = run_explain(run, samples, ligand=ligand, columns=columns, smiles=smiles, id=id_, out=out_,
                             method=asked, options=explainer_options(set_ or []), with_runs=with_ or [], draws=draws,
                             target=target, point=point, prediction_draws=prediction_draws, subgraph=subgraph,
                             seed=seed, device=device, progress=True, overwrite=overwrite)
    explanation = found.first if isinstance(found, SideBySide) else found
    for text in explanation.provenance["notes"]:
        log.print(text, soft_wrap=True)
    for text in explanation.provenance["skipped"]:
        log.print(f"left out: {text}", style="yellow")
    for text in Outside(explanation.provenance["outside"]).told(explanation.clouds):
        log.print(text, style="yellow", soft_wrap=True)
    if target is None and (sentence := other_targets(explanation)) is not None:
        log.print(sentence, soft_wrap=True)
    if as_json:
        _print(found.table(), True, "")
    else:
        names, rows = prediction_table(explanation)
        table = Table(*names, title="predictions", title_justify="left")
        for row in rows:
            table.add_row(*row)
        out.print(table)
    for text in (agreement(explanation), *(agreeing(found) if found is not explanation else ())):
        if text is not None:
            log.print(text)
    _trusted(explanation.provenance)
    log.print(f"report: {out_ / 'report.html'}", soft_wrap=True)


@app.command(epilog="Example: pellucid predict runs/first library.csv --with runs/seed1 --out predictions.csv, or "
                    "pellucid predict runs/first library.smi.gz --explain saliency --workers 2 --out out.parquet")
def predict(run: Annotated[Path, typer.Argument(help="Run folder")],
            samples: Annotated[str, typer.Argument(metavar="INPUT", help="As for explain; may be larger than memory.")],
            ligand: Annotated[Path | None, typer.Argument(help="As for explain.")] = None,
            *, out_: Annotated[Path, typer.Option("--out", help="A new .csv or .parquet file.")],
            with_: Annotated[list[Path] | None, typer.Option("--with", help="Another run of the same targets, e.g. of "
                             "another seed or fold: mean and standard deviation are told. May be given several "
                             "times.")] = None,
            explain: Annotated[list[str] | None, typer.Option("--explain", help="Also write what decided, a row a "
                               "point: an explainer (pellucid list explainers), own for what the run learned, or auto "
                               "for what pellucid compare recommends. May be given several times.")] = None,
            target: Annotated[list[str] | None, typer.Option("--target", help="What is explained, of several targets; "
                              "default: the first. May be given several times.")] = None,
            set_: Annotated[list[str] | None, typer.Option("--set", help="An option of the explainer, e.g. "
                            "options.steps=20.")] = None,
            columns: Annotated[str | None, typer.Option(help="As for explain.")] = None,
            smiles: SmilesColumn = None, id_: IdColumn = None,
            workers: Annotated[int, typer.Option(min=1, help="Processes on this machine, one thread each.")] = 1,
            ray: Annotated[str | None, typer.Option(help="Address of a Ray cluster, or local, instead.")] = None,
            overwrite: Annotated[bool, typer.Option(help="Replace files that are there.")] = False,
            seed: Annotated[int, typer.Option(min=0, help="Of conformers and explainers.")] = 0,
            device: Device = "auto", as_json: Json = False) -> None:
    """Predict samples, however many, and say which are unlike those of the training."""
    from pellucid.api import predict as run_predict
    from pellucid.commands.prediction_files import Summary
    from pellucid.commands.settings_text import explainer_options

    try:
        summary = run_predict(run, samples, ligand=ligand, columns=columns, smiles=smiles, id=id_, out=out_,
                              with_runs=with_ or [], explain=explain or [], options=explainer_options(set_ or []),
                              target=target or [], workers=workers, ray=ray, overwrite=overwrite, seed=seed,
                              device=device, progress=True)
    except KeyboardInterrupt:
        log.print("pellucid: interrupted; nothing was written")
        sys.exit(130)
    assert isinstance(summary, Summary)
    if as_json:
        _print(summary.document(), True, "")
    for sentence in summary.sentences("samples"):
        log.print(sentence, soft_wrap=True)
    for path in summary.files.values():
        log.print(f"written: {path}", soft_wrap=True)


@app.command(epilog="Example: pellucid bench lri-table2 --datasets synmol --preset smoke --workers 2 --out table2")
def bench(table: Annotated[str, typer.Argument(help="lri-table2 to lri-table6, lri-table3-recipes, lri-figure3, or "
                                               "margin-labels and others: pellucid list benchmarks")],
          datasets: Annotated[str | None, typer.Option(help="Names with commas; all that can be made here without "
                                                       "a folder of yours.")] = None,
          backbones: Annotated[str | None, typer.Option(help="Names with commas; all of the table.")] = None,
          methods: Annotated[str | None, typer.Option(help="Names with commas; all of the table.")] = None,
          preset: Annotated[str, typer.Option(help="paper, standard (within 2.5 hours on 2 cores for synmol), smoke "
                                              "(minutes), or search where a table has it (how standard's settings "
                                              "were chosen).")] = "standard",
          seeds: Annotated[str | None, typer.Option(help="Numbers with commas; those of the preset.")] = None,
          out_: Annotated[Path | None, typer.Option("--out", help="Folder for results.md, .tex, .csv, .html, .json."
                                                    )] = None,
          workers: Annotated[int, typer.Option(min=1, help="Processes on this machine, one thread each.")] = 1,
          ray: Annotated[str | None, typer.Option(help="Address of a Ray cluster, or local, instead.")] = None,
          store: Annotated[str | None, typer.Option(help="SQLite file or PostgreSQL URL with the results.")] = None,
          artifacts: Annotated[Path | None, typer.Option(help="Folder for models that all workers see.")] = None,
          source: RawSource = None, source_dir: SourceDir = None, size: Size = None, data_seed: DataSeed = None,
          data: DataOption = None,
          device: Annotated[str, typer.Option(help="cpu, cuda or mps.")] = "cpu",
          retry_failed: Annotated[bool, typer.Option(help="Run again what failed before.")] = False,
          dry_run: Annotated[bool, typer.Option(help="Show what would run, and about how long it takes.")] = False,
          as_json: Json = False) -> None:
    """Run a table of a paper, the published numbers beside ours; the same command goes on where it stopped."""
    from pellucid.benchmarks.live import outline_table
    from pellucid.benchmarks.margin.curves import Curves
    from pellucid.benchmarks.results import ResultTable
    from pellucid.commands.benching import bench as run_bench
    from pellucid.commands.benching import bench_study
    from pellucid.commands.settings_text import parse_names, parse_numbers
    from pellucid.report.benchmark import markdown
    from pellucid.report.studies import markdown as study_markdown

    command = " ".join(["pellucid", *sys.argv[1:]])
    if table.startswith("margin-"):
        others = {"--datasets": datasets, "--backbones": backbones, "--methods": methods, "--seeds": seeds,
                  "--source": source, "--size": size, "--data-seed": data_seed, "--data": data}
        for name, value in others.items():
            if value is not None:
                raise PellucidError(f"expected --preset, --source-dir and --workers for {table}, got {name}; leave it "
                                    "out: the preset decides it")
        found = bench_study(table, preset=preset, source_dir=source_dir, store=store, out=out_, workers=workers,
                            ray=ray, retry_failed=retry_failed, dry_run=dry_run, progress=True, command=command)
        if isinstance(found, Curves):
            sys.stdout.write(json.dumps(found.document(), indent=2) + "\n" if as_json else study_markdown(found))
        else:
            _print(found, as_json, table)
        if out_ is not None and not dry_run:
            log.print(f"page: {out_ / 'results.html'}", soft_wrap=True)
        return
    result = run_bench(table, datasets=parse_names(datasets), backbones=parse_names(backbones),
                       methods=parse_names(methods), preset=preset, seeds=parse_numbers(seeds), store=store,
                       artifacts=artifacts, out=out_, workers=workers, ray=ray, device=device,
                       dataset_options=_options(source, source_dir, size, data_seed, data), retry_failed=retry_failed,
                       dry_run=dry_run, progress=True, command=command)
    if isinstance(result, ResultTable):
        sys.stdout.write(json.dumps(result.document(), indent=2) + "\n" if as_json else markdown(result))
    elif as_json:
        _print(result, True, "")
    else:
        out.print(outline_table(result))
    if out_ is not None and not dry_run:
        log.print(f"page: {out_ / 'results.html'}", soft_wrap=True)


@app.command(epilog="Example: pellucid audit labels table.parquet --features 'x*' --label y --out audited")
def audit(study: Annotated[str, typer.Argument(help="labels, prototypes, boundary or outliers")],
          table: Annotated[Path, typer.Argument(metavar="FILE", help="Parquet (a file or a folder) or CSV, a sample a "
                                                "row.")],
          features: Annotated[list[str], typer.Option(help="Columns by name or glob, several with commas or the "
                                                      "option again; also a column of vectors.")],
          out_: Annotated[Path, typer.Option("--out", help="Folder for ranking.parquet, ranking.csv and report.html.")],
          label: Annotated[str | None, typer.Option(help="Column of labels; rows without one are left out.")] = None,
          id_: Annotated[str | None, typer.Option("--id", help="Column that names samples; default: a column id, else "
                                                  "row numbers from 0.")] = None,
          show: Annotated[str | None, typer.Option(help="Column to look at: images (bytes or paths) or texts.")] = None,
          image: Annotated[str | None, typer.Option(metavar="HxW", help="The features are the grey pixels of images "
                                                    "of this size; HxWx3 for colours.")] = None,
          neighbors: Annotated[int | None, typer.Option("--neighbors", "--neighbours", "-k", min=1, help="Neighbours "
                               "of a sample; default: the study's own.")] = None,
          metric: Annotated[str, typer.Option(help="euclidean, cosine or correlation.")] = "euclidean",
          variant: Annotated[str | None, typer.Option(help="Of the score; default: the study's own.")] = None,
          set_: Annotated[list[str] | None, typer.Option("--set", help="A further parameter of the study, e.g. "
                          "symmetry=mutual.")] = None,
          scale: Annotated[str, typer.Option(help="auto (columns of one unit together, others each by itself), "
                                             "standard (each by itself) or none.")] = "auto",
          missing: Annotated[str, typer.Option(help="Missing features: error, drop (the sample) or median (of the "
                                               "column).")] = "error",
          top: Annotated[int, typer.Option(min=1, help="Samples that the report shows.")] = 24,
          seed: Annotated[int, typer.Option(min=0, help="Of an approximate search and of the map.")] = 0,
          as_json: Json = False) -> None:
    """Rank the samples of a table: wrong labels, prototypes, samples at a boundary, outliers."""
    from pellucid.commands.auditing import audit as run_audit
    from pellucid.commands.settings_text import parse_settings

    found = run_audit(study, table, features=features, label=label, out=out_, id_column=id_, show=show, image=image,
                      neighbors=neighbors, metric=metric, variant=variant, options=parse_settings(set_ or []),
                      scale=scale, missing=missing, top=top, seed=seed, progress=True)
    if as_json:
        _print(found.summary, True, "")
    else:
        for note in found.summary["notes"]:
            log.print(note, style="yellow")
        for text in found.summary["scaling"]:
            log.print(f"scaling: {text}")
        first = Table(*found.ranking.column_names, title=f"{study}: the first of {len(found.ranking):,} samples",
                      title_justify="left")
        for row in found.summary["first"]:
            first.add_row(*(f"{v:.4f}" if isinstance(v, float) else str(v) for v in row.values()))
        out.print(first)
    log.print(f"report: {found.files['report.html']}", soft_wrap=True)  # a path in one piece


@app.command(epilog="Example: pellucid version")
def version() -> None:
    """Print the version."""
    from pellucid import __version__

    out.print(__version__)


def main() -> None:
    """Entry point: a user's mistake is one sentence on stderr and exit status 2."""
    gc.set_threshold(100_000, 20, 20)  # imports make millions of objects and hardly a cycle: looking for them took .3 s
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # told to stop as by Ctrl-C: what is half-written goes
    try:
        app()
    except PellucidError as error:
        log.print(f"pellucid: {error}", style="red", soft_wrap=True)
        sys.exit(2)
    except KeyboardInterrupt:
        log.print("pellucid: interrupted; the same command goes on where it stopped")
        sys.exit(130)
