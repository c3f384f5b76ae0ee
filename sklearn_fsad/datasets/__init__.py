"""Make, fetch or read tasks: synthetic ones, public data, or a folder of one's own files.

Importing this module needs neither pooch nor pandas: ``fetch_...`` need pooch where a file is
not in the data folder yet, and csv and parquet files need pandas.
"""

from ._download import get_data_home
from ._fetchers import fetch_adbench, fetch_mvtec_embeddings, fetch_skab
from ._folder import tasks_from_folder
from ._made import load_digits_tasks, make_related_tasks, make_sinusoid_tasks

__all__ = [
    "fetch_adbench",
    "fetch_mvtec_embeddings",
    "fetch_skab",
    "get_data_home",
    "load_digits_tasks",
    "make_related_tasks",
    "make_sinusoid_tasks",
    "tasks_from_folder",
]


def __dir__() -> list[str]:
    return sorted(__all__)
