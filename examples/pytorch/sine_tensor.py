"""A cubic fitted to the sine on tensors, with gradients by hand."""

import math

import elastic.tensor as torch

torch.manual_seed(0)
x = torch.linspace(-math.pi, math.pi, 2000)
y = torch.sin(x)

a, b, c, d = (torch.randn(()) for _ in range(4))

for step in range(2000):
    error = a + b * x + c * x**2 + d * x**3 - y
    if step % 400 == 399:
        print(step, error.pow(2).sum().item())
    grad = 2.0 * error
    a -= 1e-6 * grad.sum()
    b -= 1e-6 * (grad * x).sum()
    c -= 1e-6 * (grad * x**2).sum()
    d -= 1e-6 * (grad * x**3).sum()
print(f"y = {a.item():.4f} + {b.item():.4f} x + {c.item():.4f} x^2 + {d.item():.4f} x^3")
