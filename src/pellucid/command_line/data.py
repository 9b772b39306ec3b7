"""What is registered, and datasets: ``list``, ``data``."""

from __future__ import annotations

from typing import Annotated

import typer

from pellucid.command_line.parts import (
    OWN_FLAGS,
    DataSeed,
    Json,
    RawSource,
    Size,
    SourceDir,
    app,
    data_app,
    dataset_options,
    print_content,
)


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
    print_content(known[kind].describe(), as_json, kind)


@data_app.command("list", epilog="Example: pellucid data list")
def data_list(as_json: Json = False) -> None:
    """List the datasets."""
    list_("datasets", as_json)


@data_app.command("options", epilog="Example: pellucid data options actstrack")
def data_options(name: Annotated[str, typer.Argument(help="Dataset, e.g. actstrack")], as_json: Json = False) -> None:
    """List the options of a dataset with their defaults and what they mean."""
    from pellucid.datasets.base import option_table

    print_content(option_table(name), as_json, name)


@data_app.command("prepare", context_settings=OWN_FLAGS, epilog="Example: pellucid data prepare synmol --size 2000; "
                  "pellucid data prepare actstrack --field 4 --tracks 20")
def data_prepare(ctx: typer.Context, name: Annotated[str, typer.Argument(help="Dataset, e.g. synmol")],
                 source: RawSource = None, source_dir: SourceDir = None, size: Size = None, seed: DataSeed = None,
                 processes: Annotated[int | None, typer.Option(min=1, help="Worker processes.")] = None,
                 as_json: Json = False) -> None:
    """Make a dataset, or go on where a stop left it. Further flags: pellucid data options NAME."""
    from pellucid.commands.settings_text import parse_flags
    from pellucid.datasets import load_dataset

    options = dataset_options(source, source_dir, size, seed) | ({"processes": processes} if processes else {})
    prepared = load_dataset(name, progress=True, **options, **parse_flags(ctx.args))
    print_content({"clouds": len(prepared.clouds), "path": str(prepared.path)}, as_json, name)


@data_app.command("describe", context_settings=OWN_FLAGS, epilog="Example: pellucid data describe synmol --json")
def data_describe(ctx: typer.Context, name: Annotated[str, typer.Argument(help="Dataset, e.g. synmol")],
                  source: RawSource = None, source_dir: SourceDir = None, size: Size = None, seed: DataSeed = None,
                  as_json: Json = False) -> None:
    """Describe a dataset: counts, class ratio, points and important points a sample, provenance."""
    from pellucid.commands.settings_text import parse_flags
    from pellucid.datasets import describe, load_dataset

    options = dataset_options(source, source_dir, size, seed) | parse_flags(ctx.args)
    print_content(describe(load_dataset(name, progress=True, **options)), as_json, name)
