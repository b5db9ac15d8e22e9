"""The same network from layers, its parameters updated by hand."""

import elastic.tensor as torch

torch.manual_seed(0)
x, y = torch.randn(64, 1000), torch.randn(64, 10)

model = torch.nn.Sequential(torch.nn.Linear(1000, 100), torch.nn.ReLU(), torch.nn.Linear(100, 10))
criterion = torch.nn.MSELoss(reduction="sum")

for step in range(500):
    loss = criterion(model(x), y)
    if step % 100 == 99:
        print(step, loss.item())
    model.zero_grad()
    loss.backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter -= 1e-4 * parameter.grad
