"""PLBind: does a ligand bind to a protein below 10 nM? Residues and atoms of real complexes, as two sets of points."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from joblib import Parallel, delayed, parallel_config
from numpy.typing import NDArray

from pellucid.chemistry.complexes import complex_clouds, read_complex
from pellucid.chemistry.ligands import read_ligand
from pellucid.chemistry.molecules import ATOM_TYPES
from pellucid.chemistry.proteins import RESIDUE_TYPES
from pellucid.clouds import FIELDS, SPLITS, Field, PointClouds
from pellucid.cores import usable_cores
from pellucid.datasets.affinities import USABLE, molar, refusal
from pellucid.datasets.base import Dataset, datasets, real_number, whole_number
from pellucid.datasets.complex_lists import SOURCES, Failed, Listed, read_complexes
from pellucid.datasets.sequence_clusters import SHARES, sequence_clusters, split_by_cluster
from pellucid.errors import MissingPackageError, PellucidError
from pellucid.files import digest, home, sha256
from pellucid.progress import waiting
from pellucid.targets import Target

FIELDS.setdefault("affinity", Field("cloud", "float", (), "", "-log10 of Kd, Ki or IC50 in mol/l; of a bound, its"))

TIERS = ("all", "crystal", "modelled")
SPLIT_RULES = ("cluster", "time", "random")
TIME_LISTS = ("timesplit_no_lig_overlap_train", "timesplit_no_lig_overlap_val", "timesplit_test")
"""Files of PDB codes, one a line, of EquiBind's split by time, in the order of the splits."""
SEVERAL = {"chains": ("near", "all"), "conformer": ("pose", "rdkit"), "tier": TIERS, "split": SPLIT_RULES,
           "usable": USABLE}
LEAKS = ("the split is at random: series of ligands of one protein lie on both sides, so that the test is easier than "
         "any new protein; use split='cluster' to judge a model")


@dataclass(frozen=True)
class _Settings:
    """What the point clouds of one complex depend on, besides its files."""

    radius: float
    chains: str
    conformer: Literal["pose", "rdkit"]
    interactions: bool
    seed: int | None
    packages: dict[str, str]
    version: int


@dataclass
class _Chosen:
    """Complexes to prepare, their files' checksums, and what was left out."""

    source: str
    index: str
    count: int
    complexes: list[Listed]
    sums: dict[Path, str]
    split: dict[str, int]
    lists: dict[str, str]
    failed: list[Failed]


