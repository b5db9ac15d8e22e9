"""Optimizers and learning rate schedules, as in torch.optim."""

from elastic.tensor.optim import lr_scheduler, swa_utils
from elastic.tensor.optim.adadelta import Adadelta
from elastic.tensor.optim.adafactor import Adafactor
from elastic.tensor.optim.adagrad import Adagrad
from elastic.tensor.optim.adam import Adam, AdamW
from elastic.tensor.optim.adamax import Adamax
from elastic.tensor.optim.asgd import ASGD
from elastic.tensor.optim.lbfgs import LBFGS
from elastic.tensor.optim.muon import Muon
from elastic.tensor.optim.nadam import NAdam
from elastic.tensor.optim.optimizer import Optimizer
from elastic.tensor.optim.radam import RAdam
from elastic.tensor.optim.rmsprop import RMSprop
from elastic.tensor.optim.rprop import Rprop
from elastic.tensor.optim.sgd import SGD
from elastic.tensor.optim.sparse_adam import SparseAdam

__all__ = [
    "ASGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "LBFGS",
    "Muon",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SGD",
    "SparseAdam",
    "lr_scheduler",
    "swa_utils",
]
