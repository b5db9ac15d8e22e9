"""Two networks that play against each other, two optimizers: steps of two phases on one batch.

    python examples/gan.py                                         a world of one
    elastic-run --standalone --nproc-per-node 4 examples/gan.py    four workers, own etcd

An argument gives the number of epochs (30). Kill a worker at any point, between the two phases too:
the digits that are drawn at the end are the same bits.
"""

import sys

from sklearn.datasets import load_digits

import elastic
import elastic.tensor as torch
import elastic.tensor.nn.functional as F
from elastic.data import DataLoader, TensorDataset
from elastic.tensor import nn, optim

EPOCHS = int(sys.argv[1]) if sys.argv[1:] else 30
NOISE = 16

x, _ = load_digits(return_X_y=True)
x = torch.from_numpy(x.astype("float32") / 8 - 1)

torch.manual_seed(0)
generator = nn.Sequential(
    nn.Linear(NOISE, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Linear(128, 64), nn.Tanh()
)
critic = nn.Sequential(nn.Linear(64, 128), nn.LeakyReLU(0.2), nn.Dropout(0.3), nn.Linear(128, 1))
loader = DataLoader(TensorDataset(x), batch_size=64, micro_batches=8, shuffle=True, seed=0)
state = elastic.State(
    generator=generator,
    critic=critic,
    opt_generator=optim.Adam(generator.parameters(), lr=1e-3, betas=(0.5, 0.999)),
    opt_critic=optim.Adam(critic.parameters(), lr=1e-3, betas=(0.5, 0.999)),
    loader=loader,
)


def fake(state, n):
    return state.generator(torch.randn(n, NOISE))


def step_critic(state, batch):  # the first phase: tell real digits from drawn ones
    (real,) = batch
    on_real = F.softplus(-state.critic(real)).mean()
    on_fake = F.softplus(state.critic(fake(state, len(real)).detach())).mean()
    return {"loss": on_real + on_fake, "metrics": {"critic": on_real + on_fake}}


def update_critic(state):
    state.opt_critic.step()


def step_generator(state, batch):  # the second, on the same batch: pass for real
    loss = F.softplus(-state.critic(fake(state, len(batch[0])))).mean()
    return {"loss": loss, "metrics": {"generator": loss}}


def update_generator(state):
    state.opt_generator.step()


def on_epoch(state, world):
    if world.rank == 0 and state.epoch % 5 == 0:
        metrics = state.metrics
        print(
            f"epoch {state.epoch}: critic {metrics['critic']:.3f}, "
            f"generator {metrics['generator']:.3f}"
        )


def draw(digits):
    for row in range(8):
        print("  ".join("".join(" .:*#"[int(v * 2.49 + 2.5)] for v in d[row]) for d in digits))


phases = [(step_critic, update_critic), (step_generator, update_generator)]
result = elastic.train(state, phases, on_epoch=on_epoch, epochs=EPOCHS)
if result.world.rank == 0:
    torch.manual_seed(1)
    generator.eval()
    with torch.no_grad():
        draw(fake(state, 8).reshape(8, 8, 8).tolist())
    print(f"{result.steps} steps, {result.digest}")
