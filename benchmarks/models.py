"""The same jobs on any library with PyTorch's interface: each gives a step to be timed.

A job is `job(torch, best) -> step`, where `torch` is PyTorch or elastic.tensor and `best` asks for
PyTorch's best settings (fused optimizers, channels last); ours ignores what it has not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Step = Callable[[], Any]


def chain(torch: Any, best: bool) -> Step:
    """100 multiplications of 16 numbers, forward and backward: nothing but overhead."""
    x = torch.ones(16).requires_grad_()
    y = torch.full((16,), 1.001)

    def step() -> None:
        z = x
        for _ in range(100):
            z = z * y
        z.sum().backward()
        x.grad = None

    return step


def elementwise(torch: Any, best: bool) -> Step:
    """A chain of ten functions of 1 M numbers, forward and backward."""
    x = torch.randn(1_000_000).requires_grad_()

    def step() -> None:
        y = ((x * 2 + 1).sigmoid() * x).tanh()
        y = (y.exp() + 1).log() * (y - x)
        y.relu().mean().backward()
        x.grad = None

    return step


def trained(torch: Any, model: Any, batch: tuple, loss: Callable, optimizer: Any) -> Step:
    """One step of training on one batch."""
    *inputs, target = batch

    def step() -> None:
        optimizer.zero_grad()
        loss(model(*inputs), target).backward()
        optimizer.step()

    return step


def sgd(torch: Any, model: Any, best: bool) -> Any:
    """SGD with momentum."""
    fused = {"fused": True} if best else {}
    return torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, **fused)


def adam(torch: Any, model: Any, best: bool) -> Any:
    """Adam."""
    fused = {"fused": True} if best else {}
    return torch.optim.Adam(model.parameters(), lr=1e-3, **fused)


def mlp(torch: Any, best: bool) -> Step:
    """784-256-256-10, batch 64: training with Adam."""
    nn = torch.nn
    sizes = [(784, 256), (256, 256), (256, 10)]
    layers = [layer for a, b in sizes for layer in (nn.Linear(a, b), nn.ReLU())][:-1]
    model = nn.Sequential(*layers)
    batch = torch.randn(64, 784), torch.randint(0, 10, (64,))
    return trained(torch, model, batch, nn.functional.cross_entropy, adam(torch, model, best))


def images(torch: Any, model: Any, batch: tuple, best: bool) -> tuple:
    """Model and batch in the layout that PyTorch's convolutions like best."""
    if not best:
        return model, batch
    layout = {"memory_format": torch.channels_last}
    return model.to(**layout), (batch[0].to(**layout), *batch[1:])


def cnn(torch: Any, best: bool) -> Step:
    """Two convolutions and two linear layers on 32 images of 1x28x28: training with SGD."""
    nn = torch.nn
    model = nn.Sequential(
        *(nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(64 * 49, 128), nn.ReLU(), nn.Linear(128, 10)),
    )
    batch = torch.randn(32, 1, 28, 28), torch.randint(0, 10, (32,))
    model, batch = images(torch, model, batch, best)
    return trained(torch, model, batch, nn.functional.cross_entropy, sgd(torch, model, best))


def block_class(torch: Any) -> type:
    """The residual block of ResNet-18."""
    nn = torch.nn

    class Block(nn.Module):
        def __init__(self, inputs: int, outputs: int, stride: int):
            super().__init__()
            self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(outputs)
            self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(outputs)
            self.shortcut = nn.Sequential()
            if stride != 1 or inputs != outputs:
                conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
                self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(outputs))

        def forward(self, x: Any) -> Any:
            y = self.bn1(self.conv1(x)).relu()
            return (self.bn2(self.conv2(y)) + self.shortcut(x)).relu()

    return Block


