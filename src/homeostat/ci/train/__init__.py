"""Train a candidate: from labelled rows to a bundle that is proved, seeded and complete."""

from homeostat.ci.train.lesson import TrainingLesson
from homeostat.ci.train.online import train_online
from homeostat.ci.train.train import describe, spanning, train, with_reference

__all__ = ["TrainingLesson", "describe", "spanning", "train", "train_online", "with_reference"]
