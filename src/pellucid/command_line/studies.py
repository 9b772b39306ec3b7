"""``bench`` and ``audit``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from pellucid.command_line.parts import (
    DataOption,
    DataSeed,
    Json,
    RawSource,
    Size,
    SourceDir,
    app,
    dataset_options,
    log,
    out,
    print_content,
)
from pellucid.errors import PellucidError


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
            print_content(found, as_json, table)
        if out_ is not None and not dry_run:
            log.print(f"page: {out_ / 'results.html'}", soft_wrap=True)
        return
    result = run_bench(table, datasets=parse_names(datasets), backbones=parse_names(backbones),
                       methods=parse_names(methods), preset=preset, seeds=parse_numbers(seeds), store=store,
                       artifacts=artifacts, out=out_, workers=workers, ray=ray, device=device,
                       dataset_options=dataset_options(source, source_dir, size, data_seed, data),
                       retry_failed=retry_failed, dry_run=dry_run, progress=True, command=command)
    if isinstance(result, ResultTable):
        sys.stdout.write(json.dumps(result.document(), indent=2) + "\n" if as_json else markdown(result))
    elif as_json:
        print_content(result, True, "")
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
        print_content(found.summary, True, "")
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
