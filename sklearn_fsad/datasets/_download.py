"""Read a file from the data folder, after downloading it where it is missing."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from ..exceptions import FetchError
from ._registry import DataFile

T = TypeVar("T")
DATA_HOME = "SKLEARN_FSAD_DATA"


def get_data_home(data_home: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder in which fetched data are stored.

    Parameters
    ----------
    data_home : str or path, default=None
        The folder; None means that of the environment variable ``SKLEARN_FSAD_DATA``, and where it
        is not set ``sklearn_fsad_data`` in the home folder.

    Returns
    -------
    folder : Path
        It may not exist yet.

    Examples
    --------
    >>> from sklearn_fsad.datasets import get_data_home
    >>> get_data_home("measurements").name
    'measurements'
    """
    if data_home is None:
        data_home = os.environ.get(DATA_HOME) or "~/sklearn_fsad_data"
    return Path(data_home).expanduser().absolute()


def fetched(
    file: DataFile,
    read: Callable[[Path, DataFile], T],
    *,
    data_home: str | os.PathLike[str] | None,
    download_if_missing: bool,
) -> T:
    """Read a file, after downloading it where it is missing.

    A downloaded file is moved to the data folder only after it was read: a broken download is
    never used.

    Parameters
    ----------
    file : DataFile
    read : callable
        ``(path, file) -> content``; raises ValueError for a file that is not the right one.
    data_home : str or path or None
    download_if_missing : bool
    """
    target = get_data_home(data_home) / file.path
    if target.exists():
        try:
            _check_sha256(target, file)
            return read(target, file)
        except ValueError as error:
            raise FetchError(
                f"{target} is not the file it should be: {error} Delete it, so that it can be "
                "downloaded anew, or put the right one in its place."
            ) from error
    if not download_if_missing:
        raise FetchError(_advice(file, target, "it is missing, and download_if_missing is False"))
    try:
        import pooch
    except ImportError as error:
        reason = "downloads need pooch, `pip install 'sklearn-fsad[data]'`"
        raise ImportError(_advice(file, target, reason)) from error
    return _downloaded(file, target, read, pooch)


def _downloaded(file: DataFile, target: Path, read: Callable[[Path, DataFile], T], pooch: Any) -> T:
    target.parent.mkdir(parents=True, exist_ok=True)
    failures = []
    for url in file.urls:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetching-") as folder:
            try:
                pooch.retrieve(url, known_hash=None, fname=target.name, path=folder)
                part = Path(folder) / target.name
                _check_sha256(part, file)
                content = read(part, file)
            except (OSError, ValueError) as error:
                failures.append(f"{url}: {error}")
                continue
            os.replace(part, target)
            return content
    raise FetchError(_advice(file, target, "; ".join(failures)))


def _check_sha256(path: Path, file: DataFile) -> None:
    if file.sha256 is None:
        return
    with open(path, "rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != file.sha256:
        raise ValueError(f"its sha256 is {found}.")


def _advice(file: DataFile, target: Path, reason: str) -> str:
    """Explain what went wrong and how to put the file in its place by hand."""
    known = f"  sha256: {file.sha256}"
    if file.sha256 is None:
        known = "  sha256: not published; the content is checked instead"
        if file.size is not None:
            known += " ({} rows, {} features, {} anomalies)".format(*file.size)
    return (
        f"Cannot fetch {target.name}: {reason}.\n"
        "Without a connection, download it elsewhere and put it into the folder below, or name "
        f"another folder by data_home= or {DATA_HOME}.\n"
        f"  URL: {' or '.join(file.urls)}\n"
        f"  file: {target.name}\n{known}\n"
        f"  folder: {target.parent}"
    )
