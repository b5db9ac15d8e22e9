"""A Legendre polynomial as an autograd Function of our own."""

import math

import elastic.tensor as torch

torch.manual_seed(0)
x = torch.linspace(-math.pi, math.pi, 2000)
y = torch.sin(x)


class Legendre3(torch.autograd.Function):
    """The third Legendre polynomial, (5 x^3 - 3 x) / 2."""

    @staticmethod
    def forward(ctx, x):
        """Keep the input for backward."""
        ctx.save_for_backward(x)
        return 0.5 * (5 * x**3 - 3 * x)

    @staticmethod
    def backward(ctx, grad):
        """The chain rule with (15 x^2 - 3) / 2."""
        (x,) = ctx.saved_tensors
        return grad * 1.5 * (5 * x**2 - 1)


a, b, c, d = (torch.full((), start, requires_grad=True) for start in (0.0, -1.0, 0.0, 0.3))

for step in range(2000):
    loss = (a + b * Legendre3.apply(c + d * x) - y).pow(2).sum()
    if step % 400 == 399:
        print(step, loss.item())
    loss.backward()
    with torch.no_grad():
        for w in (a, b, c, d):
            w -= 5e-6 * w.grad
            w.grad = None
print(f"y = {a.item():.4f} + {b.item():.4f} P3({c.item():.4f} + {d.item():.4f} x)")
