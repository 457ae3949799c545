"""The outer loop: configurations in, trained initializations and their history out."""

from metalib.training.config import TrainingConfig
from metalib.training.loop import Monitor, Trained, train

__all__ = ["Monitor", "Trained", "TrainingConfig", "train"]
