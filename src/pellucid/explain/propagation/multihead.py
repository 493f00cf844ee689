"""The multi-head attention of torch, one function to it: written out as the layers and products that it is made of."""

from __future__ import annotations

from typing import Any

from pellucid.core import layers
from pellucid.explain.propagation.arithmetic import Arithmetic, Run
from pellucid.explain.propagation.linear import Change
from pellucid.shapes import Tensor


def in_heads(module: Any, do: Arithmetic) -> layers.Call:
    """The call of `torch.nn.MultiheadAttention` by a method's arithmetic; B batch, T queries, S keys, N heads, H their width."""

    def call(
        query: Tensor, key: Tensor, value: Tensor, key_padding_mask: Tensor | None = None, need_weights: bool = True,
        attn_mask: Tensor | None = None, average_attn_weights: bool = True, is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:  # fmt: skip
        from keras import ops

        single = len(query.shape) == 2
        turned = not (module.batch_first or single)
        given = [t[None] if single else ops.swapaxes(t, 0, 1) if turned else t for t in (query, key, value)]
        q, k, v = (do.linear(run, t) for run, t in zip(_projections(module), given, strict=True))
        k, v, added = _with_extra_keys(module, k, v)
        q, k, v = (_split(module, t) for t in (q, k, v))
        scores = do.product(lambda a, b: ops.matmul(a, ops.swapaxes(b, -2, -1)), q * q.shape[-1] ** -0.5, k)
        weights = do.softmax(_masked(scores, attn_mask, key_padding_mask, added))
        out = ops.swapaxes(do.product(ops.matmul, weights, v), 1, 2)
        out = module.out_proj(ops.reshape(out, (*out.shape[:2], module.embed_dim)))
        shown = None
        if need_weights:
            shown = ops.mean(weights, 1) if average_attn_weights else weights
            shown = shown[0] if single else shown
        return (out[0] if single else ops.swapaxes(out, 0, 1) if turned else out), shown

    return call


def _projections(module: Any) -> list[Run]:
    """The linear parts that make queries, keys and values."""
    from keras import ops

    if module.in_proj_weight is None:
        kernels = [module.q_proj_weight, module.k_proj_weight, module.v_proj_weight]
    else:
        kernels = ops.split(module.in_proj_weight, 3, axis=0)
    biases = [None] * 3 if module.in_proj_bias is None else ops.split(module.in_proj_bias, 3, axis=0)

    def run(kernel: Tensor, bias: Tensor | None) -> Run:
        def linear(x: Tensor, for_kernel: Change, for_bias: Change) -> Tensor:
            z = ops.matmul(x, for_kernel(ops.transpose(kernel)))
            return z if bias is None else z + for_bias(bias)

        return linear

    return [run(kernel, bias) for kernel, bias in zip(kernels, biases, strict=True)]


def _with_extra_keys(module: Any, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, int]:
    """Keys and values (B, S, D) with those that a module adds, learned or zero, and how many there are."""
    from keras import ops

    extra: list[tuple[Tensor, Tensor]] = []
    if module.bias_k is not None:
        extra.append((module.bias_k, module.bias_v))
    if module.add_zero_attn:
        extra.append((ops.zeros((1, 1, k.shape[-1]), k.dtype),) * 2)
    for a, b in extra:
        k, v = (ops.concatenate([t, ops.repeat(e, len(t), axis=0)], axis=1) for t, e in ((k, a), (v, b)))
    return k, v, len(extra)


def _split(module: Any, t: Tensor) -> Tensor:
    """What each head gets (B, N, S, H) of (B, S, D)."""
    from keras import ops

    return ops.swapaxes(ops.reshape(t, (*t.shape[:2], module.num_heads, module.head_dim)), 1, 2)


def _masked(scores: Tensor, pairs: Tensor | None, keys: Tensor | None, added: int) -> Tensor:
    """Scores (B, N, T, S) less what masks of pairs (T, S) or (B N, T, S) and of keys (B, S) take away: what is True in them."""
    from keras import ops

    if pairs is not None and len(pairs.shape) == 3:
        pairs = pairs.reshape(-1, scores.shape[1], *pairs.shape[1:])
    if keys is not None:
        keys = keys.reshape(-1, 1, 1, keys.shape[-1])
    for mask in (pairs, keys):
        if mask is None:
            continue
        mask = ops.pad(mask, [(0, 0)] * (len(mask.shape) - 1) + [(0, added)])
        scores = ops.where(mask, -1e9, scores) if "bool" in str(mask.dtype) else scores + ops.maximum(mask, -1e9)
    return scores
