"""A cubic fitted to the sine with an optimizer: RMSprop."""

import math

import elastic.tensor as torch

torch.manual_seed(0)
x = torch.linspace(-math.pi, math.pi, 2000)
y = torch.sin(x)
powers = x.unsqueeze(-1).pow(torch.tensor([1, 2, 3]))
model = torch.nn.Sequential(torch.nn.Linear(3, 1), torch.nn.Flatten(0, 1))
criterion = torch.nn.MSELoss(reduction="sum")
optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3)

for step in range(1200):
    loss = criterion(model(powers), y)
    if step % 400 == 399:
        print(step, loss.item())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
