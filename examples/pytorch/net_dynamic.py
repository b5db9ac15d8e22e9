"""A graph that differs from step to step: a middle layer used none to three times."""

import random

import elastic.tensor as torch

random.seed(0)
torch.manual_seed(0)
x, y = torch.randn(64, 1000), torch.randn(64, 10)


class Dynamic(torch.nn.Module):
    """An input layer, a middle layer shared by 0 to 3 uses, an output layer."""

    def __init__(self, inputs, hidden, outputs):
        super().__init__()
        self.first = torch.nn.Linear(inputs, hidden)
        self.middle = torch.nn.Linear(hidden, hidden)
        self.last = torch.nn.Linear(hidden, outputs)

    def forward(self, x):
        """Return the outputs; Python decides how deep the network is."""
        hidden = self.first(x).clamp(min=0)
        for _ in range(random.randint(0, 3)):
            hidden = self.middle(hidden).clamp(min=0)
        return self.last(hidden)


model = Dynamic(1000, 100, 10)
criterion = torch.nn.MSELoss(reduction="sum")
optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)

for step in range(500):
    loss = criterion(model(x), y)
    if step % 100 == 99:
        print(step, loss.item())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
