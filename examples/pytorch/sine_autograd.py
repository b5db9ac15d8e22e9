"""A cubic fitted to the sine with gradients from autograd."""

import math

import elastic.tensor as torch

torch.manual_seed(0)
x = torch.linspace(-math.pi, math.pi, 2000)
y = torch.sin(x)

weights = [torch.randn((), requires_grad=True) for _ in range(4)]

for step in range(2000):
    predicted = sum(w * x**k for k, w in enumerate(weights))
    loss = (predicted - y).pow(2).sum()
    if step % 400 == 399:
        print(step, loss.item())
    loss.backward()
    with torch.no_grad():
        for w in weights:
            w -= 1e-6 * w.grad
            w.grad = None
print("y = " + " + ".join(f"{w.item():.4f} x^{k}" for k, w in enumerate(weights)))
