"""What a backend owes: the few things `keras.ops` cannot do.

A *function* here is written in `keras.ops` and takes and gives tensors. It may be run many times or traced once, so it
must not have side effects. Shapes: B batch, `...` whatever the model takes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from pellucid.shapes import Array, Tensor


class Backend(Protocol):
    """The functions that `tensorflow.py`, `jax.py` and `torch.py` each define, with the same names."""

    name: str
    static_shapes: bool
    """Whether a new batch size means a new compilation, so that ragged ends should be padded."""

    def comfortable(self, usual: int) -> int:
        """How many bytes of activations a step should have to be fast here, where on most backends it is so many."""
        ...

    def compile(self, function: Callable[..., Any], variables: Sequence[Any]) -> Callable[..., Any]:
        """Compile `function`, which reads `variables`, into one that takes and gives NumPy arrays.

        The result follows later changes of the variables' values and is not retraced for another batch size where
        the framework allows it. `function` may give a tensor or a tuple of tensors. The arrays may be the framework's own
        memory, and refuse to be written to.
        """
        ...

    def observe(self, function: Callable[..., Any], variables: Sequence[Any]) -> Callable[..., Any]:
        """A function of NumPy arrays that gives what `function`, which reads `variables`, does: lists, tuples, anything.

        Tensors in it have values, those of this run; one that is there only inside a loop has its shape and no value. What is
        no tensor may be of the first run with such shapes.
        """
        ...

    def gradient(
        self, function: Callable[..., tuple[Tensor, Any]], inputs: Sequence[Tensor], *, again: bool = False
    ) -> tuple[Any, list[Tensor]]:
        """Differentiate a scalar by the inputs alone: `function(*inputs) -> (scalar, extra)` gives `(extra, grads)`.

        For use inside a function that is compiled. Parameter gradients are not computed. An input on which the scalar
        does not depend gets zeros. `again`: what it gives, and `extra`, are differentiated once more, by parameters.
        """
        ...

    def vector_jacobian(
        self, function: Callable[..., Tensor], inputs: Sequence[Tensor], cotangent: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """`(y, v^T J)` of `y = function(*inputs)`, for a cotangent `v` of the shape of `y`."""
        ...

    def jacobian_vector(
        self, function: Callable[..., Sequence[Tensor]], inputs: Sequence[Tensor], direction: Sequence[Tensor]
    ) -> list[Tensor]:
        """`J v` for each output of `function(*inputs)`, for a direction `v` of the shapes of the inputs.

        For use inside a function that is compiled; nothing is differentiated through it.
        """
        ...

    def reaches(self, function: Callable[..., Sequence[Tensor]], inputs: Sequence[Array]) -> list[list[bool]]:
        """Whether a gradient finds a way from each output of `function(*inputs)` (rows) to each input (columns).

        A way may carry a gradient of zero; an argmax or a cast to whole numbers is none.
        """
        ...

    def parameter_gradient(
        self, loss: Callable[..., Tensor], variables: Sequence[Any]
    ) -> Callable[[Sequence[Array]], tuple[float, list[Array]]]:
        """A compiled function of arrays: a scalar `loss(*arrays)` and its gradient by each variable, of that variable's shape."""
        ...

    def example_gradients(
        self, losses: Callable[..., Tensor], variables: Sequence[Any], arrays: Sequence[Array]
    ) -> list[Array]:
        """Gradients of each example's own loss: `losses(*arrays)` is (B,); each result is (B, *variable's shape)."""
        ...

    def hessian_vector(
        self, loss: Callable[..., Tensor], variables: Sequence[Any]
    ) -> Callable[[Sequence[Array], Sequence[Array]], list[Array]]:
        """A compiled function of (arrays, vector), vector one array a variable: the Hessian of `loss(*arrays)` times it."""
        ...

    def unfused(
        self, native: Any, change: Callable[[Tensor, Tensor], tuple[Tensor, Tensor] | None]
    ) -> AbstractContextManager[None]:
        """Until the block ends, attention that the framework computes in one piece is computed step by step.

        `change` is given its weights (B, H, Q, K) and values (B, H, K, D); gives None, or others to go on with. `native` is the
        model as the user made it. What Keras layers compute is not meant: they can be reached without the framework.
        """
        ...

    def assign(self, variables: Sequence[Any], arrays: Sequence[Array]) -> None:
        """Write new values into variables, in place."""
        ...

    def seed(self, seed: int) -> None:
        """Seed the framework's own generator."""
        ...

    def random_state(self) -> Any:
        """The framework's global random state, to be given back to `set_random_state`."""
        ...

    def set_random_state(self, state: Any) -> None:
        """Restore what `random_state` gave."""
        ...
