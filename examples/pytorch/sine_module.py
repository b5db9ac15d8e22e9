"""A cubic as a Module of our own."""

import math

import elastic.tensor as torch

torch.manual_seed(0)
x = torch.linspace(-math.pi, math.pi, 2000)
y = torch.sin(x)


class Cubic(torch.nn.Module):
    """a + b x + c x^2 + d x^3."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c, self.d = (torch.nn.Parameter(torch.randn(())) for _ in range(4))

    def forward(self, x):
        """Return the value at x."""
        return self.a + self.b * x + self.c * x**2 + self.d * x**3


model = Cubic()
criterion = torch.nn.MSELoss(reduction="sum")
optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)

for step in range(2000):
    loss = criterion(model(x), y)
    if step % 400 == 399:
        print(step, loss.item())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(*(f"{name} {parameter.item():.4f}" for name, parameter in model.named_parameters()))
