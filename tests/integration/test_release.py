"""What is released: one version everywhere, and archives with what they should hold and no more."""

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from families import TESTS

ROOT = TESTS.parent

pytestmark = pytest.mark.integration


def test_the_version_is_the_same_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    released = re.search(r"^## \[(\d.*?)\] - ([\d-]+)$", changes, re.MULTILINE).groups()
    cited = [re.search(rf'^{k}: "?([^"\n]+)', citation, re.M) for k in ("version", "date-released")]
    assert (project["version"], *(found[1] for found in cited)) == (released[0], *released)


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """Wheel and sdist of this folder."""
    pytest.importorskip("hatchling", reason="hatchling builds the archives")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("*.whl")), next(folder.glob("*.tar.gz"))


def test_the_wheel_holds_the_package_its_weights_and_nothing_else(archives):
    assert archives[0].stat().st_size < 2**20
    inside = zipfile.ZipFile(archives[0]).namelist()
    weights = {f"sklearn_fsad/weights/tabular-v{i}.safetensors" for i in (1, 2)}
    assert {*weights, "sklearn_fsad/py.typed"} <= set(inside)
    assert {name.split("/")[0].split("-")[0] for name in inside} == {"sklearn_fsad"}
    package = {name for name in inside if ".dist-info/" not in name}
    assert {Path(name).suffix for name in package} == {".py", ".typed", ".safetensors"}


def test_the_sdist_holds_tests_pages_and_benchmarks_without_results(archives):
    with tarfile.open(archives[1]) as archive:
        inside = {name.split("/", 1)[1] for name in archive.getnames()}
    wanted = {
        "tests/integration/test_release.py",
        "tests/families.py",
        "docs/start.md",
        "benchmarks/run.py",
        "constraints.txt",
    }
    assert wanted <= inside
    assert not [name for name in inside if name.startswith("benchmarks/results")]
