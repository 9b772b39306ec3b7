import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.collisions.detector import detector
from pellucid.collisions.material import highland
from pellucid.collisions.propagate import OUTCOMES, Particles, propagate
from pellucid.errors import PellucidError

MUON = 0.1056584
GENERIC = detector("generic")


def particles(*momenta, charge=1, mass=MUON, position=(0, 0, 0)):
    p = np.array(momenta, dtype=float)
    return Particles(np.repeat([position], len(p), 0).astype(float), p, np.broadcast_to(charge, len(p)).copy(),
                     np.full(len(p), mass))


def spectrum(n, seed=0):
    rng = np.random.default_rng(seed)
    pt, phi, eta = 0.1 + rng.exponential(0.6, n), rng.uniform(-np.pi, np.pi, n), rng.uniform(-3, 3, n)
    p = np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], 1)
    return Particles(rng.normal(0, [0.1, 0.1, 50], (n, 3)), p, rng.choice([-1, 1], n), np.full(n, MUON))


def run(given, field=2.0, plan=GENERIC, **options):
    return propagate(given, plan, field, rng=np.random.default_rng(0), **options)


def brute_force(position, momentum, charge, field, plan):
    """Surfaces on the outward half turn of one helix, from a fine walk along it; no material."""
    pt = np.hypot(*momentum[:2])
    turn = 0.299792458e-3 * field * charge / pt
    s = np.linspace(0, min(np.pi / abs(turn), 4000.0), 400_001)
    phi = np.arctan2(momentum[1], momentum[0]) - turn * s
    x = position[0] + np.concatenate([[0], np.cumsum(np.cos((phi[1:] + phi[:-1]) / 2) * np.diff(s))])
    y = position[1] + np.concatenate([[0], np.cumsum(np.sin((phi[1:] + phi[:-1]) / 2) * np.diff(s))])
    z, r = position[2] + s * momentum[2] / pt, np.hypot(x, y)
    out = np.argmax(r) + 1
    met = []
    for i, surface in enumerate(plan.surfaces):
        if not surface.sensitive:
            continue
        for side in (0,) if surface.kind == "barrel" else (-1, 1):
            height = r - surface.r if surface.kind == "barrel" else side * z - surface.z
            n = np.flatnonzero((height[: out - 1] < 0) & (height[1:out] >= 0))
            for j in n:
                fits = abs(z[j]) <= surface.half_length if not side else surface.r_min <= r[j] <= surface.r_max
                if fits:
                    met.append((s[j], i, side))
    return [(i, side) for _, i, side in sorted(met)]


@pytest.mark.parametrize("field", [2.0, 8.0, -20.0])
def test_hits_are_those_of_a_walk_along_the_helix(field):
    given = spectrum(40, seed=3)
    made = run(given, field, material=False)
    differ = 0
    for n in range(40):
        mine = made.hits.particle == n
        got = list(zip(made.hits.surface[mine].tolist(), made.hits.side[mine].tolist(), strict=True))
        differ += got != brute_force(given.position[n], given.momentum[n], given.charge[n], field, GENERIC)
    assert differ <= 1  # a track within a step of a layer's edge


def test_true_hits_lie_on_their_surface_and_measured_ones_near():
    hits = run(spectrum(3000)).hits
    r = np.hypot(hits.true_position[:, 0], hits.true_position[:, 1])
    shift = hits.position - hits.true_position
    for i, surface in enumerate(GENERIC.surfaces):
        mine = hits.surface == i
        assert surface.sensitive or not mine.any()
        if surface.kind == "barrel":
            assert r[mine] == pytest.approx(surface.r, rel=1e-9)
            along = shift[mine, 2]
            assert np.hypot(*hits.position[mine, :2].T) == pytest.approx(surface.r, rel=1e-9)
        else:
            assert np.abs(hits.true_position[mine, 2]) == pytest.approx(surface.z, rel=1e-9)
            assert (np.sign(hits.true_position[mine, 2]) == hits.side[mine]).all()
            along = np.hypot(*hits.position[mine, :2].T) - r[mine]
        if mine.sum() > 500:
            assert along.std() == pytest.approx(surface.resolution[1], rel=0.15)
            x, y = hits.true_position[mine, :2].T
            across = (x * shift[mine, 1] - y * shift[mine, 0]) / r[mine]
            assert across.std() == pytest.approx(surface.resolution[0], rel=0.15)


def test_scattering_and_loss_in_one_layer():
    plan = detector({"name": "one", "surfaces": [
        {"name": "sheet", "kind": "disc", "z": 100, "r_min": 0, "r_max": 1000, "thickness": 0.1, "energy_loss": 0.02},
        {"name": "screen", "kind": "disc", "z": 200, "r_min": 0, "r_max": 1000}]})
    n = 20_000
    given = particles(*[[1e-4, 0, 5.0]] * n)
    hits = run(given, 0.01, plan, resolution=False).hits
    before, after = hits.momentum[hits.surface == 0], hits.momentum[hits.surface == 1]
    assert len(after) == n
    assert np.linalg.norm(before, axis=1) == pytest.approx(5.0)
    energy = np.sqrt(25 + MUON**2) - 0.02 * (5 / np.hypot(5, MUON)) ** (-5 / 3)
    assert np.linalg.norm(after, axis=1) == pytest.approx(np.sqrt(energy**2 - MUON**2), rel=1e-9)
    width = highland(5.0, MUON, 1, 0.1)
    assert (after[:, 0] / after[:, 2]).std() == pytest.approx(width, rel=0.03)
    assert (after[:, 1] / after[:, 2]).std() == pytest.approx(width, rel=0.03)


