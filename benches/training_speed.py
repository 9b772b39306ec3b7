"""How fast pellucid trains and explains, against the same models written the usual way (see peer.py).

    python benches/training_speed.py                              # LRI-Gaussian on three backbones, real molecules
    python benches/training_speed.py --source-dir FOLDER          # on the 8,671 molecules of the LRI paper
    python benches/training_speed.py --synthetic --backbones egnn # random clouds, needs no data

Both sides start from the same weights and take the same batches in the same order, in turn; medians are reported.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import logging
import math
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import lightning as L
import torch
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader

from peer import from_ours, to_data
from pellucid.backbones import dgcnn
from pellucid.clouds import PointClouds
from pellucid.datasets import load_dataset
from pellucid.methods import Method
from pellucid.spec import DataSpec
from pellucid.targets import Targets
from pellucid.training.batches import Batches
from pellucid.training.config import RunConfig
from pellucid.training.explaining import explain_clouds
from pellucid.training.model import build, measured
from pellucid.training.module import TrainingModule
from pellucid.training.objectives.supervised import Supervised
from pellucid.training.predict import batches_of, run_over
from pellucid.training.presets import settings
from timing import interleaved, machine, peak_resident, reset_peak, resident, seconds, summary

CATEGORIES = 14
EVALUATION = 256
"""Clouds a batch of evaluation passes, on both sides."""


def synthetic(count: int) -> PointClouds:
    """Random clouds of the size of small molecules; the label says whether two kinds of points lie close together."""
    random = torch.Generator().manual_seed(0)
    sizes = torch.randint(10, 33, (count,), generator=random)
    ptr = torch.cat([torch.zeros(1, dtype=torch.int64), sizes.cumsum(0)])
    points = int(ptr[-1])
    batch = torch.repeat_interleave(torch.arange(count), sizes)
    categories = torch.randint(0, CATEGORIES, (points, 1), generator=random)
    kind = torch.zeros(count, 2).index_put_((batch, (categories[:, 0] == 1).long()), torch.ones(()), accumulate=True)
    split = torch.zeros(count, dtype=torch.int64)
    split[int(0.8 * count) :] = 1
    split[int(0.9 * count) :] = 2
    return PointClouds(ptr, {"pos": 2.5 * torch.randn(points, 3, generator=random), "categories": categories,
                             "y": (kind[:, 1:] > 1).float(), "split": split})


def data_of(args: argparse.Namespace) -> PointClouds:
    if args.synthetic:
        return synthetic(2000)
    options = {"source": "logic8", "source_dir": args.source_dir} if args.source_dir else {}
    return load_dataset("synmol", **options).clouds


def model_of(config: RunConfig, clouds: PointClouds) -> Method:
    torch.manual_seed(config.seed)
    spec = DataSpec.of(clouds, Targets.of("binary"), category_sizes=(CATEGORIES,))
    return build(config, measured(spec, clouds.split("train"), config)).train()


class Ours:
    """pellucid, step by step as its Lightning module does it."""

    name = "pellucid"

    def __init__(self, method: Method, config: RunConfig, train: PointClouds) -> None:
        self.model, self.config = method, config
        self.batches = Batches(train, method.neighbors(train), config.training.batch_size, config.seed)
        self.optimizer = self.module().configure_optimizers()

    def module(self) -> TrainingModule:
        spec = DataSpec.of(self.batches.clouds, self.model.targets)
        return TrainingModule(self.model, Supervised(self.model, spec), self.config, self.batches, self.batches)

    def batch(self, chosen: torch.Tensor) -> Any:
        batches = self.batches
        return batches.clouds.select(chosen), batches.neighbors.select(batches.clouds.ptr, chosen)

    def step(self, batch: Any) -> torch.Tensor:
        clouds, neighbors = batch
        output = self.model(clouds, neighbors, epoch=0)
        loss = self.model.targets.loss(output.logits, clouds["y"])
        if output.penalty is not None:
            loss = loss + output.penalty
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def epoch(self) -> None:
        self.model.train()
        self.batches.epoch += 1
        for batch in self.batches:
            self.step(batch)

    def lightning_epoch(self) -> float:
        """Seconds of an epoch as ``pellucid train`` runs it, without what comes before and after."""
        clock = Clock()
        fit = self.module()
        fit.validate_now = lambda: {"val_score": 0.0, "val_loss": 0.0}  # type: ignore[method-assign]
        self.model.train()
        with tempfile.TemporaryDirectory() as folder:
            L.Trainer(accelerator="cpu", devices=1, max_epochs=1, logger=False, enable_checkpointing=False,
                      enable_progress_bar=False, enable_model_summary=False, default_root_dir=folder,
                      callbacks=[clock]).fit(fit)
        return clock.took

    def explain(self, clouds: PointClouds) -> None:
        """From clouds to importances, neighbourhoods included."""
        self.model.eval()
        if self.model.explains:
            explain_clouds(self.model, clouds)
        else:
            run_over(self.model, batches_of(self.model, clouds))


class Clock(L.Callback):
    """Times a training epoch; callbacks run before the module's own hooks, so validation is not counted."""

    took = math.nan

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.started = time.perf_counter()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.took = time.perf_counter() - self.started


