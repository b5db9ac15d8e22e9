"""The same network as a Module of our own."""

import elastic.tensor as torch

torch.manual_seed(0)
x, y = torch.randn(64, 1000), torch.randn(64, 10)


class TwoLayers(torch.nn.Module):
    """Linear, ReLU, Linear."""

    def __init__(self, inputs, hidden, outputs):
        super().__init__()
        self.first = torch.nn.Linear(inputs, hidden)
        self.second = torch.nn.Linear(hidden, outputs)

    def forward(self, x):
        """Return the outputs."""
        return self.second(self.first(x).clamp(min=0))


model = TwoLayers(1000, 100, 10)
criterion = torch.nn.MSELoss(reduction="sum")
optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)

for step in range(500):
    loss = criterion(model(x), y)
    if step % 100 == 99:
        print(step, loss.item())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
