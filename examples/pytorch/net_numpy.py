"""A two-layer network in plain numpy: forward, backward and update by hand."""

import numpy as np

chance = np.random.RandomState(0)
x, y = chance.randn(64, 1000), chance.randn(64, 10)
w1, w2 = chance.randn(1000, 100), chance.randn(100, 10)

for step in range(500):
    hidden = np.maximum(x @ w1, 0)
    error = hidden @ w2 - y
    if step % 100 == 99:
        print(step, np.square(error).sum())
    back = 2 * error @ w2.T * (hidden > 0)
    w2 -= 1e-6 * hidden.T @ (2 * error)
    w1 -= 1e-6 * x.T @ back