def resnet18(torch: Any, best: bool) -> Step:
    """ResNet-18 on 32 images of 3x32x32 (He et al., 2016): training with SGD."""
    nn, block = torch.nn, block_class(torch)
    layers = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    widths = [64, 64, 128, 256, 512]
    for k in range(4):
        layers += [block(widths[k], widths[k + 1], 1 if k == 0 else 2)]
        layers += [block(widths[k + 1], widths[k + 1], 1)]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))
    batch = torch.randn(32, 3, 32, 32), torch.randint(0, 10, (32,))
    model, batch = images(torch, model, batch, best)
    return trained(torch, model, batch, nn.functional.cross_entropy, sgd(torch, model, best))


def lstm(torch: Any, best: bool) -> Step:
    """Two layers of LSTM with 128 units on 32 sequences of 64 steps: training with Adam."""
    nn = torch.nn

    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(64, 128, num_layers=2, batch_first=True)
            self.head = nn.Linear(128, 10)

        def forward(self, x: Any) -> Any:
            return self.head(self.lstm(x)[0][:, -1])

    model = Tagger()
    batch = torch.randn(32, 64, 64), torch.randint(0, 10, (32,))
    return trained(torch, model, batch, nn.functional.cross_entropy, adam(torch, model, best))


def gpt_class(torch: Any) -> type:
    """A small decoder-only transformer."""
    nn, F = torch.nn, torch.nn.functional

    class Layer(nn.Module):
        def __init__(self, width: int, heads: int):
            super().__init__()
            self.heads = heads
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def forward(self, x: Any) -> Any:
            b, t, width = x.shape
            parts = self.qkv(self.norm1(x)).chunk(3, dim=-1)
            q, k, v = (p.view(b, t, self.heads, -1).transpose(1, 2) for p in parts)
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(mixed.transpose(1, 2).reshape(b, t, width))
            return x + self.down(F.gelu(self.up(self.norm2(x))))

    class GPT(nn.Module):
        def __init__(self, words: int, length: int, width: int, heads: int, depth: int):
            super().__init__()
            self.words, self.places = nn.Embedding(words, width), nn.Embedding(length, width)
            self.layers = nn.Sequential(*[Layer(width, heads) for _ in range(depth)])
            self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, words, bias=False)

        def forward(self, tokens: Any) -> Any:
            x = self.words(tokens) + self.places(torch.arange(tokens.shape[1]))
            return self.head(self.norm(self.layers(x))).flatten(0, 1)

    return GPT


def gpt(torch: Any, best: bool) -> Step:
    """Four layers of width 128 on 8 texts of 128 tokens: training with AdamW."""
    model = gpt_class(torch)(256, 128, 128, 4, 4)
    batch = torch.randint(0, 256, (8, 128)), torch.randint(0, 256, (8 * 128,))
    fused = {"fused": True} if best else {}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, **fused)
    return trained(torch, model, batch, torch.nn.functional.cross_entropy, optimizer)


def stepped(torch: Any, make: Callable, best: bool) -> Step:
    """Steps of an optimizer on 11 M parameters in 62 tensors, the sizes of ResNet-18."""
    sizes = [64 * 64 * 9] * 4 + [128 * 128 * 9] * 4 + [256 * 256 * 9] * 4 + [512 * 512 * 9] * 3
    sizes += [512] * 47
    model = torch.nn.ParameterList([torch.randn(size) for size in sizes])
    for parameter in model:
        parameter.grad = torch.randn(parameter.shape[0])
    return make(torch, model, best).step


def optim_sgd(torch: Any, best: bool) -> Step:
    """SGD with momentum: one step on 11 M parameters."""
    return stepped(torch, sgd, best)


def optim_adam(torch: Any, best: bool) -> Step:
    """Adam: one step on 11 M parameters."""
    return stepped(torch, adam, best)


JOBS: dict[str, Callable[[Any, bool], Step]] = {
    each.__name__: each
    for each in (chain, elementwise, mlp, cnn, resnet18, lstm, gpt, optim_sgd, optim_adam)
}
