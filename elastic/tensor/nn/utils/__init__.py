"""Helpers around modules: gradient clipping, packed sequences, parametrizations, fusion."""

from elastic.tensor.nn.utils import parametrizations, parametrize, rnn, stateless
from elastic.tensor.nn.utils.clip_grad import *
from elastic.tensor.nn.utils.fusion import *
from elastic.tensor.nn.utils.init import *
from elastic.tensor.nn.utils.norm_hooks import *
