"""What is computed both by PyTorch and by us: the table behind golden.json.

`python tests/tensor/nn/cases.py`, run where PyTorch 2.13.0 is installed, writes golden.json anew.
Each case is a function of the namespace `torch`, its inputs and nothing else; it is recorded with
its output and the gradients of its inputs.
"""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).with_name("golden.json")


def wave(torch: Any, *shape: int, shift: float = 0.0) -> Any:
    """Return smooth numbers between -2 and 2 that no generator is needed for."""
    count = math.prod(shape)
    values = [2 * math.sin(1.7 * k + shift + 0.1) for k in range(count)]
    return torch.tensor(values).reshape(shape)


def unit(torch: Any, *shape: int) -> Any:
    """Return numbers between 0 and 1."""
    return wave(torch, *shape, shift=0.5) * 0.24 + 0.5


def _modes(name: str, count: int = 1) -> dict[str, Any]:
    """Return a case for each reduction of a loss of two float tensors."""
    return {
        f"{name}-{mode}": (
            lambda t, x, y, mode=mode: getattr(t.nn.functional, name)(x, y, reduction=mode),
            ((4, 3), (4, 3)),
        )
        for mode in ("mean", "sum", "none")
    }


def _classes(t: Any) -> Any:
    return t.tensor([0, 2, -100, 1])


def _cross_entropy(**options: Any) -> Any:
    def case(t: Any, x: Any) -> Any:
        given = {k: v(t) if callable(v) else v for k, v in options.items()}
        target = given.pop("target", _classes(t))
        return t.nn.functional.cross_entropy(x, target, **given)

    return case


def _weights(t: Any) -> Any:
    return t.tensor([0.5, 1.0, 2.0])


def _probabilities(t: Any) -> Any:
    return wave(t, 4, 3, shift=2.0).softmax(1)


def _images(t: Any) -> Any:
    return t.tensor([[0, 1], [2, 2], [1, 0], [0, 0]])


def _batch_norm(training: bool, *shape: int) -> Any:
    def case(t: Any, x: Any, weight: Any, bias: Any) -> Any:
        mean, var = t.full((3,), 0.1), t.full((3,), 2.0)
        out = t.nn.functional.batch_norm(x, mean, var, weight, bias, training, 0.3)
        return t.cat([out.reshape(-1), mean, var])

    return case


_PLAIN = ["elu", "gelu", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "logsigmoid", "mish"]
_PLAIN += ["relu", "relu6", "selu", "sigmoid", "silu", "softplus", "softsign", "tanh"]

