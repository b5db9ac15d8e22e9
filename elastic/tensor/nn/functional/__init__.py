"""The formulas of the layers as functions: `import elastic.tensor.nn.functional as F`."""

from elastic.tensor import _autocast, _bind
from elastic.tensor.nn.functional._activations import *
from elastic.tensor.nn.functional._attention import *
from elastic.tensor.nn.functional._class_losses import *
from elastic.tensor.nn.functional._conv import *
from elastic.tensor.nn.functional._distances import *
from elastic.tensor.nn.functional._dropout import *
from elastic.tensor.nn.functional._embedding import *
from elastic.tensor.nn.functional._linear import *
from elastic.tensor.nn.functional._losses import *
from elastic.tensor.nn.functional._norms import *
from elastic.tensor.nn.functional._padding import *
from elastic.tensor.nn.functional._pooling import *
from elastic.tensor.nn.functional._vision import *

_autocast.cover(globals())
_bind.settle(globals())
