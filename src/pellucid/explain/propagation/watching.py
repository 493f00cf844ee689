"""Operations that a torch module writes in its `forward`, between its layers: treated as nodes of `keras.ops` are.

Each torch function that is called outside a layer of a known kind is looked at as it is called. What nothing is known
about is refused, once it makes something that depends on what is explained.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pellucid import _backend
from pellucid.core import layers
from pellucid.errors import UnsupportedLayer
from pellucid.explain.propagation.composites import Composite
from pellucid.explain.propagation.differences import OPERATION_DIFFERENCES, pairwise, spread_out
from pellucid.explain.propagation.multipliers import Differences
from pellucid.explain.propagation.rules import Epsilon, Rule
from pellucid.explain.propagation.treatments import OPERATIONS, Pass, Treatment, by_kernel, by_still_spread
from pellucid.explain.propagation.written import TWO, Written, asks, called, kind_of, refusal, tensors_in
from pellucid.shapes import Tensor

How = Callable[[Any, Written, layers.Call], layers.Call]
"""Puts a treatment in place of a function, for one call of it."""


@dataclass
class Watching:
    """What is done at the functions of a torch module.

    Attributes:
        module: The module.
        at_rest: Its layers of known kinds, which are treated as such.
        table: Treatments by kind; None: nothing has to be done.
        how: Puts a treatment in place of a function.
        paired: Whether examples and baselines run side by side, and what is chosen by their values has to be the same for both.
        strict: Whether what nothing is known about is refused, or has its own gradient.
        done: Whether what is still to come is left alone.
    """

    module: Any
    at_rest: Sequence[Any]
    table: Mapping[str, Any]
    how: How
    paired: bool = False
    strict: bool = True
    done: Callable[[], bool] = lambda: False
    derived: dict[int, Tensor] = field(default_factory=dict)

    def __call__(self, original: layers.Call) -> layers.Call:
        """The module's call, with its functions treated."""

        def call(*inputs: Any, **options: Any) -> Any:
            self.derived.clear()
            with _backend.watched(self.module, self.instead) as watch:

                def still(own: layers.Call) -> layers.Call:
                    def unwatched(*given: Any, **more: Any) -> Any:
                        with watch.resting():
                            self._refuse_custom(given)
                            return own(*given, **more)

                    return unwatched

                with layers.all_replaced((layer, still) for layer in self.at_rest):
                    out = original(*inputs, **options)
            self._refuse_custom((out,))
            return out

        return call

    def instead(self, name: str, function: layers.Call, args: Any, kwargs: Any) -> Any:
        """What is done in place of one call of a torch function."""
        if self.done():
            return function(*args, **kwargs)
        given = list(tensors_in((args, kwargs)))
        depends = any(t.requires_grad for t in given)
        chosen = [t for t in given if id(t) in self.derived]
        bare = name.strip("_")
        if depends and self.strict:
            self._refuse_custom(given)
            if self.paired and any(_differ(t) for t in chosen):
                raise UnsupportedLayer(
                    refusal(
                        f"operation {bare!r} (torch), told apart by what an example's values and its baseline's are"
                    )
                )
        out = self._treated(name, bare, function, args, kwargs) if depends else function(*args, **kwargs)
        if depends or chosen:  # what takes no gradient, but follows the values: a comparison, the place of a maximum
            self.derived.update((id(t), t) for t in tensors_in(out) if not t.requires_grad)
        return out

    def _treated(self, name: str, bare: str, function: layers.Call, args: Any, kwargs: Any) -> Any:
        if bare == "scaled_dot_product_attention" and self.strict:
            return self._attended(*args, **kwargs)
        kind = kind_of(bare, args, kwargs)
        treatment = self.table.get(kind)
        if treatment is None:
            out = function(*args, **kwargs)
            known = kind in self.table or not self.strict or not asks(bare, args, kwargs)
            if not known and any(t.requires_grad for t in tensors_in(out)):
                raise UnsupportedLayer(refusal(f"operation {bare!r} (torch), written in the forward of a module"))
            return out
        node, run, operands = called(bare, kind, function, list(args), dict(kwargs))
        if kind in TWO and len(operands) < 2:  # an einsum of one tensor
            return function(*args, **kwargs)
        inside = kwargs.get("inplace") or (name.endswith("_") and not name.startswith("__"))
        if not inside:
            return self.how(treatment, node, run)(*operands)
        first, operands[0] = operands[0], operands[0] * 1  # what its treatment still reads must not be overwritten
        own = lambda x, *rest: run(x * 1, *rest)  # noqa: E731
        return first.copy_(self.how(treatment, node, own)(*operands))

    def _attended(
        self, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor = None, dropout_p: float = 0.0, *rest: Any, **more: Any
    ) -> Tensor:  # fmt: skip
        """Attention as the operations that it is made of."""
        from keras import ops

        more |= dict(zip(("is_causal", "scale", "enable_gqa"), rest, strict=False))
        if more.get("enable_gqa"):
            raise UnsupportedLayer(refusal("operation 'scaled_dot_product_attention' (torch) with grouped queries"))
        scale = query.shape[-1] ** -0.5 if more.get("scale") is None else more["scale"]
        scores = self.instead("matmul", ops.matmul, (query * scale, ops.swapaxes(key, -2, -1)), {})
        if more.get("is_causal"):
            attn_mask = ops.tril(ops.ones(scores.shape[-2:], dtype="bool"))
        if attn_mask is not None:
            boolean = "bool" in str(attn_mask.dtype)
            scores = ops.where(attn_mask, scores, -1e9) if boolean else scores + attn_mask
        soft = lambda s, axis: ops.softmax(s, axis=axis)  # noqa: E731
        return self.instead("matmul", ops.matmul, (self.instead("softmax", soft, (scores, -1), {}), value), {})

    def _refuse_custom(self, given: Any) -> None:
        """Raise for a tensor that a torch function of the user's own has made: nothing is known about its gradient."""
        for tensor in tensors_in(given) if self.strict else ():
            made = type(tensor.grad_fn)
            own = getattr(made, "_forward_cls", None)  # those of Keras are the ones that treatments are made of
            if own is not None and not own.__module__.startswith("keras."):
                raise UnsupportedLayer(refusal(f"torch.autograd.Function behind {made.__name__}"))


