"""PyTorch: eager, without gradients unless one is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from math import prod
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from pellucid.shapes import Array, Tensor

FUSED = functional.scaled_dot_product_attention

name = "torch"
static_shapes = False


def _device() -> Any:
    from keras.src.backend.torch.core import get_device

    return get_device()


def _tensor(array: Array) -> torch.Tensor:
    # Torch takes no negative strides (NumPy calls a single reversed row contiguous), and warns of arrays it could write to.
    array = array.copy() if min(array.strides, default=0) < 0 else np.require(array, requirements=["C", "W"])
    return torch.as_tensor(array, device=_device())


def _array(tensor: Any) -> Any:
    if isinstance(tensor, tuple):
        return tuple(map(_array, tensor))
    return tensor.detach().cpu().numpy()


def _values(variables: Sequence[Any]) -> list[torch.Tensor]:
    return [v if isinstance(v, torch.Tensor) else v.value for v in variables]


def comfortable(usual: int) -> int:
    """See `contract.Backend.comfortable`."""
    return usual


def compile(function: Callable[..., Any], variables: Sequence[Any]) -> Callable[..., Any]:
    """See `contract.Backend.compile`; nothing is compiled, gradients are recorded only where one is asked for."""
    del variables

    def run(*arrays: Array) -> Any:
        with torch.no_grad(), _whole_encoders():
            return _array(function(*map(_tensor, arrays)))

    return run


def observe(function: Callable[..., Any], variables: Sequence[Any]) -> Callable[..., Any]:
    """See `contract.Backend.observe`."""
    del variables

    def run(*arrays: Array) -> Any:
        with torch.no_grad(), _whole_encoders():
            return function(*map(_tensor, arrays))

    return run


@contextmanager
def _whole_encoders() -> Iterator[None]:
    """Transformer encoders call their layers, in place of one fused kernel that nobody can look into."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def gradient(
    function: Callable[..., tuple[Tensor, Any]], inputs: Sequence[Tensor], *, again: bool = False
) -> tuple[Any, list[Tensor]]:
    """See `contract.Backend.gradient`.

    Attention is computed step by step: of rows that are masked whole, as padding is, torch's fused kernel on a CPU gives wrong
    gradients (2.13: as many times too large as there are positions).
    """
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        leaves = [i.detach().requires_grad_() for i in inputs]
        scalar, extra = function(*leaves)
        if not scalar.requires_grad:
            return extra, [torch.zeros_like(leaf) for leaf in leaves]
        grads = torch.autograd.grad(scalar, leaves, create_graph=again, allow_unused=True, materialize_grads=True)
    return extra, list(grads)


