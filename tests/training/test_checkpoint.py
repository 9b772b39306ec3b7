"""Checkpoints: exact round trips, refusal of all else, exact resume, and that no run folder can run code."""

from __future__ import annotations

import ast
import enum
import json
import math
import os
import pickle
import re
import struct
import sys
from collections import OrderedDict, namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning.pytorch.plugins.environments import SLURMEnvironment
from lightning.pytorch.utilities.exceptions import SIGTERMException
from safetensors.torch import save_file
from torch import Tensor

import pellucid
from pellucid.errors import DamagedFileError, PellucidError
from pellucid.training import RunConfig, checkpoint, load_model, train
from pellucid.training.checkpoint import DTYPES, LAST, SafeCheckpointIO, fitting, load, save
from pellucid.training.fit import warm_up
from pellucid.training.module import TrainingModule

sys.path.insert(0, str(Path(__file__).parent))
from toy import toy_clouds, toy_config, toy_spec

OPTIONS = {"spec": toy_spec(), "progress": False, "device": "cpu"}


def same(a: Any, b: Any) -> bool:
    """Equal in type and in every bit."""
    if type(a) is not type(b):
        return False
    if isinstance(a, Tensor):
        bits = (a.dtype, a.shape) == (b.dtype, b.shape)
        memory = [bytes(t.resolve_neg().contiguous().view(-1).view(torch.uint8).tolist()) for t in (a, b)]
        return bits and memory[0] == memory[1]
    if isinstance(a, dict):
        return list(a) == list(b) and all(type(x) is type(y) for x, y in zip(a, b, strict=True)) and all(
            same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float):
        return (math.isnan(a) and math.isnan(b)) or struct.pack("d", a) == struct.pack("d", b)
    return bool(a == b)


def again(state: Any, folder: Path) -> Any:
    save(folder / "state.safetensors", state)
    return load(folder / "state.safetensors")


shared = torch.arange(12.0).reshape(3, 4)
CASES: dict[str, Any] = {
    "nothing": {}, "none": None, "a number": 3, "an empty list": [], "an empty tuple": ((), [()], {}),
    "bools and ints": {"a": True, "b": 1, 0: False, 1: 0, -7: [True, 1]},
    "large ints": [2**53 + 1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**5000, -(10**5000)],
    "floats": [0.1, -0.0, 5e-324, 1.7976931348623157e308, float("nan"), float("inf"), float("-inf"), 1e22, 3.0],
    "texts": ["", "grüß dich", '"\\', "\0\n", "\U0001f600", "dict", "tensor"],
    "keys": {"0": "text", 0: "number", "": None},
    "what tags look like": {"tensor": "0", "dict": [["a", 1]], "x": {"tuple": [1]}, "float": "nan", "int": "0x1"},
    "optimizer": {"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.ones(2, 3)}}, "param_groups": [
        {"lr": 1e-3, "betas": (0.9, 0.999), "fused": None, "params": [0, 1]}]},
    "no dimensions": [torch.tensor(2.5), torch.tensor(7), torch.tensor(True)],
    "empty": [torch.empty(0), torch.empty(0, 3, dtype=torch.int64), torch.empty(2, 0)],
    "one memory": [shared, shared, shared[1], shared[1:, 2:], shared.T, shared.expand(2, 3, 4), shared.view(-1)[::5]],
    "bits": [torch.tensor([float("nan"), float("inf"), -0.0]), torch.tensor([0x7FC12345], dtype=torch.int32).view(
        torch.float32)],
    "negative views": torch._neg_view(torch.tensor([1.0, -2.0])),
    "channels last": torch.arange(48.0).reshape(1, 3, 4, 4).to(memory_format=torch.channels_last),
    **{str(dtype): torch.tensor([0, 1, 0, 1, 1]).to(dtype) for dtype in sorted(DTYPES, key=str)},
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_kept_comes_back_exactly(name: str, tmp_path: Path) -> None:
    back = again(CASES[name], tmp_path)
    assert same(back, CASES[name]), back
    assert [p.name for p in tmp_path.iterdir()] == ["state.safetensors"]


leaves = (st.none() | st.booleans() | st.integers() | st.integers(-(2**200), 2**200) | st.floats()
          | st.text(st.characters(exclude_categories=["Cs"])) | st.builds(
              lambda values, dtype: torch.tensor(values).to(dtype), st.lists(st.integers(0, 100)),
              st.sampled_from(sorted(DTYPES, key=str))) | st.floats(width=32).map(torch.tensor))
