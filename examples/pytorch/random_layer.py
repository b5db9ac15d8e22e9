"""One of two layers is used at random: only the one that was used gets a gradient."""

import random

import elastic.tensor as torch

random.seed(1)
torch.manual_seed(1)


class Either(torch.nn.Module):
    """Two linear layers, of which each call picks one."""

    def __init__(self):
        super().__init__()
        self.left, self.right = torch.nn.Linear(4, 1), torch.nn.Linear(4, 1)

    def forward(self, x):
        """Return what the picked layer gives."""
        return self.left(x) if random.random() < 0.5 else self.right(x)


net = Either()
data = torch.rand(32, 4)
sum(net(data)).backward()
print(
    "after one step, without a gradient:", [n for n, p in net.named_parameters() if p.grad is None]
)
for _ in range(10):
    net.zero_grad()
    loss = sum(net(data))
    loss.backward()
    used = [name for name, p in net.named_parameters() if p.grad is not None]
    print(f"{loss.item():.4f}", *used)