@datasets.register("plbind")
class PLBind(Dataset):
    """Proteins with a ligand each; positive where it binds below 10 nM; the truth is the residues near the ligand.

    Options:
        source: ``"folder"``, one with ``index.csv``; ``"pdbbind"``, PDBbind's download; ``"csv"``, your own table;
            None looks at what source_dir holds.
        source_dir: The folder, or the ``.csv`` file.
        threshold_nM: Below it a sample is positive, in nM.
        usable: ``"lri"`` takes exact Kd, Ki and free energies of binding; ``"all"`` takes IC50 and approximate values
            too, and bounds where they decide the label.
        tier: ``"crystal"`` or ``"modelled"`` poses only, or ``"all"``; for ``"folder"``.
        split: ``"cluster"`` keeps clusters of similar proteins on one side; ``"time"`` goes by time_lists or years;
            ``"random"`` leaks from series of ligands of one protein, which the provenance says.
        time_lists: Folder of the three files of PDB codes of EquiBind's split by time; None is ``splits`` in
            source_dir.
        years: Two years to split by in place of lists: ``[2015, 2017]`` trains up to 2015 and validates up to 2017.
        seed: Of the split, the subset and the conformers.
        radius: Residues whose C-alpha is within it of an atom of the ligand are ground truth, angstrom; so are those
            in contact with it.
        chains: ``"near"``, those with an atom within 10 angstrom of the ligand, or ``"all"``.
        conformer: ``"pose"`` of the file, or ``"rdkit"``: one made anew and laid over the pose, as LRI's.
        interactions: Whether hydrogen bonds and hydrophobic contacts are looked for.
        size: Number of complexes, drawn at random, to try something; None takes all.
        processes: Worker processes (None: one for every usable core).
        progress: Show a bar on stderr.

    Sources are read by :func:`~pellucid.datasets.complex_lists.read_complexes`. What cannot be used is in the
    provenance under ``failed``, by name, with the step at which it failed and the reason. Prepared complexes are stored
    one by one, so that a run goes on where it stopped and other options of label or split need no new preparation.
    Where the list has no ``protein_cluster``, clusters come from the sequences; see
    :func:`~pellucid.datasets.sequence_clusters.sequence_clusters`.

    PDBbind cannot be passed on; its reader was tried on a miniature with the names and nesting of its v2020 release,
    made of other copies of its complexes, and not on the download itself.
    """

    name = "plbind"
    version = 2
    targets: tuple[Target, ...] = (Target("binds"),)
    domain = "complexes"
    unit = "angstrom"
    category_sizes = (len(RESIDUE_TYPES),)
    feature_size = 2
    partner_category_sizes = (len(ATOM_TYPES),)
    precision_at = (20, 40)
    from_folder = True
    citation = ("Miao et al., Interpretable Geometric Deep Learning via Learnable Randomness Injection, ICLR 2023; "
                "Liu et al., Forging the Basis for Developing Protein-Ligand Interaction Scoring Functions, Acc. Chem. "
                "Res. 50, 302 (2017); Staerk et al., EquiBind, ICML 2022 (split by time); Bouysset & Fiorucci, ProLIF, "
                "J. Cheminform. 13, 72 (2021)")
    licence = "of the user's files; PDB coordinates are CC0, PDBbind asks for a registration and has terms of its own"
    as_published = {"source": ("pdbbind",), "threshold_nM": (10.0,), "usable": ("lri",)}  # noqa: RUF012
    usual = (10_891, 339.8)
    defaults = {"source": None, "source_dir": None, "threshold_nM": 10, "usable": "lri", "tier": "all",  # noqa: RUF012
                "split": "cluster", "time_lists": None, "years": None, "seed": 0, "radius": 15.0, "chains": "near",
                "conformer": "pose", "interactions": True, "size": None, "processes": None, "progress": False}

    def check(self, options: dict[str, Any]) -> dict[str, Any]:
        """See :meth:`Dataset.check`."""
        for name, values in SEVERAL.items():
            if options[name] not in values:
                raise PellucidError(f"expected {name} to be one of {', '.join(values)}, got {options[name]!r}")
        if options["source"] not in (None, *SOURCES):
            raise PellucidError(f"expected source to be one of {', '.join(SOURCES)}, got {options['source']!r}")
        if options["source_dir"] is None:
            raise PellucidError("expected source_dir, got none; give PDBbind's folder, one with index.csv, or a .csv "
                                "file of proteins, ligands and affinities")
        if not isinstance(options["interactions"], bool):
            raise PellucidError(f"expected interactions to be true or false, got {options['interactions']!r}")
        if options["processes"] is not None:
            whole_number(options, "processes", 1, 1024)
        if options["split"] != "time" and (options["years"] is not None or options["time_lists"] is not None):
            raise PellucidError(f"expected no years or time_lists with split={options['split']!r}, got some; use "
                                "split='time'")
        key = {
            "seed": whole_number(options, "seed", 0, 2**31 - 1),
            "threshold_nM": real_number(options, "threshold_nM", 1e-6, 1e9),
            "size": None if options["size"] is None else whole_number(options, "size", 3, 10_000_000),
            **{name: options[name] for name in ("usable", "tier", "split")},
            "years": _years(options["years"]),
        }
        settings = asdict(self._settings(options))
        chosen = self._choose(options)
        listed = [[one.name, asdict(one.affinity), one.cluster, one.year, chosen.sums[one.protein],
                   *(chosen.sums[path] for path in one.ligands)] for one in chosen.complexes]
        return {**key, "preparation": settings, "source": chosen.source, "complexes": digest(listed),
                "lists": chosen.lists}

    def build(self, options: dict[str, Any]) -> tuple[PointClouds, dict[str, Any]]:
        """See :meth:`Dataset.build`."""
        chosen = self._choose(options)
        parts, ligands, failed = _prepared(chosen, self._settings(options), options["processes"] or usable_cores(),
                                           options["progress"])
        failed = chosen.failed + failed
        if not parts:
            raise PellucidError(f"expected at least one complex that can be prepared, got none of {chosen.count}; the "
                                f"first: {failed[0].name}, {failed[0].reason}")
        kept = [one for one in chosen.complexes if one.name in parts]
        clouds = PointClouds.cat([parts[one.name] for one in kept])
        threshold = molar(options["threshold_nM"], "nM")
        p = np.array([one.affinity.p for one in kept])
        positive = np.array([bool(one.affinity.below(threshold)) for one in kept])
        given = [one.cluster for one in kept if one.cluster is not None]
        cluster = np.array(given) if given else sequence_clusters(_sequences(clouds))
        split = _split(options, cluster, positive, np.array([chosen.split.get(one.name, -1) for one in kept]))
        y = p if self.targets[0].kind == "regression" else positive
        return _labelled(clouds, kept, y=torch.from_numpy(y.astype(np.float32))[:, None], split=torch.from_numpy(split),
                         affinity=torch.from_numpy(p.astype(np.float32)), cluster=torch.from_numpy(cluster)), {
            "source": f"{chosen.source}: {chosen.index}",
            "licences": dict(Counter(one.licence for one in kept if one.licence)),
            "seed": options["seed"],
            "clusters": "of the list" if given else "from the sequences: 5-mer containment of at least 0.4",
            "notes": [LEAKS] if options["split"] == "random" else [],
            "counts": {"listed": chosen.count, "prepared": len(kept), "failed": len(failed),
                       "failed at": dict(Counter(one.step for one in failed)),
                       "kinds": dict(Counter(one.affinity.kind or "not said" for one in kept)),
                       "clusters": len(np.unique(cluster))},
            "largest cluster": int(np.unique(cluster, return_counts=True)[1].max()),
            "residues a complex": {name: round(int(clouds[name].sum()) / len(kept), 2)
                                   for name in ("important", "contact", "hydrogen_bond", "hydrophobic")},
            "other ligand file": {one.name: ligands[one.name] for one in kept
                                  if ligands[one.name] != one.ligands[0].name},
            "failed": [{"id": one.name, "step": one.step, "reason": one.reason} for one in failed],
        }

    def _settings(self, options: Mapping[str, Any]) -> _Settings:
        made = options["conformer"] == "rdkit"
        return _Settings(real_number(options, "radius", 1, 100), options["chains"], options["conformer"],
                         options["interactions"], options["seed"] if made else None,
                         _packages(options["interactions"]), self.version)

    def expected(self, options: Mapping[str, Any]) -> int:
        """See :meth:`Dataset.expected`."""
        return len(self._choose(options, sums=False).complexes)

    def _choose(self, options: Mapping[str, Any], sums: bool = True) -> _Chosen:
        """The complexes that the options ask for, before any structure is read; ``sums``: with their checksums."""
        place = Path(options["source_dir"])
        read = read_complexes(place, options["source"])
        failed, listed = list(read.failed), read.listed
        if options["tier"] != "all":
            if read.source != "folder":
                raise PellucidError(f"expected tier='all' with source={read.source!r}, got {options['tier']!r}; only a "
                                    "folder's index.csv has tiers")
            listed = [one for one in listed if one.tier == options["tier"]]
        threshold = molar(options["threshold_nM"], "nM") if self.targets[0].kind == "binary" else None
        reasons = {one.name: refusal(one.affinity, options["usable"], threshold) for one in listed}
        failed += [Failed(name, "affinity", reason) for name, reason in reasons.items() if reason]
        listed = [one for one in listed if not reasons[one.name]]
        split: dict[str, int] = {}
        lists: dict[str, str] = {}
        if options["split"] == "time":
            split, lists = _by_time(options, place, listed)
            missing = "no year" if options["years"] is not None else "in none of the lists of the split by time"
            failed += [Failed(one.name, "split", missing) for one in listed if one.name not in split]
            listed = [one for one in listed if one.name in split]
        if not listed:
            counts = Counter(one.step for one in failed)
            raise PellucidError(f"expected complexes to prepare in {place}, got none (left out: {dict(counts)}); the "
                                f"first: {f'{failed[0].name}, {failed[0].reason}' if failed else 'no row of the tier'}")
        count = len(listed) + len(failed)
        if options["size"] is not None and options["size"] < len(listed):
            rows = np.random.default_rng([options["seed"], 6]).choice(len(listed), options["size"], replace=False)
            listed = [listed[row] for row in np.sort(rows)]
        files = sorted({path for one in listed for path in (one.protein, *one.ligands)})
        with ThreadPoolExecutor(usable_cores()) as pool:
            known = dict(zip(files, pool.map(sha256, files), strict=True)) if sums else {}
        return _Chosen(read.source, read.index, count, listed, known, split, lists, failed)


