"""The same network with an optimizer: Adam."""

import elastic.tensor as torch

torch.manual_seed(0)
x, y = torch.randn(64, 1000), torch.randn(64, 10)

model = torch.nn.Sequential(torch.nn.Linear(1000, 100), torch.nn.ReLU(), torch.nn.Linear(100, 10))
criterion = torch.nn.MSELoss(reduction="sum")
optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)

for step in range(500):
    loss = criterion(model(x), y)
    if step % 100 == 99:
        print(step, loss.item())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
