"""What importing the package brings along."""

import re
import subprocess
import sys
from importlib.metadata import requires, version
from pathlib import Path

import pytest

import sklearn_fsad

# --- imports --------------------------------------------------------------------------------------
PROGRAM = """
import sys

import sklearn_fsad

names = [n for n in dir(sklearn_fsad) if n in sklearn_fsad._SUBMODULES]
assert len(names) == 16
assert "sklearn_fsad.datasets" not in sys.modules

sklearn_fsad.TaskSet, sklearn_fsad.FewShotSplit
for name in "datasets", "metrics", "adapters", "model_selection", "pipeline":
    getattr(sklearn_fsad, name)
sklearn_fsad.plotting.AnomalyScoreDisplay
heavy = {"torch", "pyod", "aeon", "matplotlib", "pooch"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)

sklearn_fsad.ProtoNetDetector
assert "torch" in sys.modules
modules = [getattr(sklearn_fsad, name) for name in names]
assert [m.__name__ for m in modules] == ["sklearn_fsad." + name for name in names]
"""


def test_an_import_brings_along_what_is_asked_for_alone():
    subprocess.run([sys.executable, "-c", PROGRAM], check=True)


def test_no_public_file_or_folder_is_missing_among_the_submodules():
    root = Path(sklearn_fsad.__file__).parent
    found = {file.stem for file in root.glob("[a-z]*.py")}
    found |= {file.parent.name for file in root.glob("[a-z]*/__init__.py")}
    assert found == set(sklearn_fsad._SUBMODULES)


@pytest.mark.parametrize("name", ["", *sklearn_fsad._SUBMODULES])
def test_dir_shows_public_names_alone(name):
    module = getattr(sklearn_fsad, name) if name else sklearn_fsad
    extra = {*sklearn_fsad._SUBMODULES, "__version__"} if not name else set()
    assert set(dir(module)) == {*module.__all__, *extra}


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        _ = sklearn_fsad.no_such_name


# --- versions -------------------------------------------------------------------------------------
def test_show_versions_tells_each_required_package_and_the_threads(capsys):
    sklearn_fsad.show_versions()
    told = capsys.readouterr().out
    required = [r for r in requires("sklearn-fsad") or [] if "extra ==" not in r]
    for requirement in required:
        name = re.split(r"[^\w-]", requirement)[0]
        assert re.search(rf"^ *{name}: {re.escape(version(name))}$", told, re.MULTILINE)
    assert required
    assert f"sklearn-fsad: {sklearn_fsad.__version__}" in told
    assert re.search(r"torch: \d+ threads", told)
    assert re.search(r"numba: \d+ threads, threading layer '\w+'", told)
    assert re.search(r"blas \(\w+\): \d+ threads, version", told)


def test_show_versions_tells_what_is_not_installed(capsys, monkeypatch):
    monkeypatch.setattr("sklearn_fsad._version._OPTIONAL", ("no-such-package",))
    sklearn_fsad.show_versions()
    assert "no-such-package: not installed" in capsys.readouterr().out