@datasets.register("plbind-affinity")
class PLBindAffinity(PLBind):
    """PLBind with the affinity itself as the target, -log10 of mol/l, for regression; its options are PLBind's.

    No bound is taken, whatever ``usable`` says; ``threshold_nM`` serves to balance the split alone, so that both
    datasets have the same one.
    """

    name = "plbind-affinity"
    targets = (Target("pK", "regression"),)


PLBindAffinity.__doc__ = f"{PLBindAffinity.__doc__}\n    Options:\n" + (PLBind.__doc__ or "").partition("Options:\n")[2]


def _years(value: object) -> list[int] | None:
    if value is None:
        return None
    if not (isinstance(value, Sequence) and len(value) == 2 and all(type(year) is int for year in value)
            and value[0] < value[1]):
        raise PellucidError(f"expected years to be two rising years, got {value!r}; write e.g. [2015, 2017]")
    return list(value)


def _packages(interactions: bool) -> dict[str, str]:
    """Versions of the libraries that a prepared complex depends on."""
    try:
        return {name: metadata.version(name) for name in ("rdkit", "gemmi", *(["prolif"] if interactions else []))}
    except metadata.PackageNotFoundError as error:
        raise MissingPackageError(f"expected {error.name}, which reads protein-ligand complexes, got none; pip install "
                                  "'pellucid[proteins]'") from error


