"""Mixed precision, as in torch.amp: `autocast` chooses dtypes, `GradScaler` scales losses."""

from elastic.tensor.amp.autocast_mode import (
    autocast,
    custom_bwd,
    custom_fwd,
    is_autocast_available,
)
from elastic.tensor.amp.grad_scaler import GradScaler

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd", "is_autocast_available"]
