"""Hold and make tasks for meta-training, and draw few-shot episodes from them."""

from ._episodes import Episode, EpisodeSampler
from ._making import make_tasks_from_classes, make_tasks_from_groups, make_tasks_from_table
from ._task import Task
from ._task_set import TaskSet

__all__ = [
    "Episode",
    "EpisodeSampler",
    "Task",
    "TaskSet",
    "make_tasks_from_classes",
    "make_tasks_from_groups",
    "make_tasks_from_table",
]


def __dir__() -> list[str]:
    return sorted(__all__)