class Theirs:
    """The peer, with ``Data`` objects and ``DataLoader``."""

    name = "peer"

    def __init__(self, method: Method, config: RunConfig, train: PointClouds, clean_pass: bool) -> None:
        self.model = from_ours(method, clean_pass=clean_pass)
        c = config.training
        self.data = to_data(train, method.neighbors(train))
        self.loader = DataLoader(self.data, batch_size=c.batch_size, shuffle=True, num_workers=0)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=c.learning_rate, weight_decay=c.weight_decay)

    def batch(self, chosen: torch.Tensor) -> Batch:
        return Batch.from_data_list([self.data[i] for i in chosen.tolist()])

    def step(self, batch: Batch) -> torch.Tensor:
        result = self.model(batch, epoch=0)
        loss = self.model.loss(result, batch.y)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def epoch(self) -> None:
        self.model.train()
        for batch in self.loader:
            self.step(batch)

    @torch.no_grad()
    def explain(self, data: list[Any]) -> None:
        """From ``Data`` with edges to importances; two passes, the third is for training only."""
        self.model.eval()
        results = [self.model(batch) for batch in DataLoader(data, batch_size=EVALUATION)]
        torch.cat([r.logits for r in results]).sigmoid()
        for name in ("importance", "covariance"):
            if getattr(results[0], name) is not None:
                torch.cat([getattr(r, name) for r in results])


def orders(count: int, size: int) -> Iterator[torch.Tensor]:
    """Places of the clouds of one batch after another, epoch after epoch, without the small last ones."""
    random = torch.Generator().manual_seed(1)
    size = min(size, count)
    while True:
        order = torch.randperm(count, generator=random)
        for at in range(0, count - size + 1, size):
            yield order[at : at + size]


def measure_steps(sides: list[Any], places: Iterator[torch.Tensor], steps: int, burst: int = 5) -> dict[str, Any]:
    """Times of training steps; both sides take the same batches, a few at a time, in turn.

    Args:
        sides: Ours and the peer.
        places: The batches.
        steps: Steps to count at least; ``burst`` come before.
        burst: Steps of one side before it is the other's turn.
    """
    times: dict[str, list[float]] = {side.name: [] for side in sides}
    for r in range(1 + math.ceil(steps / burst)):
        chosen = list(itertools.islice(places, burst))
        for side in sides if r % 2 == 0 else sides[::-1]:
            for place in chosen:
                batch = side.batch(place)  # batching is timed with the epoch; each batch is new, nothing is cached
                took = seconds(lambda side=side, batch=batch: side.step(batch))
                if r > 0:
                    times[side.name].append(took)
    return {name: summary(values) for name, values in times.items()}