def test_a_passive_layer_acts_but_is_not_measured_and_a_slanted_way_is_longer():
    surface = {"name": "lead", "kind": "disc", "z": 100, "r_min": 0, "r_max": 1000, "sensitive": False,
               "energy_loss": 0.5}
    screen = {"name": "screen", "kind": "disc", "z": 200, "r_min": 0, "r_max": 1000}
    plan = detector({"name": "one", "surfaces": [surface, screen]})
    straight, slanted = particles([0.001, 0, 5.0]), particles([4.0, 0, 3.0])
    for tracks, factor in ((straight, 1), (slanted, 5 / 3)):
        hits = run(tracks, 1e-6, plan).hits
        assert hits.surface.tolist() == [1]
        energy = np.sqrt(25 + MUON**2) - 0.5 * factor * (5 / np.hypot(5, MUON)) ** (-5 / 3)
        assert np.linalg.norm(hits.momentum[0]) == pytest.approx(np.sqrt(energy**2 - MUON**2), rel=1e-6)


def test_every_way_to_end():
    given = Particles(np.zeros((6, 3)),
                      np.array([[20.0, 0, 1], [0.10, 0, 0], [0.01, 0, 0], [0.012, 0, 0.012], [3.0, 0, 0], [0.0, 0, 0]]),
                      np.array([1, 1, 1, 1, 0, 1]), np.array([MUON, MUON, MUON, MUON, 0, MUON]))
    lead = detector({"name": "lead", "surfaces": [
        {"name": "lead", "kind": "barrel", "r": 50, "half_length": 500, "energy_loss": 0.08},
        {"name": "far", "kind": "barrel", "r": 500, "half_length": 500}]})
    made = run(given, 2.0, lead, min_pt=0.011)
    assert [OUTCOMES[i] for i in made.outcome] == ["left the detector", "stopped in material", "below the momentum cut",
                                                   "curls up", "neutral", "at rest"]
    assert made.outcomes()["neutral"] == 1
    assert set(made.hits.particle.tolist()) <= {0, 1}


def test_a_track_that_loops_ends_at_its_outermost_point():
    made = run(particles([0.06, 0, 0.001]), 2.0, material=False)  # a circle of 100 mm through the origin
    assert OUTCOMES[made.outcome[0]] == "curls up"
    r = np.hypot(*made.hits.true_position[:, :2].T)
    assert r == pytest.approx([32, 72, 116, 172])


def test_a_particle_along_the_beam_leaves_no_hit():
    made = run(particles([0, 0, 5.0]))
    assert not len(made.hits.particle)
    assert OUTCOMES[made.outcome[0]] == "left the detector"


@settings(max_examples=20)
@given(st.floats(-3.1, 3.1), st.integers(0, 100))
def test_turning_everything_about_the_beam_turns_the_hits(angle, seed):
    given = spectrum(20, seed)
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    turned = Particles(given.position @ turn.T, given.momentum @ turn.T, given.charge, given.mass)
    a, b = (run(p, material=False, resolution=False).hits for p in (given, turned))
    assert a.surface.tolist() == b.surface.tolist()
    assert a.position @ turn.T == pytest.approx(b.position, abs=1e-6)


def test_charge_and_field_reversed_is_the_same_track():
    given = spectrum(50)
    other = Particles(given.position, given.momentum, -given.charge, given.mass)
    assert run(given).hits.position == pytest.approx(run(other, -2.0).hits.position)


def test_one_seed_gives_one_result():
    a, b = run(spectrum(200)), run(spectrum(200))
    assert (a.hits.position == b.hits.position).all()
    assert (a.outcome == b.outcome).all()


@pytest.mark.parametrize(("field", "words"), [(0, "got 0 T"), (float("nan"), "got nan"), (1000, "got 1000")])
def test_a_field_that_cannot_be(field, words):
    with pytest.raises(PellucidError, match=words):
        run(spectrum(3), field)


def test_bad_particles():
    with pytest.raises(PellucidError, match="NaN or infinity in 1 of 1"):
        particles([np.nan, 0, 1])
    with pytest.raises(PellucidError, match=r"shape \(2, 3\)"):
        Particles(np.zeros((2, 2)), np.zeros((2, 3)), np.ones(2, int), np.ones(2))
    with pytest.raises(PellucidError, match="min_pt"):
        run(spectrum(3), min_pt=-1)
    assert not len(run(Particles(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0, int), np.zeros(0))).hits.particle)
