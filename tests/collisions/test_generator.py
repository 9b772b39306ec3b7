import os
import subprocess
import sys
from dataclasses import fields, replace
from importlib import metadata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.collisions import generator
from pellucid.collisions.generator import Events, card, generate, library
from pellucid.errors import MissingPackageError, PellucidError, UnknownNameError


def has_pythia():
    try:
        metadata.version("pythia8mc")
    except metadata.PackageNotFoundError:
        return False
    return True


real = pytest.mark.skipif(not has_pythia(), reason="pythia8mc is not installed")


def invented(sizes, seed=0):
    rng = np.random.default_rng(seed)
    n = int(sum(sizes))
    return Events(np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64), rng.integers(-13, 14, n, dtype=np.int32),
                  rng.choice([-1, 1], n).astype(np.int32), rng.random(n), rng.normal(size=(n, 3)),
                  rng.normal(size=(n, 3)), np.zeros(n, dtype=np.int32))


def same(a, b):
    return all(np.array_equal(getattr(a, f.name), getattr(b, f.name)) for f in fields(Events))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_some_takes_whole_events_in_the_order_asked(sizes, random):
    events = invented(sizes)
    places = np.array([random.randrange(len(sizes)) for _ in range(3)])
    chosen = events.some(places)
    rows = np.concatenate([np.arange(events.ptr[i], events.ptr[i + 1]) for i in places])
    assert np.array_equal(np.diff(chosen.ptr), np.array(sizes)[places])
    assert np.array_equal(chosen.momentum, events.momentum[rows])


@given(st.lists(st.integers(0, 4), min_size=2, max_size=6))
def test_cat_undoes_cutting_and_kept_keeps_empty_events(sizes):
    events = invented(sizes)
    assert same(Events.cat([events.some(np.arange(1)), events.some(np.arange(1, len(sizes)))]), events)
    none = events.kept(np.zeros(len(events.pdg), dtype=bool))
    assert len(none) == len(sizes)
    assert len(none.pdg) == 0


@pytest.fixture
def blocks(monkeypatch, tmp_path):
    """A library whose blocks are invented, and the numbers of those that were made."""
    made = []

    def fake(wanted, count, seed):
        made.append(seed)
        return invented([seed % 3] * count, seed)

    monkeypatch.setenv("PELLUCID_HOME", str(tmp_path))
    monkeypatch.setattr(generator, "generate", fake)
    monkeypatch.setattr(generator, "pythia_version", lambda: "8.0")
    return made


def test_a_library_grows_and_goes_on_where_it_stopped(blocks):
    small = replace(card("soft_qcd"), block=3)
    first = library(small, 4, seed=5)
    assert len(first) == 4
    assert len(blocks) == 2
    seen = []
    more = library(small, 9, seed=5, advance=lambda done, total: seen.append((done, total)))
    assert len(blocks) == 3
    assert seen == [(3, 3)]
    assert same(more.some(np.arange(4)), first)
    assert len(set(blocks)) == 3
    assert not same(library(small, 4, seed=6), first)


def test_the_identity_of_events_has_card_seed_and_generator(blocks):
    one = card("soft_qcd")
    assert one.identity(0) != one.identity(1)
    assert one.identity(0) != replace(one, min_pt=0.2).identity(0)
    assert one.identity(0)["pythia"] == "8.0"


def test_without_the_generator_the_message_has_the_command(monkeypatch):
    def none(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(generator.metadata, "version", none)
    with pytest.raises(MissingPackageError, match=r"pip install 'pellucid\[collisions\]'"):
        generate(card("soft_qcd"), 1, 1)


def test_unknown_cards_and_settings_are_told():
    with pytest.raises(UnknownNameError, match="did you mean 'soft_qcd'"):
        card("soft_qdc")


@real
def test_pythia_refuses_a_setting_it_does_not_know():
    with pytest.raises(PellucidError, match="SoftQDC"):
        generate(replace(card("soft_qcd"), settings=("SoftQDC:all = on",)), 1, 1)


@real
def test_z_events_have_a_pair_of_muons_at_its_mass_and_repeat():
    wanted = card("z_to_mumu")
    events = generate(wanted, 40, seed=11)
    assert same(events, generate(wanted, 40, seed=11))
    muons = np.flatnonzero((np.abs(events.pdg) == 13) & (events.origin == 23))
    assert np.all(np.hypot(*events.momentum[:, :2].T) >= wanted.min_pt)
    four = np.concatenate([np.sqrt(events.mass**2 + (events.momentum**2).sum(1))[:, None], events.momentum], 1)
    masses = []
    for event in range(40):
        pair = four[muons[events.event[muons] == event]]
        if len(pair) == 2:  # both central
            total = pair.sum(0)
            masses.append(np.sqrt(total[0] ** 2 - (total[1:] ** 2).sum()))
    assert len(masses) > 20
    assert np.median(masses) == pytest.approx(91.19, abs=2)  # photons are radiated, and the Z has a width of 2.5 GeV


@real
def test_a_library_of_two_processes_is_that_of_one(monkeypatch, tmp_path):
    wanted = replace(card("z_to_mumu"), block=2)
    monkeypatch.setenv("PELLUCID_HOME", str(tmp_path / "one"))
    one = library(wanted, 3)
    script = ("from dataclasses import replace\nfrom pellucid.collisions.generator import card, library\n"
              "library(replace(card('z_to_mumu'), block=2), 3, processes=2)")  # unguarded, as users write it
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120,
                   env={**os.environ, "PELLUCID_HOME": str(tmp_path / "two")})
    monkeypatch.setenv("PELLUCID_HOME", str(tmp_path / "two"))
    assert same(library(wanted, 3), one)


@pytest.mark.parametrize("seed", [0, -1, 900_000_001])
def test_a_seed_that_pythia_would_not_keep_is_refused(seed):
    with pytest.raises(PellucidError, match="seed from 1"):
        generate(card("soft_qcd"), 1, seed)