# -- splits -----------------------------------------------------------------------------------------------------------
def _by_time(options: Mapping[str, Any], place: Path, listed: list[Listed]) -> tuple[dict[str, int], dict[str, str]]:
    """Name -> split, and the checksums of the lists it came from."""
    years = _years(options["years"])
    if years is not None:
        if options["time_lists"] is not None:
            raise PellucidError("expected years or time_lists, got both; leave one out")
        return {one.name: int(np.searchsorted(years, one.year)) for one in listed if one.year is not None}, {}
    folder = Path(options["time_lists"]) if options["time_lists"] is not None else place / "splits"
    split: dict[str, int] = {}
    for number, name in enumerate(TIME_LISTS):
        if not (folder / name).is_file():
            raise PellucidError(f"expected the file {name} of PDB codes in {folder}, got nothing there; give the "
                                "folder of EquiBind's lists as time_lists, or years such as [2015, 2017]")
        split |= dict.fromkeys((folder / name).read_text(encoding="utf-8").split(), number)
    return split, {name: sha256(folder / name) for name in TIME_LISTS}


def _split(options: Mapping[str, Any], cluster: NDArray[np.int64], positive: NDArray[np.bool_],
           by_time: NDArray[np.int64]) -> NDArray[np.int64]:
    if options["split"] == "cluster":
        return split_by_cluster(cluster, positive, options["seed"])
    if options["split"] == "random":
        order = np.random.default_rng([options["seed"], 7]).permutation(len(cluster))
        split = np.searchsorted(np.round(np.cumsum(SHARES[:2]) * len(cluster)), order, side="right")
    else:
        split = by_time
    for number, name in enumerate(SPLITS):
        if not (split == number).any():
            raise PellucidError(f"expected complexes for {', '.join(SPLITS)}, got none for {name} among {len(split)}; "
                                "choose split='cluster', or give more complexes")
    return split


