"""Tasks to learn from, and the few-shot episodes drawn out of them."""

from ._episodes import Episode, EpisodeSampler
from ._task_set import Task, TaskSet

__all__ = ["Episode", "EpisodeSampler", "Task", "TaskSet"]