keys = st.integers() | st.text(st.characters(exclude_categories=["Cs"]))
states = st.recursive(leaves, lambda inner: st.lists(inner, max_size=4) | st.lists(inner, max_size=4).map(tuple)
                      | st.dictionaries(keys, inner, max_size=4), max_leaves=12)


@settings(max_examples=150)
@given(states)
def test_any_state_comes_back_exactly(tmp_path_factory: pytest.TempPathFactory, state: Any) -> None:
    assert same(again(state, tmp_path_factory.getbasetemp()), state)


@settings(max_examples=150)
@given(st.data())
def test_bytes_changed_at_random_are_read_or_refused_in_one_sentence(tmp_path_factory: pytest.TempPathFactory,
                                                                     data: st.DataObject) -> None:
    path = tmp_path_factory.getbasetemp() / "changed.safetensors"
    save(path, CASES["optimizer"])
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[:data.draw(st.integers(0, len(content)) | st.just(len(content)))])
    told = ""
    try:
        load(path)
    except PellucidError as error:  # anything else fails the test
        told = str(error)
    assert "\n" not in told
    assert not told or re.match("expected .*, got .*; ", told)


def test_what_is_loaded_shares_no_memory_and_the_file_may_go(tmp_path: Path) -> None:
    first, second = again([shared, shared], tmp_path)
    before = (tmp_path / "state.safetensors").read_bytes()
    first += 1
    assert torch.equal(second, shared)
    assert (tmp_path / "state.safetensors").read_bytes() == before
    (tmp_path / "state.safetensors").write_bytes(b"")
    assert torch.equal(first, shared + 1)


class Number(enum.IntEnum):
    ONE = 1


Pair = namedtuple("Pair", "a b")
endless: list[Any] = []
endless.append(endless)
deep: Any = 1
for _ in range(101):
    deep = [deep]


@pytest.mark.parametrize("value", [
    {1}, b"bytes", 1j, np.float64(1), np.ones(2), Number.ONE, Pair(1, 2), Path("x"), object(), TrainingModule, print,
    "\ud800",
    torch.ones(1, requires_grad=True), torch.nn.Parameter(torch.ones(1)), torch.eye(2).to_sparse(),
    torch.ones(1, dtype=torch.complex64), torch.ones(1, device="meta"), torch.float32, torch.device("cpu"),
    {True: 1}, {None: 1}, {(1, 2): 1}, {1.0: 1}, {"\udc00": 1}, endless, deep, "x" * 40_000_001,
], ids=lambda value: type(value).__name__)
def test_all_else_is_refused_when_saving_and_the_old_file_stays(value: Any, tmp_path: Path) -> None:
    path = tmp_path / LAST
    save(path, {"epoch": 1})
    with pytest.raises(PellucidError, match=r"^expected .*, got .*; ") as told:
        save(path, {"a": [torch.ones(1), value]})
    assert "\n" not in str(told.value)
    assert load(path) == {"epoch": 1}
    assert [p.name for p in tmp_path.iterdir()] == [LAST]


def test_an_ordered_dict_becomes_a_dict(tmp_path: Path) -> None:
    assert type(again(OrderedDict(b=1, a=2), tmp_path)) is dict


def header(text: str, **tensors: Tensor) -> Callable[[Path], None]:
    return lambda path: save_file(tensors, path, {"pellucid.checkpoint": "1", "state": text})


