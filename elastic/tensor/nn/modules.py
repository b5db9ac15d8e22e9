"""PyTorch's places of the layers: `nn.modules.batchnorm._BatchNorm` and the like."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType

# Where a user of PyTorch looks, and our modules that have it.
PLACES = {
    "activation": "activation attention", "adaptive": "adaptive", "batchnorm": "norm",
    "channelshuffle": "channelshuffle", "container": "container", "conv": "conv",
    "distance": "distance", "dropout": "dropout", "flatten": "flatten", "fold": "fold",
    "instancenorm": "norm", "lazy": "lazy", "linear": "linear lazy", "loss": "loss",
    "module": "module hooks", "normalization": "norm", "padding": "padding",
    "pixelshuffle": "pixelshuffle", "pooling": "pooling", "rnn": "rnn", "sparse": "embedding",
    "transformer": "transformer", "upsampling": "upsampling",
}  # fmt: skip


def _place(name: str, homes: str) -> ModuleType:
    """Return a module with the names of all `homes`, known by its own name to `import`."""
    place = ModuleType(f"{__name__}.{name}")
    for home in homes.split():
        found = import_module(f"elastic.tensor.nn.{home}")
        place.__dict__.update({k: v for k, v in vars(found).items() if not k.startswith("__")})
    sys.modules[place.__name__] = place
    return place


globals().update({name: _place(name, homes) for name, homes in PLACES.items()})
for _each in PLACES:
    globals().update({k: v for k, v in vars(globals()[_each]).items() if k[0].isupper()})
