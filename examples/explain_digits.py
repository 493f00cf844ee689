"""Train a small model on images of digits, ask why it sees a 3 rather than a 5, and check the answer."""

import numpy as np

import pellucid as pl
from pellucid.training import train_default

train, test = pl.data.load("digits", seed=0)
model = pl.wrap(train_default(train, seed=0))
threes = test.take(np.flatnonzero(test.y == 3)[:16])

why = pl.explain(model, threes, pl.IntegratedGradients(tolerance=0.02), target=pl.Margin(3, 5), seed=0)
print(f"{len(why)} images, {int(why.evaluations.sum())} gradients; error of a map at most {why.error.max():.1%}")
print("how much each pixel speaks for a 3 rather than a 5, first image (percent of the largest):")
image = why.values[0, :, :, 0]
for row in np.round(100 * image / np.abs(image).max()).astype(int):
    print(" ".join(f"{value:5d}" for value in row))

for check in pl.verify(model, why, [pl.Deletion(), pl.Insertion()], seed=0):
    print(check)
