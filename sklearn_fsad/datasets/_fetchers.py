"""Fetch public data sets, and store them in the data folder."""

from __future__ import annotations

import difflib
import os
import zipfile
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch

from ..tasks._task_set import TaskSet
from ._download import fetched, get_data_home
from ._registry import ADBENCH, MVTEC, SKAB, DataFile

DataHome = str | os.PathLike[str] | None
Rows = tuple[NDArray[np.float64], NDArray[np.int64]]
_LABEL, _NOT_FEATURES = "anomaly", ("datetime", "changepoint")


def fetch_adbench(
    name: str,
    *,
    data_home: DataHome = None,
    download_if_missing: bool = True,
    return_X_y: bool = False,
) -> Any:
    """Fetch one of the 47 tables of ADBench [1]_.

    It is downloaded once, by pooch, from the repository of ADBench, and stored in the data folder.
    You can also put it there by hand, as ``adbench/Classical/6_cardio.npz``. ADBench publishes no
    checksums: a file is used only if it has the published number of rows, features and anomalies.

    Parameters
    ----------
    name : str
        Name of the table, such as ``"cardio"`` or, as in its file name, ``"6_cardio"``.
    data_home : str or path, default=None
        The data folder, see :func:`get_data_home`.
    download_if_missing : bool, default=True
        False refuses to download.
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    table : Bunch
        ``data``, ndarray of shape (n_samples, n_features); ``target``, ndarray of shape
        (n_samples,), 1 = anomaly; ``name``; ``filename``; ``url``.

    Raises
    ------
    ValueError
        If there is no such table; the message lists them.
    FetchError
        If the file is not there and cannot be downloaded, or is not the right one.
    ImportError
        If it has to be downloaded and pooch is not installed.

    References
    ----------
    .. [1] S. Han et al., "ADBench: anomaly detection benchmark", NeurIPS 2022.

    Examples
    --------
    >>> from sklearn_fsad.datasets import fetch_adbench
    >>> X, y = fetch_adbench("cardio", return_X_y=True)  # doctest: +SKIP
    >>> X.shape, y.sum()  # doctest: +SKIP
    ((1831, 21), 176)
    """
    number, _, rest = name.partition("_")
    short = rest if number.isdigit() else name
    _check_known("table", [short], ADBENCH)
    file = ADBENCH[short]
    X, y = fetched(file, _read_npz, data_home=data_home, download_if_missing=download_if_missing)
    if return_X_y:
        return X, y
    filename = str(get_data_home(data_home) / file.path)
    return Bunch(data=X, target=y, name=short, filename=filename, url=file.urls[0])


def fetch_mvtec_embeddings(
    backbone: str = "vit",
    *,
    categories: Iterable[str] | None = None,
    data_home: DataHome = None,
    download_if_missing: bool = True,
) -> TaskSet:
    """Fetch ADBench's embeddings of images of ten product categories of MVTec AD [1]_, [2]_.

    They are downloaded and stored like the tables of :func:`fetch_adbench`, as
    ``adbench/CV_by_ViT/MVTec-AD_bottle.npz`` and so on.

    Parameters
    ----------
    backbone : {"vit", "resnet18"}, default="vit"
        The network that embedded the images: 1000 or 512 features.
    categories : iterable of str, default=None
        Some of bottle, cable, carpet, grid, leather, metal_nut, screw, toothbrush, transistor and
        wood; None means all.
    data_home : str or path, default=None
        The data folder, see :func:`get_data_home`.
    download_if_missing : bool, default=True
        False refuses to download.

    Returns
    -------
    tasks : TaskSet
        Named by category; defects are anomalies.

    Raises
    ------
    ValueError, FetchError, ImportError
        As :func:`fetch_adbench`.

    References
    ----------
    .. [1] P. Bergmann et al., "MVTec AD: a comprehensive real-world dataset for unsupervised
           anomaly detection", CVPR 2019.
    .. [2] S. Han et al., "ADBench: anomaly detection benchmark", NeurIPS 2022.

    Examples
    --------
    >>> from sklearn_fsad.datasets import fetch_mvtec_embeddings
    >>> fetch_mvtec_embeddings("resnet18")  # doctest: +SKIP
    TaskSet(10 tasks, 3330 rows, n_features=512)
    """
    _check_known("backbone", [backbone], MVTEC)
    files = MVTEC[backbone]
    wanted = list(files if categories is None else categories)
    _check_known("category", wanted, files)
    how: dict[str, Any] = {"data_home": data_home, "download_if_missing": download_if_missing}
    tasks = {name: fetched(files[name], _read_npz, **how) for name in wanted}
    return TaskSet(tasks, outlier_label=1)