def measure_losses(make: Callable[[], list[Any]], count: int, size: int, steps: int, restarts: int) -> dict[str, Any]:
    """Mean loss over the second half of some steps, over restarts that differ in their random numbers alone.

    Losses of one run hang together, so that only the spread over restarts says how far apart two equals may be.

    Args:
        make: Ours and the peer, from the same weights each time.
        count: Clouds.
        size: Clouds a batch.
        steps: Steps of each run, on the same batches.
        restarts: Runs of each side.
    """
    tails: dict[str, list[float]] = {}
    for restart in range(restarts):
        for i, side in enumerate(make()):
            torch.manual_seed(2 * restart + i)
            losses = [float(side.step(side.batch(place))) for place in itertools.islice(orders(count, size), steps)]
            tails.setdefault(side.name, []).append(statistics.fmean(losses[steps // 2 :]))
    ours, theirs = tails.values()
    error = math.sqrt((statistics.variance(ours) + statistics.variance(theirs)) / restarts)
    return {"steps": steps, "restarts": restarts, "mean": {name: statistics.fmean(v) for name, v in tails.items()},
            "spread": {name: statistics.stdev(v) for name, v in tails.items()},
            "difference": statistics.fmean(ours) - statistics.fmean(theirs), "standard_error": error}


def measure(config: RunConfig, clouds: PointClouds, args: argparse.Namespace) -> dict[str, Any]:
    train, test = clouds.split("train").without_text(), clouds.split("test").without_text()
    method, size = model_of(config, clouds), config.training.batch_size

    def make() -> list[Any]:
        return [Ours(copy.deepcopy(method), config, train), Theirs(method, config, train, not args.without_clean_pass)]

    ours, theirs = make()
    steps = measure_steps([ours, theirs], orders(len(train), size), args.steps)
    result: dict[str, Any] = {"backbone": config.backbone.name, "method": config.method.name,
                              "batch_size": size, "train_clouds": len(train),
                              "test_clouds": len(test), "parameters": sum(p.numel() for p in method.parameters()),
                              "times": {"training step": steps}}
    if args.epochs:
        epochs = interleaved({"plain": lambda: seconds(ours.epoch), theirs.name: lambda: seconds(theirs.epoch),
                              "lightning": ours.lightning_epoch}, args.epochs, warmup=0, clock=lambda work: work())
        for row, key in (("training epoch", "plain"), ("same, Lightning", "lightning")):
            result["times"][row] = {ours.name: summary(epochs[key]), theirs.name: summary(epochs[theirs.name])}
    data = to_data(test, method.neighbors(test))
    passes: dict[str, Callable[[], Any]] = {ours.name: lambda: ours.explain(test),
                                            theirs.name: lambda: theirs.explain(data)}
    explained = interleaved(passes, args.explanations)
    result["times"]["explain test split"] = {name: summary(times) for name, times in explained.items()}
    if args.restarts:
        result["losses"] = measure_losses(make, len(train), size, args.loss_steps, args.restarts)
    if not args.no_memory:
        result["memory"] = {side: memory_in_child(config, args, side) for side in ("pellucid", "peer")}
    return result


def memory_in_child(config: RunConfig, args: argparse.Namespace, side: str) -> dict[str, int]:
    command = [sys.executable, __file__, "--backbones", config.backbone.name, "--methods", config.method.name,
               "--form", args.form,
               "--threads", str(args.threads), "--steps", str(args.steps), "--memory-of", side]
    command += ["--synthetic"] * args.synthetic + ["--without-clean-pass"] * args.without_clean_pass
    command += ["--source-dir", args.source_dir] if args.source_dir else []
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measure_memory(config: RunConfig, clouds: PointClouds, args: argparse.Namespace) -> dict[str, int]:
    """Growth of this process: by getting ready (batches, model and optimiser, beside the flat clouds), and at most
    while training.
    """
    train = clouds.split("train").without_text()
    method = model_of(config, clouds)
    before = resident()
    side = (Ours(method, config, train) if args.memory_of == "pellucid"
            else Theirs(method, config, train, not args.without_clean_pass))
    ready = resident()
    reset_peak()
    for place in itertools.islice(orders(len(train), config.training.batch_size), args.steps):
        side.step(side.batch(place))
    return {"data": ready - before, "training": peak_resident() - ready}


def table(result: dict[str, Any]) -> str:
    ours, theirs = Ours.name, Theirs.name
    lines = [f"{result['method']} on {result['backbone']}: {result['train_clouds']} clouds to train on, batches of "
             f"{result['batch_size']}, {result['parameters']} parameters",
             f"  {'':22}{ours:>22}{theirs:>26}{'peer / pellucid':>18}"]
    for name, times in result["times"].items():
        scale, unit = (1e3, "ms") if times[ours]["median"] < 1 else (1, "s")
        cells = [f"{t['median'] * scale:.1f} {unit} ({t['low'] * scale:.1f}-{t['high'] * scale:.1f})"
                 for t in (times[ours], times[theirs])]
        ratio = times[theirs]["median"] / times[ours]["median"]
        lines.append(f"  {name:22}{cells[0]:>22}{cells[1]:>26}{ratio:>17.2f}x")
    for name, about in (("data", "memory: beside clouds"), ("training", "memory: steps, peak")):
        if "memory" in result:
            a, b = (result["memory"][side][name] / 2**20 for side in (ours, theirs))
            ratio = f"{b / a:>17.2f}x" if name == "training" else ""  # of small numbers it would say nothing
            lines.append(f"  {about:22}{f'{a:.1f} MiB':>22}{f'{b:.1f} MiB':>26}{ratio}")
    if "losses" in result:
        loss = result["losses"]
        cells = [f"{loss['mean'][side]:.4f} (+-{loss['spread'][side]:.4f})" for side in (ours, theirs)]
        lines.append(f"  {'loss':22}{cells[0]:>22}{cells[1]:>26}   difference {loss['difference']:+.4f} +- "
                     f"{loss['standard_error']:.4f} ({loss['restarts']} runs of {loss['steps']} steps)")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbones", nargs="+", default=["egnn", "dgcnn", "point_transformer"])
    parser.add_argument("--methods", nargs="+", default=["lri-gaussian"], help="lri-gaussian, lri-bernoulli, erm")
    parser.add_argument("--form", default="release", choices=dgcnn.FORMS, help="of the layers of dgcnn")
    parser.add_argument("--source-dir", help="folder with the raw SynMol files of the paper; default: ZINC")
    parser.add_argument("--synthetic", action="store_true", help="random clouds instead of molecules")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=60, help="training steps timed on each side")
    parser.add_argument("--epochs", type=int, default=3, help="training epochs timed on each side; 0 = none")
    parser.add_argument("--restarts", type=int, default=5, help="runs that compare the losses; 0 = none")
    parser.add_argument("--loss-steps", type=int, default=30, help="training steps of each of them")
    parser.add_argument("--explanations", type=int, default=7, help="explanation passes timed on each side")
    parser.add_argument("--without-clean-pass", action="store_true", help="the peer leaves out the third pass")
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--memory-of", choices=["pellucid", "peer"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.steps < 2 or args.loss_steps < 2 or args.restarts == 1 or args.explanations < 1:
        parser.error("expected at least 2 steps, 2 restarts (or 0) and 1 explanation")
    torch.set_num_threads(args.threads)
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    clouds = data_of(args)
    results = []
    for method, backbone in itertools.product(args.methods, args.backbones):
        # the joint phase is what is measured, so the run has no warm-up
        over = {"backbone": {"options": {"form": args.form}}} if backbone == "dgcnn" else {}
        config = settings("synmol", method, backbone, "paper", {"training": {"warmup": 0}, **over})
        if args.memory_of:
            print(json.dumps(measure_memory(config, clouds, args)))
            return
        results.append(measure(config, clouds, args))
        if not args.json:
            print(table(results[-1]), flush=True)
    if args.json:
        print(json.dumps({"machine": machine(), "peer_passes": 2 if args.without_clean_pass else 3,
                          "data": "synthetic" if args.synthetic else "logic8" if args.source_dir else "zinc",
                          "results": results}, indent=1))
    else:
        print(", ".join(f"{k} {v}" for k, v in machine().items()))


if __name__ == "__main__":
    main()