NORMALIZATIONS = ("LayerNorm", "RMSNorm", "GroupNorm")
"""Functions of torch that are known by the names of its layers."""


def by_kind(table: Mapping[Any, Sequence[str]]) -> dict[str, Any]:
    """What is done at each kind."""
    return {kind: treatment for treatment, kinds in table.items() for kind in kinds}


def by_operations(at_rest: Sequence[Any], composite: Composite) -> Treatment:
    """What a torch module writes between its layers: as nodes of `keras.ops`; `at_rest` are the layers of known kinds."""
    table = by_kind(OPERATIONS) | dict.fromkeys(NORMALIZATIONS, by_still_spread)
    table |= {"Linear": by_kernel, "Conv": by_kernel}

    def treatment(layer: Any, original: layers.Call, rule: Rule, now: Pass) -> layers.Call:
        def how(treated: Treatment, node: Written, run: layers.Call) -> layers.Call:
            own = composite.rule("", node, is_first=False)
            return treated(node, run, Epsilon() if own.direct or treated is not by_kernel else own, now)

        return Watching(layer, at_rest, table, how)(original)

    return treatment


def operation_differences(at_rest: Sequence[Any]) -> Any:
    """The same for differences from a baseline."""
    table = by_kind(OPERATION_DIFFERENCES) | dict.fromkeys(NORMALIZATIONS, spread_out) | {"Linear": pairwise}

    def treatment(layer: Any, original: layers.Call, now: Differences) -> layers.Call:
        how: How = lambda treated, node, run: treated(node, run, now)  # noqa: E731
        return Watching(layer, at_rest, table, how, paired=True)(original)

    return treatment


def _differ(tensor: Tensor) -> bool:
    """Whether a tensor says something else of examples than of their baselines."""
    from keras import ops

    count = tensor.shape[0] if len(tensor.shape) else 1
    return count % 2 == 1 or not bool(ops.all(tensor[: count // 2] == tensor[count // 2 :]))
