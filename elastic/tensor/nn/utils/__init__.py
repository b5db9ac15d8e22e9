"""Helpers around modules: gradient clipping, packed sequences, parametrizations, fusion."""

from elastic.tensor.nn.utils import rnn
from elastic.tensor.nn.utils.clip_grad import *
