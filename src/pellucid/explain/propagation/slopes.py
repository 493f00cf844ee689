"""Values whose way back is another than their own: what every modified backward pass is made of."""

from __future__ import annotations

from collections.abc import Callable

from pellucid.shapes import Tensor


def backward(value: Tensor, x: Tensor, change: Callable[..., Tensor], *known: Tensor) -> Tensor:
    """A value (...) whose gradient by x (...), and by nothing else, is a change of the gradient by the value.

    The change is given that gradient and what has to be `known` for it: all else would leak out of a loop that is traced.
    """
    from keras import ops

    still = ops.stop_gradient

    def forward(x: Tensor, value: Tensor, *known: Tensor) -> tuple[Tensor, Callable[..., tuple[Tensor, ...]]]:
        def back(*args: Tensor, upstream: Tensor = None) -> tuple[Tensor, ...]:  # torch names it, the others do not
            given = args[-1] if upstream is None else upstream
            return change(given, *known), *(ops.zeros_like(t) for t in (value, *known))

        return value * 1, back

    return ops.custom_gradient(forward)(x, still(value), *map(still, known))


def sloped(value: Tensor, x: Tensor, slope: Tensor) -> Tensor:
    """A value (...) whose derivative by x (...), entry by entry, is a slope (...)."""
    return backward(value, x, lambda upstream, slope: upstream * slope, slope)
