"""The peer of the speed benchmarks computes the same functions, or its times would mean nothing; and scripts run."""

import importlib.util
import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

from pellucid.backbones import backbones
from pellucid.methods import NeighborRule, methods
from pellucid.targets import Targets

with warnings.catch_warnings(action="ignore"):  # PyG scripts a class when it is imported, which torch deprecates
    import torch_geometric.nn  # noqa: F401
    from torch_geometric.data import Batch

ROOT = Path(__file__).parents[1]
BENCHES = ROOT / "benches"
METHODS = {
    "erm": ("erm", {}),
    "bernoulli": ("lri-bernoulli", {"alpha": 0.7, "beta": 0.5}),
    "gaussian": ("lri-gaussian", {"beta": 0.1, "graph_reconstruction": False}),
    "gaussian-phi": ("lri-gaussian", {"beta": 0.1, "graph_reconstruction": True}),
}


def load(name):
    spec = importlib.util.spec_from_file_location(f"benches_{name}", BENCHES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def peer():
    return load("peer")


@pytest.fixture(autouse=True)
def one_thread():
    """Two threads that spin on a busy machine make these tiny models thirty times slower."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


BACKBONES = ["dgcnn", "dgcnn release", "egnn", "point_transformer"]


def model_of(backbone, method, options):
    torch.manual_seed(1)
    if method == "lri-gaussian":
        options = {"reconstruct": NeighborRule(value=4), "neighbor_distance": 0.7, **options}

    name, _, form = backbone.partition(" ")

    def make():
        return backbones[name](3, (6, 6), hidden=8, layers=2, dropout=0.0, length_scale=1.3,
                               **({"form": form} if form else {}))

    model = methods[method].make(make, Targets.of("binary"), scale=4.0, dropout=0.0, **options).double()
    with torch.no_grad():  # away from the special values that batch norm starts with
        for name, parameter in model.named_parameters():
            if "norm" in name or ".1." in name or "phi" in name:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def both(model, peer_model, clouds, data, *, epoch=0):
    """Logits, loss, importance and covariance of both, under the same noise; gradients are left in the models."""
    results = []
    neighbors = model.neighbors(clouds)
    torch.manual_seed(7)
    ours = model(clouds, neighbors, epoch=epoch)
    loss = model.targets.loss(ours.logits, clouds["y"])
    results.append((ours, loss if ours.penalty is None else loss + ours.penalty))
    torch.manual_seed(7)
    theirs = peer_model(data, epoch)
    results.append((theirs, peer_model.loss(theirs, data.y)))
    return results


def close(a, b):
    torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("clean_pass", [True, False])
@pytest.mark.parametrize("sizes", [(9, 5, 14, 7), (1, 3, 8, 12)], ids=["full", "masked"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("backbone", BACKBONES)
def test_peer_computes_the_same_in_training(peer, random_clouds, backbone, method, sizes, clean_pass):
    clouds, model = random_clouds(sizes, categories=(6, 6), outputs=1), model_of(backbone, *METHODS[method])
    theirs = peer.from_ours(model, clean_pass=clean_pass)
    data = Batch.from_data_list(peer.to_data(clouds, model.neighbors(clouds)))
    (a, loss_a), (b, loss_b) = both(model, theirs, clouds, data, epoch=12)
    close(a.logits, b.logits)
    close(loss_a, loss_b)
    loss_a.backward()
    loss_b.backward()
    expected = peer.translate({name: parameter.grad for name, parameter in model.named_parameters()})
    got = {name: parameter.grad for name, parameter in theirs.named_parameters()}
    assert set(got) == set(expected)
    for name, grad in expected.items():
        close(grad, got[name])
        assert grad.abs().max() > 0 or "bias" in name, name  # a bias before batch norm has none
    if method == "erm" or not clean_pass:  # the third pass moves the running statistics
        assert getattr(b, "clean_logits", None) is None
        buffers = dict(theirs.named_buffers())
        for name, buffer in peer.translate(dict(model.named_buffers())).items():
            if method == "erm" or not name.startswith("encoder."):  # there ours keeps clean and perturbed clouds apart
                close(buffer, buffers[name])
    else:
        assert b.clean_logits.shape == (len(sizes), 1)
        assert not b.clean_logits.requires_grad


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("backbone", BACKBONES)
def test_peer_computes_the_same_in_evaluation(peer, random_clouds, backbone, method):
    clouds, model = random_clouds((9, 5, 14, 7), categories=(6, 6), outputs=1), model_of(backbone, *METHODS[method])
    model(clouds, model.neighbors(clouds))  # running statistics that are not those of a new model
    model.eval()
    for norm in model.modules():  # the peer has one set
        if "second_batches" in dict(norm.named_buffers(recurse=False)):
            norm.second_running_mean.copy_(norm.running_mean)
            norm.second_running_var.copy_(norm.running_var)
    theirs = peer.from_ours(model)
    assert not theirs.training
    data = Batch.from_data_list(peer.to_data(clouds, model.neighbors(clouds)))
    with torch.no_grad():
        (a, loss_a), (b, loss_b) = both(model, theirs, clouds, data)
    close(a.logits, b.logits)
    close(loss_a, loss_b)
    assert b.clean_logits is None
    for name in ("importance", "covariance"):
        if getattr(a, name) is not None:
            close(getattr(a, name), getattr(b, name))


def test_peer_refuses_what_it_has_no_counterpart_for(peer):
    model = model_of("egnn", "lri-bernoulli", {"shared": False})
    with pytest.raises(ValueError, match="shared encoder"):
        peer.from_ours(model)


@pytest.mark.slow
def test_the_speed_of_masks_is_measured_on_all_sides():
    command = [sys.executable, str(BENCHES / "bernmask_speed.py"), "--synthetic", "--backbones", "egnn", "--batched",
               "--json", "--molecules", "6", "--peer-molecules", "2", "--steps", "2", "--rounds", "1", "--warmup", "0"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    (result,) = json.loads(done.stdout)["results"]
    assert (result["molecules"], result["peer_molecules"], result["steps"]) == (6, 2, 2)
    assert len(result["times"]) == 3
    assert all(times["median"] > 0 for times in result["times"].values())


def test_every_script_finds_what_it_imports():
    """Nothing else calls most of them, so that a name that moved would be missed only by whoever runs one."""
    code = ("import runpy, sys, pathlib\n"
            "sys.path[:0] = ['benches', 'scripts']\n"
            "for path in sorted([*pathlib.Path('benches').glob('*.py'), *pathlib.Path('scripts').glob('*.py')]):\n"
            "    try:\n"
            "        runpy.run_path(str(path), run_name='imported')\n"
            "    except ImportError as error:\n"
            "        raise SystemExit(f'{path}: {error}')\n")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_results_in_parts_are_one_table(tmp_path):
    def part(seed, method, value):
        cell = {"dataset": "synmol", "backbone": "egnn", "method": method, "metric": "interpretation.roc_auc",
                "values": [value], "seeds": [seed]}
        made = {"date": "2026-11-29", "machine": "here", "code": "abc"}
        path = tmp_path / f"{seed}-{method}-{value}.json"
        path.write_text(json.dumps({"name": "lri-table2", "preset": "standard", "cells": [cell], "provenance": made}))
        return str(path)

    script, record = str(ROOT / "scripts" / "results.py"), str(tmp_path / "record.jsonl")
    subprocess.run([sys.executable, script, record, "--add", part(0, "gradgeo", 0.7)], check=True, capture_output=True)
    done = subprocess.run([sys.executable, script, record, "--add", part(1, "gradgeo", 0.8), part(0, "gradgeo", 0.1),
                           part(0, "lri-gaussian", 0.97)], check=True, capture_output=True, text=True)
    assert "| EGNN | GradGeo | 2 of 2 | 0.7500 ± 0.0707 | 0.7349 ± 0.0523 | +0.0151 ≈ |" in done.stdout
    assert "| EGNN | LRI-Gaussian | 1 of 1 | 0.9700 | 0.9728 ± 0.0065 | −0.0028 ≈ |" in done.stdout
    assert len((tmp_path / "record.jsonl").read_text().splitlines()) == 3
