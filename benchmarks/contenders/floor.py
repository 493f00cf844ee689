"""The floor: nothing but compiled TensorFlow passes of the model, at the chunk size that is fastest."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from benchmarks.cases import Prepared


class Floor:
    """`rows` passes over the same chunk again and again; results are thrown away."""

    def __init__(self, case: Prepared) -> None:
        embed, self.net = case.halves(case.model())
        self.case, self.starts = case, np.asarray(embed(case.x))
        self.parts: dict[int, tuple[tf.Tensor, tf.Tensor]] = {}
        self._gradient = tf.function(self._slope, reduce_retracing=True)
        self._forward = tf.function(lambda x, k: tf.gather(self.net(x, training=False), k, axis=1, batch_dims=1))

    def _slope(self, x: tf.Tensor, column: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            score = tf.gather(self.net(x, training=False), column, axis=1, batch_dims=1)
        return tape.gradient(score, x)

    def gradients(self, count: int, rows: int, chunk: int) -> tf.Tensor:
        """`rows` input gradients."""
        return self._passes(self._gradient, rows, chunk)

    def forwards(self, count: int, rows: int, chunk: int) -> tf.Tensor:
        """`rows` outputs."""
        return self._passes(self._forward, rows, chunk)

    def _passes(self, step: tf.types.experimental.PolymorphicFunction, rows: int, chunk: int) -> tf.Tensor:
        full, rest = divmod(rows, chunk)
        for size in [chunk] * full + [rest] * (rest > 0):
            found = step(*self._part(size))
        return found

    def _part(self, size: int) -> tuple[tf.Tensor, tf.Tensor]:
        if size not in self.parts:
            index = np.arange(size) % len(self.starts)
            self.parts[size] = tf.constant(self.starts[index]), tf.constant(self.case.target[index])
        return self.parts[size]

    def array(self, found: tf.Tensor) -> np.ndarray:
        """What the last chunk gave."""
        return found.numpy()