def vector_jacobian(
    function: Callable[..., Tensor], inputs: Sequence[Tensor], cotangent: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """See `contract.Backend.vector_jacobian`."""

    def along(*leaves: Tensor) -> tuple[Tensor, Tensor]:
        value = function(*leaves)
        return (value * cotangent).sum(), value

    return gradient(along, inputs)


def jacobian_vector(
    function: Callable[..., Sequence[Tensor]], inputs: Sequence[Tensor], direction: Sequence[Tensor]
) -> list[Tensor]:
    """See `contract.Backend.jacobian_vector`; the derivative of (v^T J . direction) by v.

    The fused attention kernels cannot be differentiated twice; the plain one can.
    """
    options: dict[str, Any] = {"allow_unused": True, "materialize_grads": True}
    with torch.enable_grad(), torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        leaves = [i.detach().requires_grad_() for i in inputs]
        outputs = [o if o.requires_grad else o + 0 * leaves[0].sum() for o in function(*leaves)]
        cotangents = [torch.zeros_like(o).requires_grad_() for o in outputs]
        grads = torch.autograd.grad(outputs, leaves, cotangents, create_graph=True, **options)
        along = torch.stack([(g * d.detach()).sum() for g, d in zip(grads, direction, strict=True)]).sum()
        if not along.requires_grad:
            return [torch.zeros_like(o) for o in outputs]
        return [g.detach() for g in torch.autograd.grad(along, cotangents, **options)]


def reaches(function: Callable[..., Sequence[Tensor]], inputs: Sequence[Array]) -> list[list[bool]]:
    """See `contract.Backend.reaches`."""
    with torch.enable_grad():
        tensors = [torch.as_tensor(np.array(a)).to(_device()).requires_grad_() for a in inputs]
        outputs = list(function(*tensors))
        return [
            [g is not None for g in torch.autograd.grad(o.sum(), tensors, allow_unused=True, retain_graph=True)]
            if o.requires_grad
            else [False] * len(tensors)
            for o in outputs
        ]


def parameter_gradient(
    loss: Callable[..., Tensor], variables: Sequence[Any]
) -> Callable[[Sequence[Array]], tuple[float, list[Array]]]:
    """See `contract.Backend.parameter_gradient`."""

    def run(arrays: Sequence[Array]) -> tuple[float, list[Array]]:
        with torch.enable_grad():
            value = loss(*map(_tensor, arrays))
            grads = torch.autograd.grad(value, _values(variables), allow_unused=True, materialize_grads=True)
        return float(value.detach()), [_array(g) for g in grads]

    return run


def example_gradients(losses: Callable[..., Tensor], variables: Sequence[Any], arrays: Sequence[Array]) -> list[Array]:
    """See `contract.Backend.example_gradients`; one example at a time, which every layer supports."""
    rows, gradient = [], parameter_gradient(lambda *a: losses(*a).sum(), variables)
    for i in range(len(arrays[0])):
        one = [a[i : i + 1] for a in arrays]
        rows.append(gradient(one)[1])
    return [np.stack(column) for column in zip(*rows, strict=True)]


def hessian_vector(
    loss: Callable[..., Tensor], variables: Sequence[Any]
) -> Callable[[Sequence[Array], Sequence[Array]], list[Array]]:
    """See `contract.Backend.hessian_vector`; the gradient of (gradient . vector), by kernels that can be differentiated twice."""
    options: dict[str, Any] = {"allow_unused": True, "materialize_grads": True}

    def product(arrays: Sequence[Array], vector: Sequence[Array]) -> list[Array]:
        values = _values(variables)
        with torch.enable_grad(), _whole_encoders(), sdpa_kernel(SDPBackend.MATH):
            value = loss(*map(_tensor, arrays))
            grads = torch.autograd.grad(value, values, create_graph=True, **options)
            along = torch.stack([(g * _tensor(v).to(g.dtype)).sum() for g, v in zip(grads, vector, strict=True)]).sum()
            if not along.requires_grad:  # linear in every parameter
                return [np.zeros(tuple(v.shape), np.float32) for v in values]
            found = torch.autograd.grad(along, values, **options)
        return [_array(p) for p in found]

    return product


@contextmanager
def unfused(native: Any, change: Callable[..., Any]) -> Iterator[None]:
    """See `contract.Backend.unfused`; Hugging Face's models run by the one function of torch that is watched."""
    modules = native.modules() if isinstance(native, torch.nn.Module) else ()
    held: list[Any] = [getattr(module, "config", None) for module in modules]
    configs = {id(config): config for config in held if hasattr(config, "_attn_implementation")}
    with ExitStack() as stack:
        for config in configs.values():
            stack.callback(setattr, config, "_attn_implementation", config._attn_implementation)
        for config in configs.values():
            config._attn_implementation = "sdpa"
        stack.enter_context(_whole_encoders())
        stack.enter_context(_Unfused(change))
        yield


class _Unfused(TorchFunctionMode):
    """Computes attention step by step, and shows its weights and values on the way."""

    def __init__(self, change: Callable[..., Any]) -> None:
        super().__init__()
        self.change = change
        self.last: Any = None  # the weights that were used last

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Called in the place of every function of torch."""
        if func is FUSED:
            return self.attend(*args, **(kwargs or {}))
        if func is functional.multi_head_attention_forward:
            return self.over_heads(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def over_heads(self, *args: Any, need_weights: bool = True, is_causal: bool = False, **options: Any) -> Any:
        """`torch.nn.MultiheadAttention` works by the fused function, and gives weights only if it was asked for them."""
        average = options.pop("average_attn_weights", True)
        functional.scaled_dot_product_attention = self.attend  # this mode is off while it is at work
        try:
            causal = is_causal and not need_weights  # asked for weights, torch reads the mask and not the hint
            out, _ = functional.multi_head_attention_forward(*args, need_weights=False, is_causal=causal, **options)
        finally:
            functional.scaled_dot_product_attention = FUSED
        weights = self.last.mean(1) if average else self.last
        return out, (weights if out.dim() == 3 else weights[0]) if need_weights else None

    def attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Any = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        """What `scaled_dot_product_attention` gives, with other weights and values if they are changed."""
        if enable_gqa:
            key, value = (t.repeat_interleave(query.shape[-3] // t.shape[-3], -3) for t in (key, value))
        weights = _weights(query, key, attn_mask, is_causal, query.shape[-1] ** -0.5 if scale is None else scale)
        out = functional.dropout(weights, dropout_p) @ value
        four = [t.reshape(t.shape[0], prod(t.shape[1:-2]), *t.shape[-2:]) for t in (weights, value)]
        self.last = four[0]
        changed = self.change(*four)
        if changed is not None:
            self.last = changed[0]
            out = (changed[0] @ changed[1]).reshape(out.shape)
        return out


def _weights(query: Tensor, key: Tensor, mask: Any, is_causal: bool, scale: float) -> Tensor:
    """softmax(scale q k^T + mask), added up in float32 as the fused kernels do; 0 in rows that may look nowhere."""
    scores = (query.float() * scale) @ key.float().transpose(-2, -1)
    if is_causal:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if mask is None:
        return scores.softmax(-1).to(query.dtype)
    scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
    nowhere = (scores == -torch.inf).all(-1, keepdim=True)
    return scores.masked_fill(nowhere, 0.0).softmax(-1).masked_fill(nowhere, 0.0).to(query.dtype)


def assign(variables: Sequence[Any], arrays: Sequence[Array]) -> None:
    """See `contract.Backend.assign`."""
    with torch.no_grad():
        for value, array in zip(_values(variables), arrays, strict=True):
            value.copy_(torch.as_tensor(np.array(array), device=value.device))


def seed(seed: int) -> None:
    """See `contract.Backend.seed`."""
    torch.manual_seed(seed)


def random_state() -> Any:
    """See `contract.Backend.random_state`."""
    return torch.get_rng_state(), torch.cuda.get_rng_state_all() if torch.cuda.is_available() else None


def set_random_state(state: Any) -> None:
    """See `contract.Backend.set_random_state`."""
    cpu, cuda = state
    torch.set_rng_state(cpu)
    if cuda is not None:
        torch.cuda.set_rng_state_all(cuda)


def call_with(module: torch.nn.Module, weights: Sequence[tuple[Tensor, Tensor]], x: Tensor) -> Tensor:
    """What a module gives for x with other weights: pairs of a parameter and a tensor."""
    names = {id(parameter): name for name, parameter in module.named_parameters(recurse=False)}
    return torch.func.functional_call(module, {names[id(w)]: tensor for w, tensor in weights}, (x,))


class Watch(TorchFunctionMode):
    """Hands every torch function that is called to another, with its name; none while it rests."""

    def __init__(self, instead: Callable[..., Any]) -> None:
        super().__init__()
        self.instead, self.rests = instead, False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """See `torch.overrides.TorchFunctionMode`; what is called in here is not watched."""
        if self.rests:
            return func(*args, **(kwargs or {}))
        return self.instead(_function_name(func), func, args, kwargs or {})

    @contextmanager
    def resting(self) -> Iterator[None]:
        """Watch nothing until the block ends."""
        before, self.rests = self.rests, True
        try:
            yield
        finally:
            self.rests = before


@contextmanager
def watched(module: torch.nn.Module, instead: Callable[..., Any]) -> Iterator[Watch]:
    """Call `instead(name, function, args, kwargs)` in place of each torch function until the block ends.

    Parameters take no gradient in it, so that a tensor takes one where it depends on what is differentiated by.
    """
    learned = [p for p in module.parameters() if p.requires_grad]
    for parameter in learned:
        parameter.requires_grad_(False)
    try:
        with Watch(instead) as watch:
            yield watch
    finally:
        for parameter in learned:
            parameter.requires_grad_(True)


def _function_name(function: Any) -> str:
    """What a torch function is called: "mul" of `a * b`, "T" of an attribute that is read."""
    name = getattr(function, "__name__", "")
    return str(function.__self__.__name__) if name == "__get__" else name
