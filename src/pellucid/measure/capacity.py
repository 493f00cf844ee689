"""How large the weights of a net are, by its layers and over all, and how far beyond them its margins reach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pellucid.core import layers, options
from pellucid.core.measurement import Measurement
from pellucid.core.model import Model
from pellucid.core.numbers import agreeing, counted, stated
from pellucid.core.resampling import Interval
from pellucid.core.tensors import to_array
from pellucid.errors import NotApplicable
from pellucid.measure.base import Context, Measure
from pellucid.measure.heavy_tail import SURELY, tail
from pellucid.measure.path_norm import path_norm
from pellucid.shapes import Array, Floats

EIGENVALUES = 50
"""Eigenvalues that a layer needs for a law of their tail."""

PART = 0.1
"""The quantile of the margins that is told: as many rows are nearer to a wrong answer."""


@dataclass(frozen=True, eq=False)
class Capacity(Measure):
    """How large are the weights, and the margins of the answers beside them?

    A row's margin is z[label] - max of the other z, for logits z. Divided by the product of the layers' spectral norms s_l it
    does not change when one layer is scaled up and another down. The value is the 10th percentile of these normalized margins,
    with an exact interval by order statistics. Verdicts, of the rows' margins, which have the same signs:

    - "margins hold": the interval is above 0.
    - "margins fail": it is below 0: over a tenth of the rows are answered wrong.
    - "not settled": it holds 0.

    `detail`:

    - `margins`: `quantiles` (the 5th, 10th, 25th, 50th, 75th and 95th percentile, not normalized) and `at`.
    - `layers`, of each kernel W, as a matrix of inputs by units: `frobenius`, `spectral` (s, exact; of convolutions that of the
      matrix, which is not the norm of the convolution), `stable_rank` = |W|_F^2 / s^2, and with 50 eigenvalues of W^T W or more
      `tail`: `alpha` of the density x^-alpha of the largest, with `error`, `interval`, `start`, `beyond` (how many), `misfit`
      (p-value of this law) and `lognormal` (Vuong's of this law against a lognormal); `alpha` is None where either rules it out.
    - `log10_spectral_product`; `path_norm` = sqrt(sum over all paths of the product of squared weights), of nets of plain
      rectifiers, else None with `path_norm_left_out`; `parameters`, and `parameters_per_row` of training.

    Args:
        split: Whose margins: "train" or "test".
        widest: The smaller side of kernels up to which all singular values are computed; of wider ones the largest alone.
        level: Confidence level of the intervals, in (0, 1).

    Raises:
        InvalidOption: An option outside its range.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, use_bias=False)])
        >>> net.set_weights([np.array([[3.0, 0.0], [0.0, 4.0]])])
        >>> x = np.tile([[1.0, 0.0]], (100, 1))  # the margin is 3, the spectral norm 4
        >>> found, = pl.measure(pl.wrap(net, output="logits"), pl.Capacity(), train=(x, np.zeros(100, int)))
        >>> found.value, found.detail["path_norm"]  # sqrt(3^2 + 4^2)
        (0.75, 5.0)

    References:
        Bartlett, Foster and Telgarsky 2017, arXiv:1706.08498. Neyshabur, Tomioka and Srebro 2015, arXiv:1503.00036. Clauset,
        Shalizi and Newman 2009, arXiv:0706.1062. Martin and Mahoney 2021, arXiv:1810.01075. Vuong 1989, doi:10.2307/1912557.

    Limits:
        None of this is a bound, and as a rank of models it misleads in places: norms and margins fail where others do well, and
        the other way round (Jiang et al. 2020, arXiv:1912.02178; Dziugaite et al. 2020, arXiv:2010.11924). Normalized margins are
        in units of the inputs, and compare nets of one shape on the same data. Skips, attention and normalization are not in
        the product; batch normalization undoes any scale of the layer before it. How far weights are from where they began is
        not known, and not told. Eigenvalues of one layer depend on each other, so that alpha's error is a nominal one; and that a
        power law is not ruled out does not make a tail heavy: those of 100 random weights often pass, with an alpha above 5.
    """

    split: str = "train"
    widest: int = 1024
    level: float = 0.95

    quantity: ClassVar[str] = "capacity"

    def __post_init__(self) -> None:
        options.one_of(self, "split", ("train", "test"))
        options.whole(self, "widest")
        options.fraction(self, "level")

    def compute(self, context: Context) -> Measurement:
        """See `Measure.compute`."""
        context.require_classes("has margins between classes")
        model = context.model
        if model.anatomy.multilabel or not (held := kernels(model)):
            why = "gives several answers a row" if model.anatomy.multilabel else "has no layers with kernels"
            raise NotApplicable(f"Capacity: {model.name} {why}")
        told = [{"name": name, **self._sizes(matrix, context.stream("tail", name))} for name, matrix in held.items()]
        if any(layer["spectral"] == 0 for layer in told):
            raise NotApplicable(f"Capacity: {model.name} has a kernel that is all zeros")
        product = float(np.sum(np.log([layer["spectral"] for layer in told])))
        distances = margins(context.scores(self.split), context.labels(self.split), model.output)
        at, around = quantile(distances, PART, self.level)
        per = float(np.exp(-product))
        normalized = Interval(per * around.low, per * around.high, self.level, around.kind)
        every = (0.05, PART, 0.25, 0.5, 0.75, 0.95)
        detail = {
            "margins": {"at": np.array(every), "quantiles": np.array([quantile(distances, q, self.level)[0] for q in every])},
            "layers": told, "log10_spectral_product": product / float(np.log(10)), **_paths(context, self.split),
            "parameters": (count := sum(int(np.prod(v.shape)) for v in model.weights)),
            "parameters_per_row": count / len(context.data("train")) if context.has("train") else None,
        }  # fmt: skip
        verdict = judged(around)
        words = _told(self.split, len(distances), (at, around), detail, verdict)
        return Measurement(self.quantity, per * at, normalized, verdict, {"explanation": words, **detail})

    def _sizes(self, matrix: Floats, generator: np.random.Generator) -> dict[str, Any]:
        """The norms of a kernel, and the law of the tail of its eigenvalues where it has enough."""
        from scipy.linalg import svdvals
        from scipy.sparse.linalg import svds

        frobenius, least = float(np.linalg.norm(matrix)), min(matrix.shape)
        whole = least <= self.widest
        singular = (
            svdvals(matrix) if whole else svds(matrix, k=1, return_singular_vectors=False, rng=generator, tol=1e-6)
        )
        largest = float(singular.max())
        return {
            "inputs": matrix.shape[0], "units": matrix.shape[1], "frobenius": frobenius, "spectral": largest,
            "stable_rank": (frobenius / largest) ** 2 if largest else None,
            "tail": _tail(singular**2, generator, self.level) if whole and least >= EIGENVALUES and largest else None,
        }  # fmt: skip


def kernels(model: Model) -> dict[str, Floats]:
    """The kernels of a model by layer, each as a matrix of inputs by units."""
    found = dict[str, Floats]()
    for name, layer in layers.leaves(model.native).items():
        if model.is_torch:
            named = [] if type(layer).__name__ == "Embedding" else list(layer.named_parameters(recurse=False))
        else:
            named = [(v.name, v) for v in layer.variables if v.name.endswith("kernel")]
        own = [(n, to_array(v).astype(float)) for n, v in named if len(v.shape) > 1]
        for part, array in own:
            matrix = array.reshape(len(array), -1).T if model.is_torch else array.reshape(-1, array.shape[-1])
            found[name if len(own) == 1 else f"{name}/{part}"] = matrix
    return found


def _tail(eigenvalues: Floats, generator: np.random.Generator, level: float) -> dict[str, Any]:
    found = tail(eigenvalues, generator, level)
    known = {"start": found.start, "beyond": found.beyond, "misfit": found.misfit, "lognormal": found.lognormal}
    if found.holds:
        return {"alpha": found.alpha, "error": found.error, "interval": found.interval, **known}
    why = "no power law" if found.misfit <= SURELY else "a lognormal describes it better"
    return {"alpha": None, "why": f"{why} (p <= {SURELY:g})", **known}


def margins(scores: Floats, labels: Array, output: str) -> Floats:
    """How far the logit of the label is above the largest other (B,); of probabilities, their logarithms are logits too."""
    if output == "probabilities":
        scores = np.log(np.maximum(scores, np.finfo(float).tiny))
    if scores.shape[1] == 1:  # the logit of class 1, beside 0 for class 0
        return np.where(labels == 1, 1.0, -1.0) * scores[:, 0]
    own = np.take_along_axis(scores, labels[:, None], axis=1)[:, 0]
    others = scores.astype(float).copy()
    others[np.arange(len(labels)), labels] = -np.inf
    return own - others.max(axis=1)


def quantile(values: Floats, share: float, level: float) -> tuple[float, Interval]:
    """A quantile with an interval between two of the ordered values, which covers at least its level for any distribution."""
    from scipy.stats import binom

    ordered = np.concatenate([[-np.inf], np.sort(values), [np.inf]])
    low, high = (int(binom.ppf(q, len(values), share)) for q in (0.5 - level / 2, 0.5 + level / 2))
    value = float(np.quantile(values, share, method="inverted_cdf"))
    return value, Interval(float(ordered[low]), float(ordered[high + 1]), level, "order statistics")


def judged(interval: Interval) -> str:
    """The verdict on the interval of a margin; see `Capacity`."""
    if interval.low > 0:
        return "margins hold"
    return "margins fail" if interval.high < 0 else "not settled"


def _paths(context: Context, split: str) -> dict[str, Any]:
    model = context.model
    try:
        return {"path_norm": path_norm(model, model.prepare(context.data(split).take(slice(0, 1))))}
    except NotApplicable as reason:
        return {"path_norm": None, "path_norm_left_out": str(reason)}


def _told(split: str, rows: int, at: tuple[float, Interval], detail: dict[str, Any], verdict: str) -> str:
    known = {"train": "training", "test": "unseen"}[split]
    product = f"10^{detail['log10_spectral_product']:.1f}".replace("-", "−")
    kernels = agreeing(len(detail["layers"]), "kernel", "has", "have")
    return (
        f"Of {counted(rows, f'{known} row')}, a tenth have a margin of at most {stated(*at)} between the logits of their class "
        f"and the next; the {kernels} a product of spectral norms of {product}: {verdict}."
    )
