"""The outer loop: configurations in, trained initializations and their history out."""

from metalib.training.config import TrainingConfig
from metalib.training.loop import Trained, train
from metalib.training.monitor import Monitor

__all__ = ["Monitor", "Trained", "TrainingConfig", "train"]
