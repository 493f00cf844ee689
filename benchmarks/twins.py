"""The models of `cases.py` as a torch user would write them, holding the weights of their Keras twins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import nn

from benchmarks.cases import HEADS, TOKENS, VOCABULARY, WIDTH, Prepared


class ImageNet(nn.Sequential):
    """Twin of `cases.image_model`; takes (B, 1, 28, 28)."""

    def __init__(self, weights: Sequence[np.ndarray]) -> None:
        super().__init__(
            nn.Conv2d(1, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(800, 64), nn.ReLU(), nn.Linear(64, 10),
        )  # fmt: skip
        first, b1, second, b2, dense, b3, last, b4 = weights
        dense = dense.reshape(5, 5, 32, 64).transpose(2, 0, 1, 3).reshape(800, 64)  # channels come first here
        put(self[0], first.transpose(3, 2, 0, 1), b1)
        put(self[3], second.transpose(3, 2, 0, 1), b2)
        put(self[7], dense.T, b3)
        put(self[9], last.T, b4)


class TableNet(nn.Sequential):
    """Twin of `cases.table_model`; takes (B, 30)."""

    def __init__(self, weights: Sequence[np.ndarray]) -> None:
        super().__init__(nn.Linear(30, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 2))
        for i in range(3):
            put(self[2 * i], weights[2 * i].T, weights[2 * i + 1])


class TokenNet(nn.Module):
    """Twin of `cases.token_model`; takes (B, 64) token numbers."""

    def __init__(self, weights: Sequence[np.ndarray]) -> None:
        super().__init__()
        left = iter(weights)
        self.embedding = nn.Embedding(VOCABULARY, WIDTH, padding_idx=0)
        copy(self.embedding.weight, next(left))
        self.positions = nn.Parameter(torch.tensor(next(left)).reshape(TOKENS, WIDTH))
        self.blocks = nn.Sequential(*(_block(left) for _ in range(2)))
        self.head = nn.Linear(WIDTH, 2)
        put(self.head, next(left).T, next(left))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.blocks(self.embedding(tokens) + self.positions).mean(1))


def _block(left: Iterator[np.ndarray]) -> nn.TransformerEncoderLayer:
    block = nn.TransformerEncoderLayer(WIDTH, HEADS, 4 * WIDTH, dropout=0.0, batch_first=True, norm_first=True)
    put(block.norm1, next(left), next(left))
    projections = [(next(left).reshape(WIDTH, WIDTH).T, next(left).ravel()) for _ in range(3)]
    copy(block.self_attn.in_proj_weight, np.concatenate([w for w, _ in projections]))
    copy(block.self_attn.in_proj_bias, np.concatenate([b for _, b in projections]))
    put(block.self_attn.out_proj, next(left).reshape(WIDTH, WIDTH).T, next(left))
    put(block.norm2, next(left), next(left))
    put(block.linear1, next(left).T, next(left))
    put(block.linear2, next(left).T, next(left))
    return block


def put(layer: nn.Module, weight: np.ndarray, bias: np.ndarray) -> None:
    """Write a layer's two parameters."""
    copy(layer.weight, weight)
    copy(layer.bias, bias)


def copy(parameter: nn.Parameter, array: np.ndarray) -> None:
    """Write a parameter."""
    with torch.no_grad():
        parameter.copy_(torch.tensor(np.ascontiguousarray(array)))


def twin(case: Prepared) -> nn.Module:
    """The torch model of a case, checked against the logits of the Keras model."""
    net = {"image": ImageNet, "table": TableNet, "tokens": TokenNet}[case.case.name](case.weights).eval()
    found = net(inputs(case)).detach().numpy()
    if (gap := np.abs(found - case.logits).max()) > 1e-4:
        raise SystemExit(f"the torch twin of {case.case.name} differs from the Keras model by {gap:.2g}")
    return net


def inputs(case: Prepared) -> torch.Tensor:
    """The examples in torch's own layout."""
    x = torch.tensor(case.x)
    return x.permute(0, 3, 1, 2).contiguous() if case.case.name == "image" else x.long() if case.case.tokens else x
