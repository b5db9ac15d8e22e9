"""The same network on tensors, with the gradients still written by hand."""

import elastic.tensor as torch

torch.manual_seed(0)
x, y = torch.randn(64, 1000), torch.randn(64, 10)

w1, w2 = torch.randn(1000, 100), torch.randn(100, 10)

for step in range(500):
    before = x.mm(w1)
    hidden = before.clamp(min=0)
    predicted = hidden.mm(w2)
    if step % 100 == 99:
        print(step, (predicted - y).pow(2).sum().item())
    grad_predicted = 2.0 * (predicted - y)
    grad_w2 = hidden.t().mm(grad_predicted)
    grad_before = grad_predicted.mm(w2.t()).clone()
    grad_before[before < 0] = 0
    w1 -= 1e-6 * x.t().mm(grad_before)
    w2 -= 1e-6 * grad_w2