MALFORMED: dict[str, Callable[[Path], Any]] = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_bytes(b"not a checkpoint"),
    "truncated": lambda path: (save(path, CASES["optimizer"]), path.write_bytes(path.read_bytes()[:-5])),
    "cut in the header": lambda path: (save(path, CASES["optimizer"]), path.write_bytes(path.read_bytes()[:40])),
    "a pickle": lambda path: path.write_bytes(pickle.dumps({"a": 1})),
    "a Lightning checkpoint": lambda path: torch.save({"state_dict": {"a": torch.ones(1)}}, path),
    "weights": lambda path: save_file({"a": torch.ones(1)}, path),
    "a folder of that kind": lambda path: save_file({}, path, {"pellucid.checkpoint": "1"}),
    "no JSON": header("{"), "bare NaN": header("NaN"), "an unknown tag": header('{"code": "print()"}'),
    "two tags": header('{"int": "0x1", "float": "nan"}'), "no tag": header("{}"),
    "a bad number": header('{"float": "1"}'),
    "a bad int": header('{"int": "print()"}'), "a bad key": header('{"dict": [[true, 1]]}'),
    "a key that is a list": header('{"dict": [[[], 1]]}'), "a key twice": header('{"dict": [["a", 1], ["a", 2]]}'),
    "no pairs": header('{"dict": [1]}'), "a dict that is none": header('{"dict": "ab"}'),
    "a missing tensor": header('{"tensor": "0"}'), "a tensor by a list": header('{"tensor": []}'),
    "a tensor twice": header('[{"tensor": "0"}, {"tensor": "0"}]', **{"0": torch.ones(1)}),
    "an unused tensor": header("1", **{"0": torch.ones(1)}),
    "too deep": header("[" * 150 + "]" * 150), "far too deep": header("[" * 100_000 + "]" * 100_000),
    "too many digits": header("1" + "0" * 10_000),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_no_checkpoint_is_refused_in_one_sentence(name: str, tmp_path: Path) -> None:
    path = tmp_path / LAST
    MALFORMED[name](path)
    with pytest.raises(DamagedFileError, match=r"^expected a checkpoint in .*, got .*; delete it") as told:
        load(path)
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < len(str(path)) + 300


def test_a_missing_or_newer_checkpoint_is_told(tmp_path: Path) -> None:
    with pytest.raises(PellucidError, match="nothing there"):
        load(tmp_path / LAST)
    save_file({}, tmp_path / LAST, {"pellucid.checkpoint": "2", "state": "1"})
    with pytest.raises(PellucidError, match="version '2'; update pellucid"):
        load(tmp_path / LAST)


def test_lightning_gets_a_dict_and_removes_files(tmp_path: Path) -> None:
    files = SafeCheckpointIO()
    save(tmp_path / LAST, [1])
    with pytest.raises(DamagedFileError, match="got one without state_dict, loops"):
        files.load_checkpoint(tmp_path / LAST)
    files.remove_checkpoint(tmp_path / LAST)
    files.remove_checkpoint(tmp_path / LAST)
    assert not list(tmp_path.iterdir())


def test_only_errors_of_the_state_are_told_as_such() -> None:
    with pytest.raises(KeyError), fitting(Path(LAST), lambda: False):
        raise KeyError("mine")
    with pytest.raises(PellucidError, match=r"^as it is$"), fitting(Path(LAST)):
        raise PellucidError("as it is")
    with pytest.raises(KeyboardInterrupt), fitting(Path(LAST)):
        raise KeyboardInterrupt


