"""A cubic fitted to the sine in plain numpy."""

import numpy as np

chance = np.random.RandomState(0)
x = np.linspace(-np.pi, np.pi, 2000)
y = np.sin(x)
powers = np.stack([x**k for k in range(4)])
weights = chance.randn(4)

for step in range(2000):
    error = weights @ powers - y
    if step % 400 == 399:
        print(step, np.square(error).sum())
    weights -= 1e-6 * 2 * powers @ error
print("y = " + " + ".join(f"{w:.6f} x^{k}" for k, w in enumerate(weights)))
