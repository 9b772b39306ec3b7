"""What commands share: the app, options of the same name, how results are printed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

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


def dataset_options(source: str | None, source_dir: Path | None, size: int | None, seed: int | None,
                    data: list[str] | None = None) -> dict[str, Any]:
    """Options of a dataset out of the flags that all datasets share and ``--data``."""
    from pellucid.commands.settings_text import parse_settings

    given = {"source": source, "source_dir": source_dir, "size": size, "seed": seed}
    return {name: value for name, value in given.items() if value is not None} | parse_settings(data or [])


def print_content(content: Any, as_json: bool, title: str) -> None:
    """Prints a nested dictionary as JSON to stdout, or as a table."""
    if as_json:
        sys.stdout.write(json.dumps(content, indent=2, default=str) + "\n")
        return
    table = Table(title=title, show_header=False, title_justify="left")
    table.add_column()
    table.add_column(overflow="fold")  # a long SMARTS is shown whole
    for name, value in _flat(content):
        table.add_row(name, value)
    out.print(table)


def print_metrics(metrics: dict[str, Any], as_json: bool, title: str) -> None:
    """Prints metrics, and what they say about trust as a sentence below."""
    told = {name: value for name, value in metrics.items() if name not in ("trust", "targets")}
    print_content(metrics if as_json else told, as_json, title)
    print_trust(metrics)
    for name, other in metrics.get("targets", {}).items():
        print_trust(other, f"{name}: ")


def print_trust(about: dict[str, Any], of: str = "Can it be trusted? ") -> None:
    """Prints what is said of trust, where anything is."""
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