CASES: dict[str, tuple[Any, tuple[tuple[int, ...], ...]]] = {
    **{
        name: (lambda t, x, name=name: getattr(t.nn.functional, name)(x), ((3, 4),))
        for name in _PLAIN
    },
    "relu-at-zero": (lambda t, x: t.nn.functional.relu(x * 0), ((4,),)),
    "logsigmoid-at-zero": (lambda t, x: t.nn.functional.logsigmoid(x * 0), ((4,),)),
    "softplus-beta": (lambda t, x: t.nn.functional.softplus(x, 3.0, 4.0), ((3, 4),)),
    "elu-alpha": (lambda t, x: t.nn.functional.elu(x, 0.3), ((3, 4),)),
    "gelu-tanh": (lambda t, x: t.nn.functional.gelu(x, approximate="tanh"), ((3, 4),)),
    "relu-inplace": (lambda t, x: t.nn.functional.relu(x * 1, True), ((3, 4),)),
    "silu-inplace": (lambda t, x: t.nn.functional.silu(x * 1, True), ((3, 4),)),
    "prelu": (lambda t, x, w: t.nn.functional.prelu(x, w), ((2, 3, 2), (3,))),
    "softmax": (lambda t, x: t.nn.functional.softmax(x, 0), ((3, 4),)),
    "log_softmax": (lambda t, x: t.nn.functional.log_softmax(x, -1), ((3, 4),)),
    "softmin": (lambda t, x: t.nn.functional.softmin(x, 1), ((3, 4),)),
    "glu": (lambda t, x: t.nn.functional.glu(x), ((3, 4),)),
    "linear": (lambda t, x, w, b: t.nn.functional.linear(x, w, b), ((2, 3, 4), (5, 4), (5,))),
    "linear-no-bias": (lambda t, x, w: t.nn.functional.linear(x, w), ((4,), (5, 4))),
    "embedding": (
        lambda t, w: t.nn.functional.embedding(t.tensor([[0, 2], [1, 0]]), w),
        ((3, 4),),
    ),
    "embedding-padding": (
        lambda t, w: t.nn.functional.embedding(t.tensor([[0, 2], [1, 0]]), w, padding_idx=0),
        ((3, 4),),
    ),
    "normalize": (lambda t, x: t.nn.functional.normalize(x), ((3, 4),)),
    "cosine_similarity": (
        lambda t, x, y: t.nn.functional.cosine_similarity(x, y),
        ((3, 4), (3, 4)),
    ),
    "layer_norm": (
        lambda t, x, w, b: t.nn.functional.layer_norm(x, (3, 4), w, b),
        ((2, 3, 4), (3, 4), (3, 4)),
    ),
    "rms_norm": (lambda t, x, w: t.nn.functional.rms_norm(x, (4,), w), ((3, 4), (4,))),
    "group_norm": (
        lambda t, x, w, b: t.nn.functional.group_norm(x, 2, w, b),
        ((2, 4, 3), (4,), (4,)),
    ),
    "batch_norm-train": (_batch_norm(True), ((4, 3), (3,), (3,))),
    "batch_norm-train-3d": (_batch_norm(True), ((2, 3, 4), (3,), (3,))),
    "batch_norm-eval": (_batch_norm(False), ((4, 3), (3,), (3,))),
    **_modes("l1_loss"),
    **_modes("mse_loss"),
    **_modes("smooth_l1_loss"),
    **_modes("huber_loss"),
    "smooth_l1_loss-beta": (
        lambda t, x, y: t.nn.functional.smooth_l1_loss(x, y, beta=0.4),
        ((4, 3), (4, 3)),
    ),
    "huber_loss-delta": (
        lambda t, x, y: t.nn.functional.huber_loss(x, y, delta=0.4),
        ((4, 3), (4, 3)),
    ),
    "cross_entropy": (_cross_entropy(), ((4, 3),)),
    "cross_entropy-all-count": (
        _cross_entropy(target=lambda t: t.tensor([0, 2, 1, 1])),
        ((4, 3),),
    ),
    "cross_entropy-sum": (_cross_entropy(reduction="sum"), ((4, 3),)),
    "cross_entropy-none": (_cross_entropy(reduction="none"), ((4, 3),)),
    "cross_entropy-weight": (_cross_entropy(weight=_weights), ((4, 3),)),
    "cross_entropy-smooth": (_cross_entropy(label_smoothing=0.2), ((4, 3),)),
    "cross_entropy-smooth-weight": (
        _cross_entropy(label_smoothing=0.2, weight=_weights),
        ((4, 3),),
    ),
    "cross_entropy-smooth-none": (
        _cross_entropy(label_smoothing=0.2, weight=_weights, reduction="none"),
        ((4, 3),),
    ),
    "cross_entropy-images": (
        _cross_entropy(target=_images, weight=_weights, ignore_index=2, label_smoothing=0.1),
        ((4, 3, 2),),
    ),
    "cross_entropy-one-sample": (_cross_entropy(target=lambda t: t.tensor(2)), ((3,),)),
    "cross_entropy-probabilities": (
        _cross_entropy(target=_probabilities, weight=_weights, label_smoothing=0.1),
        ((4, 3),),
    ),
    "nll_loss": (lambda t, x: t.nn.functional.nll_loss(x, _classes(t), _weights(t)), ((4, 3),)),
    "kl_div-batchmean": (
        lambda t, x: t.nn.functional.kl_div(
            x.log_softmax(1), _probabilities(t), reduction="batchmean"
        ),
        ((4, 3),),
    ),
    "kl_div-zeros": (
        lambda t, x: t.nn.functional.kl_div(
            x.log_softmax(1), t.eye(4)[:, :3], reduction="sum"
        ),
        ((4, 3),),
    ),
    "kl_div-log-target": (
        lambda t, x: t.nn.functional.kl_div(
            x.log_softmax(1), _probabilities(t).log(), reduction="none", log_target=True
        ),
        ((4, 3),),
    ),
    "binary_cross_entropy": (
        lambda t, x: t.nn.functional.binary_cross_entropy(x.sigmoid(), unit(t, 4, 3)),
        ((4, 3),),
    ),
    "binary_cross_entropy-certain": (
        lambda t, x: t.nn.functional.binary_cross_entropy(
            (x > 0).float() + 0 * x, unit(t, 4, 3), reduction="none"
        ).detach() + 0 * x,
        ((4, 3),),
    ),
    "binary_cross_entropy_with_logits": (
        lambda t, x: t.nn.functional.binary_cross_entropy_with_logits(
            x, unit(t, 4, 3), weight=_weights(t), pos_weight=_weights(t) * 1.5
        ),
        ((4, 3),),
    ),
    "binary_cross_entropy_with_logits-at-zero": (
        lambda t, x: t.nn.functional.binary_cross_entropy_with_logits(
            x * 0, unit(t, 4, 3), reduction="sum"
        ),
        ((4, 3),),
    ),
    "binary_cross_entropy_with_logits-far": (
        lambda t, x: t.nn.functional.binary_cross_entropy_with_logits(
            x * 100, unit(t, 4, 3), reduction="none"
        ),
        ((4, 3),),
    ),
}  # fmt: skip


def computed(torch: Any, name: str) -> list[list[float]]:
    """Return the flat output of a case, then the gradients of its inputs."""
    function, shapes = CASES[name]
    inputs = [
        wave(torch, *shape, shift=float(k)).requires_grad_() for k, shape in enumerate(shapes)
    ]
    output = function(torch, *inputs)
    (output * wave(torch, *output.shape, shift=3.0)).sum().backward()
    return [
        [float(v) for v in t.detach().reshape(-1).tolist()]
        for t in (output, *[x.grad for x in inputs])
    ]


def _write() -> None:
    import torch

    warnings.simplefilter("ignore")
    golden = {name: computed(torch, name) for name in CASES}
    rounded = {k: [[float(f"{x:.7g}") for x in part] for part in v] for k, v in golden.items()}
    lines = ",\n".join(f'"{name}": {json.dumps(parts)}' for name, parts in rounded.items())
    GOLDEN.write_text(f"{{\n{lines}\n}}\n")


if __name__ == "__main__":
    _write()
