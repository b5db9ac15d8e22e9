"""Layers, losses and containers, as in torch.nn."""

from elastic.tensor.nn import functional, init, utils
from elastic.tensor.nn.activation import *
from elastic.tensor.nn.adaptive import *
from elastic.tensor.nn.attention import *
from elastic.tensor.nn.channelshuffle import *
from elastic.tensor.nn.container import *
from elastic.tensor.nn.conv import *
from elastic.tensor.nn.distance import *
from elastic.tensor.nn.dropout import *
from elastic.tensor.nn.embedding import *
from elastic.tensor.nn.flatten import *
from elastic.tensor.nn.fold import *
from elastic.tensor.nn.lazy import *
from elastic.tensor.nn.linear import *
from elastic.tensor.nn.loss import *
from elastic.tensor.nn.module import *
from elastic.tensor.nn.norm import *
from elastic.tensor.nn.padding import *
from elastic.tensor.nn.parameter import *
from elastic.tensor.nn.pixelshuffle import *
from elastic.tensor.nn.pooling import *
from elastic.tensor.nn.rnn import *
from elastic.tensor.nn.transformer import *
from elastic.tensor.nn.upsampling import *

from elastic.tensor.nn import modules  # isort: skip  # it collects those above
