"""GradScaler: losses multiplied, so that small gradients survive in float16."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterable
from enum import Enum
from typing import Any

import elastic.tensor as torch
from elastic.tensor import Tensor, backend
from elastic.tensor.optim import Optimizer

__all__ = ["GradScaler", "OptState"]


class OptState(Enum):
    """What has been done with an optimizer since the last `update`."""

    READY = 0
    UNSCALED = 1
    STEPPED = 2


def _untouched() -> dict[str, Any]:
    return {"stage": OptState.READY, "found_inf_per_device": {}}


class GradScaler:
    """Multiplies losses by a scale, divides gradients by it, and finds the right scale.

    After `growth_interval` steps without infinities it grows by `growth_factor`; a step whose
    gradients have one, or nan, is left out and the scale shrinks by `backoff_factor`.

        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ):
        self._device = device
        self._enabled = enabled
        if enabled and device == "cuda" and not backend.gpu_count():
            warnings.warn(
                "torch.cuda.amp.GradScaler is enabled, but CUDA is not available.  Disabling.",
                stacklevel=2,
            )
            self._enabled = False
        if not self._enabled:
            return
        if growth_factor <= 1.0:
            raise AssertionError("The growth factor must be > 1.0.")
        if backoff_factor >= 1.0:
            raise AssertionError("The backoff factor must be < 1.0.")
        self._init_scale = init_scale
        self._init_growth_tracker = 0
        self._scale: Tensor | None = None  # made by the first loss, on its device
        self._growth_tracker: Tensor | None = None
        self._growth_factor = growth_factor
        self._backoff_factor = backoff_factor
        self._growth_interval = growth_interval
        self._per_optimizer_states: dict[int, dict[str, Any]] = defaultdict(_untouched)

    def scale(self, outputs: Any) -> Any:
        """Return a tensor, or all tensors of an iterable, times the scale.

        Raises: ValueError for what is neither.
        """
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            if self._scale is None:
                self._begin(outputs)
            return outputs * self._scale.to(outputs.device)  # type: ignore[union-attr]
        if isinstance(outputs, Iterable):
            scaled = map(self.scale, outputs)
            return type(outputs)(scaled) if isinstance(outputs, (list, tuple)) else scaled
        raise ValueError("outputs must be a Tensor or an iterable of Tensors")

    def _begin(self, output: Tensor) -> None:
        where = output.device
        self._scale = torch.full((), self._init_scale, dtype=torch.float32, device=where)
        first = self._init_growth_tracker
        self._growth_tracker = torch.full((), first, dtype=torch.int32, device=where)

    def _begun(self, method: str) -> tuple[Tensor, Tensor]:
        if self._scale is None or self._growth_tracker is None:
            raise AssertionError(
                f"Attempted {method} but _scale is None.  This may indicate your script did not "
                "use scaler.scale(loss or outputs) earlier in the iteration."
            )
        return self._scale, self._growth_tracker

    def unscale_(self, optimizer: Optimizer) -> None:
        """Divide the gradients by the scale, for instance to clip them before `step`.

        Raises: RuntimeError when that was done since the last `update`.
        """
        if not self._enabled:
            return
        scale, _ = self._begun("unscale_")
        found = self._per_optimizer_states[id(optimizer)]
        if found["stage"] is OptState.UNSCALED:
            raise RuntimeError(
                "unscale_() has already been called on this optimizer since the last update()."
            )
        if found["stage"] is OptState.STEPPED:
            raise RuntimeError("unscale_() is being called after step().")
        found["found_inf_per_device"] = _unscale(optimizer, scale)
        found["stage"] = OptState.UNSCALED

    def step(self, optimizer: Optimizer, *args: Any, **kwargs: Any) -> Any:
        """Let the optimizer step, unless a gradient is infinite or nan; return what it returns.

        Raises: RuntimeError for a closure, and the second time since the last `update`.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        self._begun("step")
        found = self._per_optimizer_states[id(optimizer)]
        if found["stage"] is OptState.STEPPED:
            raise RuntimeError("step() has already been called since the last update().")
        if found["stage"] is OptState.READY:
            self.unscale_(optimizer)
        if not found["found_inf_per_device"]:
            raise AssertionError("No inf checks were recorded for this optimizer.")
        is_bad = any(each.item() for each in found["found_inf_per_device"].values())
        result = None if is_bad else optimizer.step(*args, **kwargs)
        found["stage"] = OptState.STEPPED
        return result

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Make the scale what the steps since the last `update` say, or `new_scale`."""
        if not self._enabled:
            return
        scale, tracker = self._begun("update")
        if new_scale is None:
            self._adapt(scale, tracker)
        elif isinstance(new_scale, float):
            scale.fill_(new_scale)
        else:
            if (
                new_scale.device.type != self._device
                or new_scale.numel() != 1
                or new_scale.requires_grad
            ):
                raise AssertionError(
                    "new_scale should be a float or a 1-element torch.cuda.FloatTensor or "
                    "torch.FloatTensor with requires_grad=False."
                )
            scale.copy_(new_scale)
        self._per_optimizer_states = defaultdict(_untouched)

    def _adapt(self, scale: Tensor, tracker: Tensor) -> None:
        states = self._per_optimizer_states.values()
        found = [inf for state in states for inf in state["found_inf_per_device"].values()]
        if not found:
            raise AssertionError("No inf checks were recorded prior to update.")
        if any(each.item() for each in found):
            scale.mul_(self._backoff_factor)
            tracker.fill_(0)
        elif tracker.item() + 1 < self._growth_interval:
            tracker.add_(1)
        else:
            larger = scale * self._growth_factor
            if torch.isfinite(larger):
                scale.copy_(larger)
            tracker.fill_(0)

    def get_scale(self) -> float:
        """Return the scale: 1 when the scaler is disabled."""
        if not self._enabled:
            return 1.0
        return self._init_scale if self._scale is None else self._scale.item()

    def _get_growth_tracker(self) -> int:
        if not self._enabled:
            return 0
        made = self._growth_tracker
        return self._init_growth_tracker if made is None else int(made.item())

    def get_growth_factor(self) -> float:
        """Return by what the scale grows."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Set by what the scale grows."""
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """Return by what the scale shrinks."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Set by what the scale shrinks."""
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """Return after how many good steps the scale grows."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Set after how many good steps the scale grows."""
        self._growth_interval = new_interval

    def is_enabled(self) -> bool:
        """Return whether the scaler does anything."""
        return self._enabled

    def state_dict(self) -> dict[str, Any]:
        """Return the scale and its settings; nothing when the scaler is disabled."""
        if not self._enabled:
            return {}
        return {
            "scale": self.get_scale(),
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._get_growth_tracker(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` returned. Raises: RuntimeError if that is nothing."""
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError(
                "The source state dict is empty, possibly because it was saved from a disabled "
                "instance of GradScaler."
            )
        self._init_scale = state_dict["scale"]
        self._init_growth_tracker = state_dict["_growth_tracker"]
        if self._scale is not None and self._growth_tracker is not None:
            self._scale.fill_(self._init_scale)
            self._growth_tracker.fill_(self._init_growth_tracker)
        for name in ("growth_factor", "backoff_factor", "growth_interval"):
            setattr(self, f"_{name}", state_dict[name])

    def __getstate__(self) -> dict[str, Any]:
        state = dict(vars(self))
        if self._enabled:
            if self._per_optimizer_states:
                raise AssertionError(
                    "A GradScaler instance may only be pickled at the beginning of an iteration, "
                    "or at the end after scaler.update()."
                )
            first = {"_init_scale": self.get_scale(), "_scale": None, "_growth_tracker": None}
            state |= {**first, "_init_growth_tracker": self._get_growth_tracker()}
        return state


def _unscale(optimizer: Optimizer, scale: Tensor) -> dict[Any, Tensor]:
    """Divide the gradients by the scale; return for each device 1 if one is not finite, else 0."""
    factor = 1.0 / scale.item()
    found: dict[Any, Tensor] = {}
    for group in optimizer.param_groups:
        for param in group["params"]:
            grad = param.grad
            if grad is None:
                continue
            if grad.dtype is torch.float16:
                raise ValueError("Attempting to unscale FP16 gradients.")
            with torch.no_grad():
                grad.mul_(factor)
            is_bad = found.setdefault(grad.device, torch.zeros((), device=grad.device))
            if not is_bad.item() and not torch.isfinite(grad.detach()).all():
                is_bad.fill_(1.0)
    return found