# -- resume -----------------------------------------------------------------------------------------------------------
def stopped_after(epoch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next training is told to stop while it validates after this epoch."""
    validate = TrainingModule.validate_now

    def told(self: TrainingModule) -> dict[str, float]:
        if self.current_epoch == epoch:
            monkeypatch.setattr(TrainingModule, "validate_now", validate)
            raise SIGTERMException
        return validate(self)

    monkeypatch.setattr(TrainingModule, "validate_now", told)


def outcome(folder: Path) -> tuple[Any, Any]:
    metrics = json.loads((folder / "metrics.json").read_text())
    history = json.loads((folder / "history.json").read_text())
    return {k: v for k, v in metrics.items() if k != "seconds"}, [
        {k: v for k, v in entry.items() if k != "seconds"} for entry in history]


@pytest.mark.parametrize("stop", [1, 2])
@pytest.mark.parametrize("training", [
    {"schedule": "one-cycle"}, {"schedule": "constant", "weight_decay": 1e-2}, {"warmup": 0, "schedule": "one-cycle"},
    {"freeze_classifier": True}, {"freeze_classifier": True, "schedule": "one-cycle", "precision": "bf16"},
    {"precision": "bf16"},
], ids=lambda t: " ".join(map(str, t.values())))
def test_a_run_that_was_interrupted_ends_as_one_that_was_not(training: dict[str, Any], stop: int, tmp_path: Path,
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    config = toy_config("lri-bernoulli", **{"warmup": 2, "epochs": 2, **training})
    if training.get("freeze_classifier"):
        method = config.method.model_copy(update={"options": {"shared": False}})
        config = config.model_copy(update={"method": method})
    if config.training.warmup == 0:
        config = RunConfig.parse({**config.model_dump(), "training": {**config.training.model_dump(), "epochs": 4}})
    clouds = toy_clouds(60)
    whole = train(config, clouds, tmp_path / "whole", quick=True, **OPTIONS)
    stopped_after(stop, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        train(config, clouds, tmp_path / "halved", quick=True, **OPTIONS)
    kept = load(tmp_path / "halved" / LAST)
    assert len(kept["pellucid"]["history"]) == stop
    assert not (tmp_path / "halved" / "model.safetensors").exists()
    halved = train(config, clouds, tmp_path / "halved", quick=True, **OPTIONS)
    assert same(dict(halved.model.state_dict()), dict(whole.model.state_dict()))
    assert outcome(whole.folder) == outcome(halved.folder)
    assert {p.name for p in halved.folder.iterdir()} == {p.name for p in whole.folder.iterdir()}


def test_a_warm_up_that_was_interrupted_ends_as_one_that_was_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch
                                                                 ) -> None:
    config, clouds = toy_config("lri-bernoulli", warmup=3, epochs=1, schedule="one-cycle"), toy_clouds(60)
    whole = load(warm_up(config, clouds, tmp_path / "whole", **OPTIONS))
    stopped_after(2, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        warm_up(config, clouds, tmp_path / "halved", **OPTIONS)
    assert [p.name for p in (tmp_path / "halved").iterdir()] == [LAST]
    path = warm_up(config, clouds, tmp_path / "halved", **OPTIONS)
    assert [p.name for p in (tmp_path / "halved").iterdir()] == ["warm-up.safetensors"] == [path.name]
    halved = load(path)
    for entry in (*whole["pellucid"]["history"], *halved["pellucid"]["history"]):
        del entry["seconds"]
    assert same(halved, whole)


def begun(folder: Path, config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a training that was interrupted in its second epoch."""
    stopped_after(1, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        train(config, toy_clouds(60), folder, quick=True, **OPTIONS)
    return folder


@pytest.mark.parametrize("change", [
    lambda s: s.pop("loops"), lambda s: s.pop("pellucid"), lambda s: s.pop("optimizer_states"),
    lambda s: s["state_dict"].popitem(), lambda s: s.update(state_dict=3), lambda s: s.update(optimizer_states=[{}]),
    lambda s: s.update(lr_schedulers=[3]), lambda s: s.update({"pytorch-lightning_version": "print()"}),
    lambda s: s["state_dict"].update({next(iter(s["state_dict"])): torch.ones(1)}),
], ids=["loops", "pellucid", "optimizer", "weight", "weights", "no optimizer", "schedule", "version", "shape"])
def test_the_state_of_something_else_is_told(change: Callable[[dict[str, Any]], Any], tmp_path: Path,
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    config = toy_config("erm", warmup=0, epochs=2, schedule="one-cycle")
    folder = begun(tmp_path / "run", config, monkeypatch)
    state = load(folder / LAST)
    change(state)
    save(folder / LAST, state)
    with pytest.raises(DamagedFileError, match=r"^expected a state of this training .*; delete it") as told:
        train(config, toy_clouds(60), folder, quick=True, **OPTIONS)
    assert "\n" not in str(told.value)
    assert not (folder / "model.safetensors").exists()
    (folder / LAST).unlink()  # what the sentence says
    train(config, toy_clouds(60), folder, quick=True, **OPTIONS)


# -- code in folders --------------------------------------------------------------------------------------------------
class Marking:
    """Pickled, it makes a file when it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.open, (self.marker, os.O_CREAT | os.O_WRONLY)


def pickled(marker: Path) -> bytes:
    return pickle.dumps({"state_dict": Marking(marker)})


def torch_saved(marker: Path, place: Path) -> bytes:
    torch.save({"state_dict": Marking(marker)}, place)
    content = place.read_bytes()
    place.unlink()
    return content


@pytest.fixture(params=["pickle", "torch"])
def marking(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[bytes, Path]:
    """A file that would make a marker, and the marker."""
    marker = tmp_path / "marker"
    content = pickled(marker) if request.param == "pickle" else torch_saved(marker, tmp_path / "x.pt")
    return content, marker


def test_the_marker_works(marking: tuple[bytes, Path], tmp_path: Path) -> None:
    content, marker = marking
    (tmp_path / "x").write_bytes(content)
    if content[:2] == b"PK":
        torch.load(tmp_path / "x", weights_only=False)
    else:
        pickle.loads(content)
    assert marker.exists()


def refused(call: Callable[[], Any]) -> str:
    with pytest.raises(PellucidError, match=r"^expected .*, got .*; ") as told:
        call()
    assert "\n" not in str(told.value)
    return str(told.value)


@pytest.mark.parametrize("name", ["last.ckpt", LAST])
def test_a_begun_run_with_code_for_a_checkpoint_is_refused(name: str, marking: tuple[bytes, Path], tmp_path: Path,
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    content, marker = marking
    config, clouds = toy_config("erm", epochs=1), toy_clouds(60)
    folder = begun(tmp_path / "run", config, monkeypatch)
    (folder / LAST).unlink()
    (folder / name).write_bytes(content)
    assert "delete it" in refused(lambda: train(config, clouds, folder, quick=True, **OPTIONS))
    refused(lambda: load_model(folder))
    refused(lambda: pellucid.explain(folder, clouds, device="cpu"))
    refused(lambda: pellucid.evaluate(folder, device="cpu"))
    assert (folder / name).read_bytes() == content
    assert not (folder / "model.safetensors").exists()
    (folder / name).unlink()  # what the sentence says
    train(config, clouds, folder, quick=True, **OPTIONS)
    assert not marker.exists()


def test_an_old_run_can_be_replaced(marking: tuple[bytes, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
                                    ) -> None:
    content, marker = marking
    config = toy_config("erm", epochs=1)
    folder = begun(tmp_path / "run", config, monkeypatch)
    (folder / "last.ckpt").write_bytes(content)
    train(config, toy_clouds(60), folder, overwrite=True, quick=True, **OPTIONS)
    assert not (folder / "last.ckpt").exists()
    assert not marker.exists()


@pytest.mark.parametrize("name", ["last.ckpt", "warm-up.ckpt", LAST, "warm-up.safetensors"])
def test_a_warm_up_with_code_for_a_checkpoint_is_refused(name: str, marking: tuple[bytes, Path], tmp_path: Path
                                                         ) -> None:
    content, marker = marking
    config, clouds, folder = toy_config("lri-bernoulli", epochs=1), toy_clouds(60), tmp_path / "warm"
    folder.mkdir()
    (folder / name).write_bytes(content)

    def both() -> None:
        start = warm_up(config, clouds, folder, **OPTIONS)
        train(config, clouds, tmp_path / "run", warm_start=start, quick=True, **OPTIONS)

    refused(both)
    assert not (tmp_path / "run" / LAST).exists()
    assert not marker.exists()


@pytest.mark.parametrize("name", ["model.safetensors", "provenance.json", "config.json", "explanations.parquet"])
def test_a_finished_run_with_code_in_a_file_is_refused(name: str, marking: tuple[bytes, Path], tmp_path: Path) -> None:
    content, marker = marking
    config, clouds = toy_config("lri-bernoulli", epochs=1), toy_clouds(60)
    folder = train(config, clouds, tmp_path / "run", quick=True, **OPTIONS).folder
    (folder / name).write_bytes(content)
    if name != "explanations.parquet":  # which nothing reads again
        refused(lambda: load_model(folder))
        refused(lambda: pellucid.explain(folder, clouds, device="cpu"))
        refused(lambda: pellucid.evaluate(folder, device="cpu"))
    refused(lambda: train(config, clouds, folder, quick=True, **OPTIONS))
    assert not marker.exists()


def test_what_lightning_finds_by_itself_on_a_cluster_is_refused_too(marking: tuple[bytes, Path], tmp_path: Path,
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    content, marker = marking
    config = toy_config("erm", epochs=1)
    folder = begun(tmp_path / "run", config, monkeypatch)
    (folder / LAST).unlink()
    (folder / "hpc_ckpt_1.ckpt").write_bytes(content)
    monkeypatch.setattr(SLURMEnvironment, "detect", staticmethod(lambda: True))
    refused(lambda: train(config, toy_clouds(60), folder, quick=True, **OPTIONS))
    assert not marker.exists()


# -- code that unpickles ----------------------------------------------------------------------------------------------
FORBIDDEN = {
    "pickle": {"load", "loads", "Unpickler"}, "_pickle": {"load", "loads", "Unpickler"}, "marshal": {"load", "loads"},
    "joblib": {"load"}, "torch": {"load"}, "torch.serialization": {"load"}, "torch.jit": {"load"},
    "torch.hub": {"load"},
    "pandas": {"read_pickle", "eval"}, "yaml": {"load", "load_all", "unsafe_load", "full_load"},
    "dill": {"load", "loads"}, "cloudpickle": {"load", "loads"}, "shelve": {"open"},
    "torch_geometric.io": {"read_planetoid_data"}, "builtins": {"eval", "exec", "compile", "__import__"},
}
"""Module -> what runs, or may run, what a file holds."""
ALLOWED = {
    ("collisions/pickles.py", "pickle.loads"): "with trust=True, which only the caller can say",
    ("pickled.py", "pickle.Unpickler"): "names give placeholders of ours, nothing is called",
    ("benchmarks/local_engines.py", "pickle.loads"): "from a pipe of the parent process, of no file",
    ("distributed/ordered.py", "pickle.loads"): "between this process and the workers that it started, of no file",
    ("benchmarks/margin/citation.py", "torch_geometric.io.read_planetoid_data"): "a folder that the caller names",
}
"""File and name -> why it may."""
ALIASES = {"np": "numpy", "pd": "pandas"}


def unpicklers(source: str) -> set[str]:
    """The forbidden names that a module uses, with or without calling them, and np.load where it allows pickles."""
    tree, names = ast.parse(source), {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.partition(".")[0]] = alias.name if alias.asname else (
                    alias.name.partition(".")[0])
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}

    def full(node: ast.expr) -> str:
        if isinstance(node, ast.Attribute):
            return f"{full(node.value)}.{node.attr}"
        if isinstance(node, ast.Name):
            known = node.id in FORBIDDEN["builtins"] and node.id not in names
            return f"builtins.{node.id}" if known else names.get(node.id, ALIASES.get(node.id, node.id))
        return "?"

    found = {f"{node.module}.{alias.name}" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)
             for alias in node.names}
    found |= {full(node) for node in ast.walk(tree) if isinstance(node, (ast.Attribute, ast.Name))}
    bad = {name for name in found for module, last in FORBIDDEN.items()
           if name.rpartition(".")[0] == module and name.rpartition(".")[2] in last}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            given = {k.arg: k.value for k in node.keywords}
            for option, safe in (("allow_pickle", False), ("weights_only", True)):
                value = given.get(option)
                if value is not None and not (isinstance(value, ast.Constant) and value.value is safe):
                    bad.add(f"{option} in {full(node.func)}")
    return bad


@pytest.mark.parametrize(("source", "found"), [
    ("import torch\ntorch.load('x')", {"torch.load"}), ("import torch as t\nt.load('x')", {"torch.load"}),
    ("from torch import load as read\nread('x')", {"torch.load"}),
    ("import pickle\nf = pickle.loads", {"pickle.loads"}),
    ("import numpy as np\nnp.load('x', allow_pickle=True)", {"allow_pickle in numpy.load"}),
    ("import numpy as np\nnp.load('x')\nnp.load('x', allow_pickle=False)", set()),
    ("trainer.fit(m, weights_only=False)", {"weights_only in trainer.fit"}), ("eval('1')", {"builtins.eval"}),
    ("model.eval()", set()), ("import yaml\nyaml.safe_load('')", set()), ("import yaml\nyaml.load('')", {"yaml.load"}),
    ("import torch.serialization\ntorch.serialization.load('x')", {"torch.serialization.load"}),
    ("from pickle import Unpickler", {"pickle.Unpickler"}),
])
def test_the_search_finds_them(source: str, found: set[str]) -> None:
    assert unpicklers(source) == found


def test_no_module_unpickles_but_those_that_say_why() -> None:
    root = Path(checkpoint.__file__).parents[1]
    found = {(path.relative_to(root).as_posix(), name) for path in sorted(root.rglob("*.py"))
             for name in unpicklers(path.read_text(encoding="utf-8"))}
    assert found == set(ALLOWED)