def _sequences(clouds: PointClouds) -> list[str]:
    """The longest chain of each protein, in one-letter codes."""
    import gemmi

    letters = np.array(list(gemmi.one_letter_code(list(RESIDUE_TYPES))))
    types = np.split(clouds["categories"][:, 0].numpy(), clouds.ptr[1:-1].numpy())
    result = []
    for names, own in zip(clouds.text["group_names"], types, strict=True):
        chains = np.array([name.partition(":")[0] for name in json.loads(names)])
        longest = Counter(chains.tolist()).most_common(1)[0][0]
        result.append("".join(letters[own[chains == longest]]))
    return result


# -- preparation ------------------------------------------------------------------------------------------------------
def _prepared(chosen: _Chosen, settings: _Settings, processes: int, progress: bool
              ) -> tuple[dict[str, PointClouds], dict[str, str], list[Failed]]:
    """Clouds and the ligand's file of every complex that can be read, by name; and the others."""
    folder = home() / "datasets" / PLBind.name / "complexes"
    paths = {one.name: folder / f"{digest([one.name, _sums(chosen, one), asdict(settings)])}.safetensors"
             for one in chosen.complexes}
    parts: dict[str, PointClouds] = {}
    ligands: dict[str, str] = {}

    def load(name: str) -> bool:
        try:
            parts[name], about = PointClouds.load(paths[name])
        except PellucidError:  # missing or damaged
            return False
        ligands[name] = about["ligand"]
        return True

    missing = [one for one in chosen.complexes if not load(one.name)]
    failed = []
    with waiting("preparing complexes", progress) as advance, parallel_config("loky", inner_max_num_threads=1):
        work = Parallel(max(1, min(processes, len(missing))), return_as="generator")(
            delayed(_prepare)(one, paths[one.name], settings) for one in missing)
        try:
            for done, (one, reason) in enumerate(zip(missing, work, strict=True), 1):
                if reason or not load(one.name):
                    failed.append(Failed(one.name, "structure", reason or "its prepared file cannot be read back"))
                advance(done, len(missing))
        except BrokenProcessPool as error:
            raise PellucidError(f"expected prepared complexes, got a worker process that ended ({error}); free some "
                                "memory or ask for fewer processes, and run again: finished ones are kept") from error
    return parts, ligands, failed


def _sums(chosen: _Chosen, one: Listed) -> list[str]:
    return [chosen.sums[path] for path in (one.protein, *one.ligands)]


def _prepare(listed: Listed, path: Path, settings: _Settings) -> str:
    """Writes the clouds of one complex; returns why that could not be done, or nothing."""
    try:
        ligand = _readable(listed)
        whole = read_complex(listed.protein, ligand, name=listed.name, chains=settings.chains,
                             interactions=settings.interactions)
        clouds = complex_clouds([whole], radius=settings.radius, conformer=settings.conformer, seed=settings.seed or 0)
    except (ValueError, RuntimeError) as error:  # ours, and what RDKit and gemmi raise: one bad file stops no others
        return str(error) or type(error).__name__
    clouds.save(path, {"ligand": ligand.name})
    return ""


def _readable(listed: Listed) -> Path:
    """The first of the ligand's files that can be read: the .mol2 where the .sdf cannot, as in LRI's preparation."""
    for path in listed.ligands[:-1]:
        with contextlib.suppress(PellucidError):
            read_ligand(path, name=listed.name)
            return path
    return listed.ligands[-1]


def _labelled(clouds: PointClouds, kept: list[Listed], **values: torch.Tensor) -> PointClouds:
    text = {**clouds.text, "tier": [one.tier for one in kept], "measured": [str(one.affinity) for one in kept]}
    return PointClouds(clouds.ptr, {**{name: clouds[name] for name in clouds.names}, **values}, text=text,
                       declared={**FIELDS, **clouds.declared}, partner=clouds.partner)
