"""How well pellucid and its peers find rules that were planted in real molecules (dataset `rules`).

    python benches/rules.py --out records/rules.jsonl --half development --geometry graph --variants erm lri-bernoulli
    python benches/rules.py --out records/rules.jsonl --half reported --peers forest gin pellucid --seeds 0 1 2 3 4
    python benches/rules.py --out records/rules.jsonl --table

A cell (rule, geometry, seed, peer) is one line of ``--out``; one that is there is skipped. Molecules, labels and split
are those of seed 0 for all; the seed is the model's. Forest and GIN are those of ``molecule_peers.py``; they see bonds
alone.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rdkit import Chem

sys.path.insert(0, str(Path(__file__).resolve().parent))

from peers_molecules.jobs import Job, run
from peers_molecules.metrics import prediction_metrics
from peers_molecules.peers import peers_of
from pellucid.api import fit
from pellucid.chemistry.encoding import molecule_of
from pellucid.clouds import SPLITS
from pellucid.commands.comparing import compare_run
from pellucid.commands.explaining import OWN, ExplainedRun, prepare
from pellucid.datasets.base import PreparedDataset, load_dataset
from pellucid.datasets.rules import named_rules
from pellucid.errors import PellucidError
from pellucid.explainers import explainers
from pellucid.metrics.trust import trust
from pellucid.planting import SKIPPED, judged, scores
from pellucid.training.presets import explainer_options

IN_3D = ("distance", "chirality")
SEE_ALL = "all"
COMPARED = 100
"""Validation samples of a comparison."""


def cells(given: argparse.Namespace) -> Iterator[tuple[str, str, int, str]]:
    for seed in given.seeds:
        for geometry in given.geometry:
            for name, rule in named_rules().items():
                wanted = rule.half == given.half if not given.rules else name in given.rules
                if wanted and not (geometry == "graph" and rule.kind in IN_3D):
                    for peer in given.peers:
                        yield name, geometry, seed, peer


def smiles_of(data: PreparedDataset) -> tuple[list[str], list[list[int]]]:
    """SMILES of all molecules, and for each of its atoms the point."""
    texts, orders = [], []
    for i in range(len(data.clouds)):
        mol = molecule_of(data.clouds, i)
        texts.append(Chem.MolToSmiles(mol, canonical=False))
        orders.append(json.loads(mol.GetProp("_smilesAtomOutputOrder").replace(",]", "]")))
    return texts, orders


def of_script(peer: Any, data: PreparedDataset, seed: int, most: int, folder: Path) -> dict[str, Any]:
    """Forest or GIN."""
    clouds = data.clouds
    kind = "regression" if "contribution" in clouds else "classification"
    texts, orders = smiles_of(data)
    parts = [SPLITS[k] for k in clouds["split"].tolist()]
    tested = judged(clouds.split("test"), most)
    places = {name: i for i, name in enumerate(clouds.text["id"])}
    chosen = [places[name] for name in tested.text["id"]]
    job = Job.write(folder / "job", kind, ["label"], seed, texts, clouds["y"].double().numpy(), parts, chosen)
    spent = sum(run(command, job.folder / "log.txt")["processor"] for command in peer.fit(job))
    explaining = sum(run(command, job.folder / "log.txt")["processor"] for command in peer.explain(job))
    importance = []
    for place, given in zip(chosen, job.importance(), strict=True):
        points = np.zeros(len(given))
        points[orders[place]] = given
        importance.append(points)
    values = scores(tested, torch.from_numpy(np.concatenate(importance)))
    of = {part: np.array(parts) == part for part in ("train", "test")}
    y = clouds["y"].double().numpy()
    predicted = prediction_metrics(kind, ["label"], job.predictions(), y[of["test"]], y[of["train"]], {})
    return {"score": predicted["score"], "own": told(values), "seconds": {"fit": spent, "explain": explaining}}


def told(values: torch.Tensor) -> dict[str, Any]:
    known = values[~values.isnan()]
    return {"mean": round(float(known.mean()), 4), "each": [round(v, 3) for v in known.tolist()]}


def of_pellucid(data: PreparedDataset, geometry: str, seed: int, most: int, folder: Path, method: str,
                over: dict[str, Any], by: list[str]) -> dict[str, Any]:
    started = time.process_time()
    trained = fit(data, out=folder / "run", method=method or None, seed=seed, device="cpu", over=over, report=False)
    record: dict[str, Any] = {"seconds": {"fit": time.process_time() - started}, "by": {}}
    predicted = trained.metrics["prediction"]["rule"]
    record["score"] = predicted.get("rmse") if "rmse" in predicted else predicted["roc_auc"]
    blind = {name: value for name, value in trained.metrics.items() if name != "interpretation"}
    record["trust"] = trust(blind).document()["level"]  # as where nobody knows the truth
    record["measured"] = {name: trained.metrics.get(name) for name in ("removal", "fidelity", "sanity", "stability")}
    if by == [SEE_ALL]:  # which one would be recommended, without a look at the truth
        compared = compare_run(trained.folder, torch.device("cpu"), data.clouds, samples=COMPARED, seed=seed)
        record["recommended"] = compared.recommended
    tested = judged(data.clouds.split("test"), most)
    for name in [OWN, *(by if by != [SEE_ALL] else [n for n in explainers if n not in SKIPPED])]:
        started = time.process_time()
        try:
            options = {} if name == OWN else explainer_options("rules", name, "fast")
            source = ExplainedRun.open(trained.folder, torch.device("cpu"), None if name == OWN else name,
                                       options or None)
            source.refuse(tested)
            prepare([source], data.clouds, seed=seed)
            explanation = source.explain(tested, seed=seed).of()
        except PellucidError as error:
            record["by"][name] = {"trouble": str(error)}
            continue
        found = told(scores(tested, explanation.importance))
        record["seconds"][name] = time.process_time() - started
        columns = {column: told(scores(tested, values.float()))["mean"]
                   for column, values in explanation.columns.items() if values.dtype.is_floating_point}
        if name == OWN:
            record["own"], record["columns"] = found, columns
        record["by"][name] = {"mean": found["mean"]}
    return record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--half", choices=["development", "reported"], default="development")
    parser.add_argument("--rules", nargs="*", default=[])
    parser.add_argument("--geometry", nargs="+", default=["graph"], choices=["graph", "3d"])
    parser.add_argument("--peers", nargs="+", default=["pellucid"], help="forest, gin, pellucid, or NAME of a variant")
    parser.add_argument("--method", default="", help="of a variant; choose on development rules")
    parser.add_argument("--over", default="{}", help="settings of a variant as JSON; choose on development rules")
    parser.add_argument("--by", nargs="*", default=[], help="explainers asked as well; all for all")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--size", type=int, default=2000)
    parser.add_argument("--explained", type=int, default=200)
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    records = [json.loads(line) for line in given.out.read_text().splitlines()] if given.out.exists() else []
    if given.table:
        print(table(records))
        return
    if (given.method or given.over != "{}") and "pellucid" in given.peers:
        parser.error("records named pellucid are of its defaults: name your variant in --peers")
    done = {(r["rule"], r["geometry"], r["seed"], r["peer"]) for r in records}
    torch.set_num_threads(1)
    scripts = {name: peer for name, peer in peers_of(None, (), ()).items() if name in ("forest", "gin")}
    for cell in cells(given):
        if cell in done:
            continue
        name, geometry, seed, peer = cell
        data = load_dataset("rules", rule=name, size=given.size, seed=0, geometry=geometry, progress=False)
        with tempfile.TemporaryDirectory(prefix="rules-") as folder:
            made = (of_script(scripts[peer], data, seed, given.explained, Path(folder)) if peer in scripts else
                    of_pellucid(data, geometry, seed, given.explained, Path(folder), given.method,
                                json.loads(given.over), given.by))
        record = {"rule": name, "kind": named_rules()[name].kind, "half": named_rules()[name].half,
                  "geometry": geometry, "seed": seed, "peer": peer, **made, "molecules": len(data.clouds),
                  "cores": os.cpu_count(), "python": platform.python_version(),
                  "date": datetime.datetime.now(datetime.UTC).isoformat("T", "seconds")}
        given.out.parent.mkdir(parents=True, exist_ok=True)
        with given.out.open("a") as file:
            file.write(json.dumps(record) + "\n")
        print(f"{' '.join(map(str, cell))}: prediction {record['score']:.4f}, own {record['own']['mean']:.3f}",
              {k: v.get("mean") for k, v in record.get("by", {}).items()}, record.get("columns"), flush=True)


def table(records: list[dict[str, Any]]) -> str:
    """Mean over seeds of each rule and peer."""
    lines = []
    for half in ("development", "reported"):
        for geometry in ("graph", "3d"):
            own = [r for r in records if r["half"] == half and r["geometry"] == geometry]
            peers = list(dict.fromkeys(r["peer"] for r in own))
            if not own:
                continue
            lines += ["", f"**{half}, {geometry}**", "", "| rule | " + " | ".join(peers) + " |",
                      "|---" * (len(peers) + 1) + "|"]
            means: dict[tuple[bool, str], list[float]] = {}
            for name in dict.fromkeys(r["rule"] for r in own):
                row, kind = [], named_rules()[name].kind
                for peer in peers:
                    values = [r["own"]["mean"] for r in own if r["rule"] == name and r["peer"] == peer]
                    if values:
                        means.setdefault((kind == "additive", peer), []).append(float(np.mean(values)))
                    spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
                    row.append(f"{np.mean(values):.3f}{spread}" if values else "")
                lines.append(f"| {name} | " + " | ".join(row) + " |")
            for additive, title in ((False, "mean ROC AUC"), (True, "mean Spearman, additive")):
                lines.append(f"| **{title}** | " + " | ".join(
                    f"{np.mean(means[additive, p]):.3f}" if (additive, p) in means else "" for p in peers) + " |")
    return "\n".join([*lines, *warned(records), *advised(records)])


def warned(records: list[dict[str, Any]]) -> list[str]:
    """How often a run says that its importance is no answer, where it is none and where it is one; sums apart."""
    lines = []
    for half in ("development", "reported"):
        runs = [(r["own"]["mean"], r["trust"]) for r in records
                if r["half"] == half and r["kind"] != "additive" and isinstance(r.get("trust"), str)]
        low, high = [level for auc, level in runs if auc < 0.7], [level for auc, level in runs if auc > 0.9]
        if runs:
            lines += ["", f"{half}, all methods, rules and seeds: {low.count('no')} of {len(low)} runs with a ROC AUC "
                      f"below .7 say that they are no answer, and {high.count('no')} of {len(high)} above .9."]
    return lines


def advised(records: list[dict[str, Any]]) -> list[str]:
    """How far the explainer that was recommended without the truth is from the best of all."""
    lines = []
    for half in ("development", "reported"):
        found = []
        for r in records:
            if r["half"] != half or "recommended" not in r:
                continue
            known = {name: one["mean"] for name, one in r["by"].items() if one.get("mean") is not None}
            best = max(known, key=lambda name: known[name])
            found.append((known[best] - known.get(r["recommended"], float("nan")), r, best))
        if found:
            near = sum(gap <= 0.02 for gap, *_ in found)
            lines += ["", f"{half}: the recommended explainer is within .02 of the best in {near} of {len(found)} "
                      "runs."]
            lines += [f"- {r['rule']} {r['geometry']} seed {r['seed']}: {r['recommended']} {gap:.3f} below {best}"
                      for gap, r, best in found if not gap <= 0.02]
    return lines


if __name__ == "__main__":
    main()
