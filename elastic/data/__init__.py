"""Data: datasets, samplers and the loader, with PyTorch's names and meanings.

    import elastic.data      # in place of torch.utils.data

`sampling` is the arithmetic on which exactly-once rests; `dealing` is what training asks of a
loader, `iterating` and `workers` are PyTorch's passes and their processes.
"""

from elastic.data import distributed
from elastic.data.collate import default_collate, default_convert
from elastic.data.dataloader import DataLoader
from elastic.data.dataset import (
    ChainDataset,
    ConcatDataset,
    Dataset,
    IterableDataset,
    StackDataset,
    Subset,
    TensorDataset,
    random_split,
)
from elastic.data.distributed import DistributedSampler
from elastic.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from elastic.data.workers import get_worker_info

__all__ = [
    "BatchSampler",
    "ChainDataset",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "DistributedSampler",
    "IterableDataset",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "StackDataset",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "WeightedRandomSampler",
    "default_collate",
    "default_convert",
    "distributed",
    "get_worker_info",
    "random_split",
]
