"""A user's own package: entry points that register themselves, and the index of the built-in names."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pellucid import registry as registries
from pellucid.cli import main
from pellucid.errors import PellucidError, UnknownNameError
from pellucid.families import families
from pellucid.registry import INDEX, Registry

GOOD = '''
from pellucid.backbones.base import backbones
from pellucid.backbones.egnn import EGNN


@backbones.register("mine")
class Mine(EGNN):
    """A backbone of mine."""
'''
TAKEN = "from pellucid.families import backbones\n\n\n@backbones.register('egnn')\nclass Mine:\n    pass\n"


@pytest.fixture
def install(tmp_path, monkeypatch):
    """A function that puts a distribution with one module and its entry points on the path."""
    monkeypatch.syspath_prepend(tmp_path)
    registries._plugins.cache_clear()

    def put(package: str, module: str, source: str, group: str = "pellucid.backbones", **names: str) -> Path:
        (tmp_path / f"{module}.py").write_text(source)
        info = tmp_path / f"{package.replace('-', '_')}-1.0.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = [f"{name} = {place}" for name, place in names.items()]
        (info / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines, ""]))
        registries._plugins.cache_clear()
        return tmp_path

    yield put
    registries._plugins.cache_clear()
    for known in families().values():
        known._entries = {name: entry for name, entry in known._entries.items() if known._is_ours(entry)}
    for name in [n for n, m in sys.modules.items() if str(tmp_path) in str(getattr(m, "__file__", ""))]:
        del sys.modules[name]


def listed(monkeypatch, capsys, family: str = "backbones") -> dict[str, str]:
    monkeypatch.setattr(sys, "argv", ["pellucid", "list", family, "--json"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    return json.loads(capsys.readouterr().out)


def test_the_index_says_what_the_registries_hold():
    """If this fails: make index."""
    code = ("import json; from pellucid.families import families; from pellucid.registry import index_of; "
            "print(json.dumps({family: index_of(known) for family, known in families().items()}))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,  # nothing of tests
                          env={**os.environ, "PYTHONPATH": str(INDEX.parents[1])})
    assert json.loads(done.stdout.splitlines()[-1]) == json.loads(INDEX.read_text(encoding="utf-8"))


@pytest.mark.parametrize("family", sorted(families()))
def test_a_name_of_the_index_imports_only_its_module(family):
    names = json.loads(INDEX.read_text(encoding="utf-8"))[family]["names"]
    places = sorted({place for place, _ in names.values()})
    name, place = next((name, place) for name, (place, _) in names.items() if place == places[-1])
    code = (f"import sys; from pellucid.families import families; families()[{family!r}][{name!r}]; "
            "print(' '.join(sys.modules))")
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True,
                          env={**os.environ, "PYTHONPATH": str(INDEX.parents[1])})
    assert place in done.stdout.split()
    assert len({*places} & {*done.stdout.split()}) < max(len(places), 2)


def test_a_plug_in_shows_up_and_trains(install, monkeypatch, capsys):
    install("their-package", "their_module", GOOD, mine="their_module")
    known = families()["backbones"]
    assert listed(monkeypatch, capsys)["mine"] == "A backbone of mine."
    assert "mine" in known
    assert "mine" in list(known)
    assert known["mine"].__name__ == "Mine"
    from pellucid.training.presets import settings

    assert settings("synmol", "lri-gaussian", "mine").backbone.name == "mine"


def test_an_object_can_be_the_entry_point(install):
    install("their-package", "their_module", GOOD, mine="their_module:Mine")
    assert families()["backbones"]["mine"].__name__ == "Mine"


def test_a_plug_in_of_another_family(install, monkeypatch, capsys):
    source = ('from pellucid.metrics import metric\n\n\n@metric("mine.zero")\ndef zero():\n    """Nothing."""\n'
              "    return 0.0\n")
    install("their-package", "their_metrics", source, "pellucid.metrics", **{"mine.zero": "their_metrics"})
    assert listed(monkeypatch, capsys, "metrics")["mine.zero"] == "Nothing."
    assert families()["metrics"]["mine.zero"]() == 0


def test_a_broken_plug_in_is_one_sentence_and_breaks_nothing_else(install, monkeypatch, capsys):
    folder = install("their-package", "their_module", "import not_installed\n", mine="their_module")
    known = families()["backbones"]
    for _ in range(2):
        with pytest.raises(PellucidError, match=r"package their-package to load for the backbone 'mine', got "
                                                r"ModuleNotFoundError: No module named 'not_installed'"):
            known["mine"]
    shown = listed(monkeypatch, capsys)
    assert "their-package" in shown["mine"]
    assert "not_installed" in shown["mine"]
    assert shown["egnn"].startswith("EGNN:")
    assert "mine" not in list(known)
    assert known["egnn"].__name__ == "EGNN"
    (folder / "their_module.py").write_text(GOOD + "\n# repaired\n")
    assert known["mine"].__name__ == "Mine"


def test_a_plug_in_may_not_replace_a_built_in(install, monkeypatch, capsys):
    install("their-package", "their_module", TAKEN, egnn="their_module", other="their_module")
    known = families()["backbones"]
    shown = listed(monkeypatch, capsys)
    assert shown["egnn"].startswith("EGNN:")
    assert "'egnn' is the name of a built-in backbone" in shown["egnn (their-package)"]
    assert "'egnn' twice" in shown["other"]
    with pytest.raises(PellucidError, match="'egnn' twice"):
        known["other"]
    assert known["egnn"].__module__ == "pellucid.backbones.egnn"


def test_a_plug_in_that_registers_nothing_or_shares_its_name_is_told(install):
    install("their-package", "their_module", "", mine="their_module")
    with pytest.raises(PellucidError, match="their-package to register the backbone 'mine', got their_module without"):
        families()["backbones"]["mine"]
    install("second-package", "second_module", GOOD, mine="second_module")
    with pytest.raises(PellucidError, match="got second-package and their-package; uninstall one"):
        families()["backbones"]["mine"]


def test_an_unknown_name_has_the_near_misses_of_plug_ins_too(install):
    install("their-package", "their_module", GOOD, mine="their_module")
    with pytest.raises(UnknownNameError, match="did you mean 'mine'"):
        families()["backbones"]["mines"]


def test_names_of_the_index_cannot_be_taken_before_they_are_imported():
    for name in ("egnn", "point_transformer"):
        with pytest.raises(ValueError, match="twice"):
            families()["backbones"].register(name)(type("Mine", (), {"__module__": "notebook"}))


def test_a_registry_without_a_family_has_neither_index_nor_plug_ins():
    assert list(Registry[int]("shape")) == []
