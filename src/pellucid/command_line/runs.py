"""Models from training to answers: ``train``, ``trust``, ``evaluate``, ``compare``, ``explain``, ``predict``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from pellucid.command_line.parts import (
    OWN_PANEL,
    DataOption,
    DataSeed,
    Device,
    IdColumn,
    Json,
    RawSource,
    Size,
    SmilesColumn,
    SourceDir,
    TargetName,
    app,
    dataset_options,
    log,
    out,
    print_content,
    print_metrics,
    print_trust,
)
from pellucid.errors import PellucidError


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
    options = dataset_options(source, source_dir, size, data_seed, data)
    options |= {name: value for name, value in own.items() if value is not None}
    common: dict[str, Any] = {"backbone": backbone, "method": method, "preset": preset, "epochs": epochs, "seed": seed,
                              "device": device, "progress": True, "overwrite": overwrite,
                              "over": parse_settings(set_ or [])}
    if folds is not None:
        from pellucid.cross_validation import cross_validate

        found = cross_validate(dataset, target, folds=folds, out=out_, dataset_options=options, **common)
        print_metrics(found.metrics, as_json, f"{out_}, {folds} folds")
        log.print(f"report: {found.report}", soft_wrap=True)
        return
    run = fit(dataset, target, out=out_, dataset_options=options, **common)
    print_metrics(run.metrics, as_json, f"{run.folder}, test split")
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
          by: Annotated[list[str] | None, typer.Option(help="Explainers; default: all that ask the model and apply, "
                                                       "and own.")] = None,
          size: Annotated[int, typer.Option(min=80, help="Molecules at most.")] = 2000,
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
        print_content(known if as_json else {name: one["rule"] for name, one in known.items()}, as_json, "rules")
        return
    if rule is None or out_ is None:
        raise PellucidError("expected a rule and a folder, got none; give --rule and --out, or --list for the rules "
                            "that come along")
    from pellucid.planting import trust as plant

    planted = plant(rule, table, out=out_, graph=graph, methods=method or (), by=by or (), size=size,
                    explained=explained, smiles=smiles, id=id_, preset=preset, seed=seed, device=device, progress=True,
                    overwrite=overwrite)
    if as_json:
        print_content(planted.document(), True, "")
    else:
        score = "ROC AUC" if planted.kind == "binary" else "Spearman"
        table_ = Table("explainer", "of", score, "95 % interval", "samples", "seconds", title_justify="left",
                       title=f"{planted.rule}: how well it is found")
        for one in planted.found:
            cells = (["", one.trouble, "", ""] if one.trouble else
                     [f"{one.score:.3f}", f"{one.low:.3f} to {one.high:.3f}" if one.samples > 1 else "",
                      str(one.samples), f"{one.seconds:.1f}"])
            table_.add_row(one.name, one.method, *cells)
        table_.add_row("(chance)", "", f"{planted.chance:.3f}", "", "", "")
        if planted.most < 0.9995:
            table_.add_row("(at most)", "", f"{planted.most:.3f}", "", "", "")
        out.print(table_)
    log.print(planted.sentence, markup=False, soft_wrap=True)


@app.command(epilog="Example: pellucid evaluate runs/first --json")
def evaluate(run: Annotated[Path, typer.Argument(help="Run folder")],
             split: Annotated[str, typer.Option(help="train, val or test")] = "test",
             target: TargetName = None, device: Device = "auto", as_json: Json = False) -> None:
    """Measure a finished run again, on the dataset it was trained on."""
    from pellucid.api import evaluate as measure

    print_metrics(measure(run, split=split, target=target, device=device), as_json, f"{run}, {split} split")


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
        print_content(found.document(), True, "")
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
    from pellucid.commands.explaining import MOST_TOLD, Outside, other_targets, prediction_table
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
    skipped = explanation.provenance["skipped"]
    for text in skipped[:MOST_TOLD]:
        log.print(f"left out: {text}", style="yellow")
    if len(skipped) > MOST_TOLD:
        log.print(f"left out: {len(skipped) - MOST_TOLD} more; the report names them all.", style="yellow")
    for text in Outside(explanation.provenance["outside"]).told(explanation.clouds):
        log.print(text, style="yellow", soft_wrap=True)
    if target is None and (sentence := other_targets(explanation)) is not None:
        log.print(sentence, soft_wrap=True)
    if as_json:
        print_content(found.table(), True, "")
    else:
        names, rows = prediction_table(explanation)
        table = Table(*names, title="predictions", title_justify="left")
        for row in rows:
            table.add_row(*row)
        out.print(table)
    for text in (agreement(explanation), *(agreeing(found) if found is not explanation else ())):
        if text is not None:
            log.print(text)
    print_trust(explanation.provenance)
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
        print_content(summary.document(), True, "")
    for sentence in summary.sentences("samples"):
        log.print(sentence, soft_wrap=True)
    for path in summary.files.values():
        log.print(f"written: {path}", soft_wrap=True)
