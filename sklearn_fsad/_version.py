"""Read the versions of the installed packages, and the address of the documentation."""

import platform
import sys
from importlib.metadata import PackageNotFoundError, metadata, version
from typing import Any

try:
    __version__ = version("sklearn-fsad")
except PackageNotFoundError:  # used from a folder that was never installed
    __version__ = "0+unknown"

_REQUIRED = (
    "numpy",
    "scipy",
    "scikit-learn",
    "joblib",
    "threadpoolctl",
    "torch",
    "skorch",
    "numba",
    "pyod",
    "safetensors",
    "tqdm",
)
_OPTIONAL = (
    "matplotlib",
    "pandas",
    "polars",
    "pyarrow",
    "pooch",
    "dask",
    "ray",
    "accelerate",
    "mlflow-skinny",
    "optuna",
    "aeon",
    "tensorboard",
    "shap",
    "skops",
    "skrub",
)


def show_versions() -> None:
    """Print what a bug report needs: versions, and the number of threads of the libraries.

    Packages are looked up, not imported, except torch and numba, which are asked for their threads.

    Examples
    --------
    >>> import sklearn_fsad
    >>> sklearn_fsad.show_versions()  # doctest: +ELLIPSIS
    <BLANKLINE>
    System
    ...
    """
    system = {"python": sys.version.replace("\n", " "), "machine": platform.platform()}
    _print("System", {**system, "executable": sys.executable})
    _print("Package", {"sklearn-fsad": __version__})
    _print("Dependencies", {name: _installed(name) for name in _REQUIRED})
    _print("Optional dependencies", {name: _installed(name) for name in _OPTIONAL})
    _print("Threads", {**_threads(), **_thread_pools()})


@property  # type: ignore[misc]  # read by each class that takes it as an attribute
def doc_link_template(estimator: Any) -> str:
    """Return where the page of an estimator is, empty without an address in the metadata."""
    try:
        urls = metadata("sklearn-fsad").get_all("Project-URL") or []
    except PackageNotFoundError:
        return ""
    addresses = [url.partition(",")[2].strip() for url in urls if url.startswith("Documentation,")]
    if not addresses:
        return ""
    return addresses[0].rstrip("/") + "/generated/sklearn_fsad.{estimator_name}.html"


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _threads() -> dict[str, str]:
    """Tell the threads of torch and numba; a library that does not load tells why."""
    told = {}
    try:
        import torch

        told["torch"] = f"{torch.get_num_threads()} threads"
    except (ImportError, OSError) as error:
        told["torch"] = f"cannot be imported: {error}"
    try:
        import numba

        settings: Any = numba.config
        layer = settings.THREADING_LAYER
        told["numba"] = f"{settings.NUMBA_NUM_THREADS} threads, threading layer {layer!r}"
    except (ImportError, OSError) as error:
        told["numba"] = f"cannot be imported: {error}"
    return told


def _thread_pools() -> dict[str, str]:
    """Tell the BLAS and OpenMP libraries that are loaded, as threadpoolctl finds them."""
    from threadpoolctl import threadpool_info

    return {
        f"{pool['user_api']} ({pool['prefix']})": (
            f"{pool['num_threads']} threads, version {pool['version']}, {pool['filepath']}"
        )
        for pool in threadpool_info()
    }


def _print(title: str, facts: dict[str, str]) -> None:
    print(f"\n{title}")
    width = max(map(len, facts), default=0)
    for name, fact in facts.items():
        print(f"  {name:>{width}}: {fact}")
