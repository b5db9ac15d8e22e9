"""A polynomial whose highest powers come and go: one weight shared by both."""

import math
import random

import elastic.tensor as torch

random.seed(0)
torch.manual_seed(0)
x = torch.linspace(-math.pi, math.pi, 2000)
y = torch.sin(x)


class Dynamic(torch.nn.Module):
    """A cubic, to which the fourth and fifth powers are added at random with one weight."""

    def __init__(self):
        super().__init__()
        self.weights = torch.nn.ParameterList([torch.randn(()) for _ in range(5)])

    def forward(self, x):
        """Return the value at x."""
        y = sum(w * x**k for k, w in enumerate(self.weights[:4]))
        for power in range(4, random.randint(4, 6)):
            y = y + self.weights[4] * x**power
        return y


model = Dynamic()
criterion = torch.nn.MSELoss(reduction="sum")
optimizer = torch.optim.SGD(model.parameters(), lr=1e-8, momentum=0.9)

for step in range(2000):
    loss = criterion(model(x), y)
    if step % 400 == 399:
        print(step, loss.item())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(*(f"{w.item():.4f}" for w in model.weights))
