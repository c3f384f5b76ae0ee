"""Checks before a release: ``nox -s wheel``, or another session that ``nox --list`` names.

Torch is installed first and in the one version of constraints.txt everywhere, since an open
requirement fetches gigabytes of GPU libraries. So neither its newest version nor the lowest that
pyproject.toml allows, 2.10, is tested here; nor are the lowest versions on Python above 3.11, nor
those of the extra docs.
"""

import re
import tarfile
import tempfile
from pathlib import Path

import nox

ROOT = Path(__file__).parent
PINNED = ROOT / "constraints.txt"
TORCH = next(line for line in PINNED.read_text().splitlines() if line.startswith("torch=="))
PROJECT = nox.project.load_toml(ROOT / "pyproject.toml")["project"]
TESTED = (
    "plot",
    "data",
    "tables",
    "onnx",
    "scale",
    "benchmarks",
    "tests",
    "integrations",
)  # extras

nox.options.sessions = ["wheel"]


def lowest_versions() -> list[str]:
    """Every lower bound of pyproject.toml as an exact version, but torch's."""
    extras = [PROJECT["optional-dependencies"][name] for name in TESTED]
    bounds = [line for part in (PROJECT["dependencies"], *extras) for line in part if ">=" in line]
    exact = [re.sub(r"\[.*\]", "", line).replace(">=", "==") for line in bounds]  # dask[array]
    return [line for line in exact if not line.startswith("torch")]


def install_and_test(session: nox.Session, constraints: list[str]) -> None:
    """Run the tests, or those named after ``--``, with dependencies so constrained."""
    path = Path(session.create_tmp()) / "constraints.txt"
    path.write_text("\n".join([TORCH, *constraints]))
    session.install(TORCH)
    session.install("-c", str(path), "-e", f".[{','.join(TESTED)}]")
    session.run("python", "-m", "pip", "freeze")
    session.run("python", "-m", "pytest", *(session.posargs or ["-n", "2"]))


@nox.session
def newest(session: nox.Session) -> None:
    """The tests with the newest versions that resolve."""
    install_and_test(session, [])


@nox.session(python="3.11")
def minimum(session: nox.Session) -> None:
    """The tests with the lowest versions that pyproject.toml promises."""
    install_and_test(session, lowest_versions())


@nox.session
def series(session: nox.Session) -> None:
    """The tests that need aeon, which does not go with the versions of constraints.txt."""
    session.install(TORCH)
    drift = "nonconform>=2; python_version >= '3.12'"  # which a recipe of the documentation uses
    session.install(TORCH, "-e", ".[tests,series]", drift)
    tests = ["tests/metrics", "tests/integration/test_series_recipes.py"]
    session.run("python", "-m", "pytest", *(session.posargs or tests))


@nox.session
def wheel(session: nox.Session) -> None:
    """Build both archives; run the first page from the wheel and the sdist's tests on itself."""
    session.install("build")
    with tempfile.TemporaryDirectory() as folder:
        session.run("python", "-m", "build", "--outdir", folder, str(ROOT))
        session.install(TORCH)
        archive = str(*Path(folder).glob("*.whl"))
        session.install("-c", str(PINNED), f"{archive}[data]")
        page = Path(folder) / "start.py"
        page.write_text(code_of(ROOT / "docs" / "start.md"))
        with session.chdir(folder):
            session.run("python", page.name)
        with tarfile.open(*Path(folder).glob("*.tar.gz")) as source:
            source.extractall(folder, filter="data")
        session.chdir(*Path(folder).glob("sklearn_fsad-*/"))
        session.install("-c", "constraints.txt", "-e", ".[tests,scale,integrations]")
        session.run("python", "-m", "pytest", *(session.posargs or ["-n", "2"]))


def code_of(page: Path) -> str:
    """The code blocks of a page, after a check that they run what was installed."""
    blocks = re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    check = "import sklearn_fsad\nassert 'site-packages' in sklearn_fsad.__file__\n"
    return "\n".join([check, *blocks])


@nox.session
def audit(session: nox.Session) -> None:
    """Look up known vulnerabilities of what gets installed; PyPI has to answer."""
    session.install(TORCH)
    session.install("-c", str(PINNED), f".[{','.join(TESTED)},docs]")
    frozen = session.run("python", "-m", "pip", "freeze", "--exclude", "sklearn-fsad", silent=True)
    path = Path(session.create_tmp()) / "frozen.txt"
    path.write_text(re.sub(r"\+\w+$", "", frozen, flags=re.MULTILINE))  # 2.13.0+cpu
    session.install("pip-audit")
    session.run("pip-audit", "--strict", "--no-deps", "--disable-pip", "-r", str(path))
