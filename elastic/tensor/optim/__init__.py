"""Optimizers and learning rate schedules, as in torch.optim."""

from elastic.tensor.optim import lr_scheduler
from elastic.tensor.optim.adam import Adam, AdamW
from elastic.tensor.optim.optimizer import Optimizer
from elastic.tensor.optim.sgd import SGD

__all__ = ["Adam", "AdamW", "Optimizer", "SGD", "lr_scheduler"]