def fetch_skab(
    *,
    recordings: Iterable[str] | None = None,
    data_home: DataHome = None,
    download_if_missing: bool = True,
) -> TaskSet:
    """Fetch SKAB: 35 recordings of a water pump by eight sensors [1]_, in order of time.

    They are downloaded once, by pooch, from the repository of SKAB, and stored in the data folder.
    You can also put them there by hand, as ``skab/valve1/0.csv`` and so on. SKAB publishes no
    checksums: a file is used only if it has the eight sensors, without gaps, and labels of 0 and 1.
    pandas is needed to read them.

    Parameters
    ----------
    recordings : iterable of str, default=None
        Names of recordings, such as ``"valve1/0"``; None means all.
    data_home : str or path, default=None
        The data folder, see :func:`get_data_home`.
    download_if_missing : bool, default=True
        False refuses to download.

    Returns
    -------
    tasks : TaskSet
        Named like the recordings, in the groups ``"valve1"``, ``"valve2"``, ``"other"`` and
        ``"anomaly-free"``; the only recording of the last has no anomalies.

    Raises
    ------
    ValueError, FetchError, ImportError
        As :func:`fetch_adbench`.

    References
    ----------
    .. [1] I. D. Katser and V. O. Kozitsin, "Skoltech Anomaly Benchmark (SKAB)", Kaggle, 2020,
           doi:10.34740/KAGGLE/DSV/1693952.

    Examples
    --------
    >>> from sklearn_fsad.datasets import fetch_skab
    >>> fetch_skab(recordings=["valve1/0", "other/5"]).groups  # doctest: +SKIP
    ['valve1', 'other']
    """
    wanted = list(SKAB if recordings is None else recordings)
    _check_known("recording", wanted, SKAB)
    tasks = [
        fetched(
            SKAB[name], _read_skab, data_home=data_home, download_if_missing=download_if_missing
        )
        for name in wanted
    ]
    groups = [name.split("/")[0] for name in wanted]
    return TaskSet(tasks, wanted, groups, outlier_label=1)


def _check_known(what: str, names: Iterable[str], known: Collection[str]) -> None:
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"There is no {what} {name!r}.{hint} There are: {', '.join(known)}.")


def _read_npz(path: Path, file: DataFile) -> Rows:
    try:
        with np.load(path) as arrays:
            X, y = arrays["X"], arrays["y"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"it cannot be read ({error}).") from error
    X, y = np.asarray(X, dtype=np.float64), np.ravel(y)
    _check_labels(y)
    size = (*X.shape, int(y.sum()))
    if size != file.size or len(X) != len(y):
        raise ValueError(
            "it has {} rows, {} features and {} anomalies, not {}, {} and {}.".format(
                *size, *(file.size or ())
            )
        )
    return X, y.astype(np.int64)


def _read_skab(path: Path, file: DataFile) -> tuple[Any, NDArray[np.int64]]:
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError("fetch_skab needs pandas, `pip install 'sklearn-fsad[data]'`.") from error
    try:
        frame = pd.read_csv(path, sep=";")
    except (ValueError, OSError) as error:
        raise ValueError(f"it cannot be read ({error}).") from error
    sensors = frame.drop(columns=[_LABEL, *_NOT_FEATURES], errors="ignore")
    numbers = sensors.select_dtypes("number")
    if numbers.shape[1] != 8 or sensors.shape[1] != 8 or numbers.isna().any(axis=None):
        raise ValueError("it does not hold eight sensors without gaps.")
    if _LABEL not in frame.columns:
        if "anomaly-free" not in file.path:
            raise ValueError(f"it has no column {_LABEL!r}.")
        return sensors, np.zeros(len(sensors), dtype=np.int64)
    y = frame[_LABEL].to_numpy()
    _check_labels(y)
    return sensors, y.astype(np.int64)


def _check_labels(y: NDArray[Any]) -> None:
    if y.dtype.kind not in "biuf" or not np.isin(y, (0, 1)).all():
        raise ValueError("its labels are not 0 and 1.")
