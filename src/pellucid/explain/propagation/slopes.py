"""Values whose way back is another than their own: what every modified backward pass is made of."""

from __future__ import annotations

from collections.abc import Callable

from pellucid.shapes import Tensor


def backward(value: Tensor, x: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """A value (...) whose gradient by x (...), and by nothing else, is a change of the gradient by the value."""
    from keras import ops

    value = ops.stop_gradient(value)

    def forward(x: Tensor) -> tuple[Tensor, Callable[..., Tensor]]:
        def back(*args: Tensor, upstream: Tensor = None) -> Tensor:  # torch names it, the others do not
            return change(args[-1] if upstream is None else upstream)

        return value * 1, back

    return ops.custom_gradient(forward)(x)


def sloped(value: Tensor, x: Tensor, slope: Tensor) -> Tensor:
    """A value (...) whose derivative by x (...), entry by entry, is a slope (...)."""
    from keras import ops

    slope = ops.stop_gradient(slope)
    return backward(value, x, lambda upstream: upstream * slope)
