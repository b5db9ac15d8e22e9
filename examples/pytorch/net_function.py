"""An autograd Function of our own: ReLU with its backward."""

import elastic.tensor as torch

torch.manual_seed(0)
x, y = torch.randn(64, 1000), torch.randn(64, 10)

w1 = torch.randn(1000, 100, requires_grad=True)
w2 = torch.randn(100, 10, requires_grad=True)


class Rectifier(torch.autograd.Function):
    """max(x, 0)."""

    @staticmethod
    def forward(ctx, x):
        """Keep the input for backward."""
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, grad):
        """Pass the gradient where the input was positive."""
        (x,) = ctx.saved_tensors
        grad = grad.clone()
        grad[x < 0] = 0
        return grad


for step in range(500):
    loss = (Rectifier.apply(x.mm(w1)).mm(w2) - y).pow(2).sum()
    if step % 100 == 99:
        print(step, loss.item())
    loss.backward()
    with torch.no_grad():
        for w in (w1, w2):
            w -= 1e-6 * w.grad
            w.grad = None
