"""Training curves: 50 steps of each model from one seed on both libraries, loss by loss."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

import elastic.tensor as ours
from tests.conformance.verdict import Verdict

STEPS = 50
FIRST, LAST = 1e-4, 1e-3
"""How far the losses may be apart, relative, at first and at the end: rounding grows."""


def mlp(t: Any) -> tuple:
    """Three linear layers with batch norm and dropout."""
    nn = t.nn
    model = nn.Sequential(
        *(nn.Linear(20, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.2)),
        *(nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 5)),
    )
    optimizer = t.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True)
    return model, optimizer, t.randn(32, 20), t.randint(0, 5, (32,))


def cnn(t: Any) -> tuple:
    """Two convolutions, batch norm, pooling, a linear head."""
    nn = t.nn
    model = nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 16, 3, stride=2), nn.LeakyReLU(), nn.AdaptiveAvgPool2d(2)),
        *(nn.Flatten(), nn.Linear(64, 5)),
    )
    optimizer = t.optim.Adam(model.parameters(), lr=1e-3)
    return model, optimizer, t.randn(16, 3, 16, 16), t.randint(0, 5, (16,))


def lstm(t: Any) -> tuple:
    """Two layers of LSTM, the last state classified."""
    nn = t.nn

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(30, 16)
            self.lstm = nn.LSTM(16, 24, num_layers=2, batch_first=True)
            self.head = nn.Linear(24, 5)

        def forward(self, x: Any) -> Any:
            return self.head(self.lstm(self.words(x))[0][:, -1])

    model = Model()
    optimizer = t.optim.RMSprop(model.parameters(), lr=1e-3)
    return model, optimizer, t.randint(0, 30, (16, 12)), t.randint(0, 5, (16,))


def transformer(t: Any) -> tuple:
    """An encoder of two layers with learned positions, the mean classified."""
    nn = t.nn

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.places = nn.Embedding(30, 32), nn.Embedding(12, 32)
            layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.1, batch_first=True)
            self.encoder = nn.TransformerEncoder(layer, 2)
            self.head = nn.Linear(32, 5)

        def forward(self, x: Any) -> Any:
            hidden = self.words(x) + self.places(t.arange(x.shape[1]))
            return self.head(self.encoder(hidden).mean(1))

    model = Model()
    optimizer = t.optim.AdamW(model.parameters(), lr=1e-3)
    return model, optimizer, t.randint(0, 30, (16, 12)), t.randint(0, 5, (16,))


CURVES: dict[str, Callable] = {each.__name__: each for each in (mlp, cnn, lstm, transformer)}


def names() -> list[str]:
    """The models."""
    return list(CURVES)


def examine(name: str) -> Verdict:
    """Train one model on both libraries and compare the losses of every step."""
    verdict = Verdict(name)
    verdict.note(name, partial(train_both, CURVES[name]))
    return verdict


def train_both(make: Callable) -> None:
    """Raises: AssertionError when the losses of the libraries part."""
    compare(losses(ours, make), losses(torch, make))


def losses(t: Any, make: Callable) -> list[float]:
    """The loss of each step."""
    t.manual_seed(5)
    model, optimizer, x, y = make(t)
    schedule = t.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    found = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = t.nn.functional.cross_entropy(model(x), y, label_smoothing=0.1)
        loss.backward()
        t.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        found.append(loss.item())
    return found


def compare(mine: list[float], theirs: list[float]) -> None:
    """Raises: AssertionError when a loss is too far away, or nothing was learned."""
    assert theirs[-1] < 0.9 * theirs[0], f"nothing was learned: {theirs[0]} to {theirs[-1]}"
    for step, (a, b) in enumerate(zip(mine, theirs, strict=True)):
        allowed = FIRST + (LAST - FIRST) * step / (STEPS - 1)
        assert abs(a - b) <= allowed * abs(b), f"step {step}: {a}, not {b}"
