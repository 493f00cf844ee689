"""How sharply the loss rises around the weights that training found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pellucid.core import options
from pellucid.core.measurement import Measurement
from pellucid.core.numbers import counted, figure, stated
from pellucid.core.resampling import Interval, student
from pellucid.errors import NotApplicable
from pellucid.measure.base import Context, Measure
from pellucid.measure.hessian import PARTS, Hessian
from pellucid.measure.spectrum import Spectrum, largest, probed, signs, smoothed
from pellucid.shapes import Array, Floats

ALSO = ("trace", "adaptive", "relative")

SADDLE = 0.05
"""Curvature down that counts, as a share of the largest curvature up."""


@dataclass(frozen=True, eq=False)
class Curvature(Measure):
    """How sharply does the loss curve around the weights, and in how many directions?

    H = the second derivatives of L(w) = mean_b loss_b by the N weights that are trained; loss_b is the cross-entropy in nats, or
    (f - y)^2 of a regression, without penalties, and the model as it predicts (no dropout). The value is the largest eigenvalue
    of H; its interval is about the rows drawn, by the curvature of ten parts of them along the same direction, and contains the
    error of the eigenvalue. Verdicts: "negative curvature" where the loss also curves down by over a twentieth of that, which it
    does not at a minimum; else "no negative curvature".

    `detail`: `eigenvalues` (value, interval, error), the largest first, an equal one as often as it is there; of 100 random
    starts about one is off by more than `error`; `least`, the smallest seen; `spectrum` (`at`, `density`),
    the distribution of all; `gradient`, the norm of the slope that is left; and, as asked by `also`,

    - `trace` = sum of all eigenvalues, with its interval, by Hutchinson: the mean of z^T H z over random signs z, here orthogonal
      to the largest directions, whose part is known; `layers` holds those of each weight array alone.
    - `adaptive` = the largest eigenvalue of |w| H |w|: twice the rise of the loss, for each squared step relative to the weights.
    - `relative` = sum_l sum_{s, s'} <w_s, w_s'> tr H_{s s'} over the units s of each layer l with a kernel; in `layers` by layer.

    The last two do not change when a layer's weights are scaled and the next one's scaled back; the others do.

    Args:
        top: How many eigenvalues.
        also: Which of "trace", "adaptive", "relative".
        tolerance: Error of each eigenvalue as a share of the largest, and half width of the interval of each trace over
            probes as a share of it.
        steps: Products with H that an eigenvalue problem may take.
        probes: Products with H that a trace may take.
        most: Rows looked at; drawn at random from more.
        split: "train" or "test".
        level: Confidence level of the intervals, in (0, 1).

    Raises:
        InvalidOption: An option outside its range.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
        >>> x = np.tile([[1.0, 0.0], [0.0, 2.0]], (50, 1))  # H = 2 mean x x^T = diag(1, 4)
        >>> found, = pl.measure(pl.wrap(net, output="value"), pl.Curvature(), train=(x, np.zeros(100)))
        >>> round(found.value, 4), round(found.detail["trace"]["value"], 4)
        (4.0, 5.0)

    References:
        Yao, Gholami, Keutzer and Mahoney 2020, "PyHessian", arXiv:1912.07145. Hutchinson 1990,
        doi:10.1080/03610919008812866. Ghorbani, Krishnan and Xiao 2019, arXiv:1901.10159. Kwon et al. 2021, "ASAM",
        arXiv:2102.11600. Petzka et al. 2021, "Relative flatness and generalization", arXiv:2001.00939. Li and Li 2005,
        doi:10.1016/j.laa.2004.08.026 (errors). Meyer, Musco, Musco and Woodruff 2021, arXiv:2010.09649 (the trace).

    Limits:
        Flat is no proof that a model generalizes, nor sharp that it does not: rescaling weights changes eigenvalues and not
        the function (Dinh et al. 2017, arXiv:1703.04933). Of few rows the largest eigenvalue is on average too large. Where
        eigenvalues crowd, `steps` may be too few for `tolerance`, and `error` says so. A rectifier's kinks have no curvature.
        `steps` vectors of N numbers are held.
    """

    top: int = 5
    also: Sequence[str] = ALSO
    tolerance: float = 0.05
    steps: int = 100
    probes: int = 64
    most: int = 2000
    split: str = "train"
    level: float = 0.95

    quantity: ClassVar[str] = "curvature"

    def __post_init__(self) -> None:
        options.whole(self, "top")
        options.some_of(self, "also", ALSO, none=True)
        options.positive(self, "tolerance")
        options.whole(self, "steps", 2)
        options.whole(self, "probes", 2)
        options.whole(self, "most", PARTS)
        options.one_of(self, "split", ("train", "test"))
        options.fraction(self, "level")

    def passes(self, train: int, test: int) -> int:
        """See `Measure.passes`; half of what it may take is usual."""
        products = self.steps * (1 + ("adaptive" in self.also)) + self.probes * len(set(self.also) - {"adaptive"})
        return 3 * products * min(self.most, train if self.split == "train" else test)

    def compute(self, context: Context) -> Measurement:
        """See `Measure.compute`."""
        hessian = _hessian(self, context)
        found = self._spectrum(hessian, context.stream("start"), np.ones(hessian.order), self.top)
        values = [self._eigenvalue(hessian, found, i) for i in range(len(found.values))]
        at, density = smoothed(found.first)
        detail: dict[str, Any] = {
            "eigenvalues": values, "least": found.least, "spectrum": {"at": at, "density": density},
            "gradient": hessian.slope(), "weights": hessian.order, "rows": hessian.rows,
        }  # fmt: skip
        if "trace" in self.also:
            detail |= self._trace(hessian, found, [e.pop("parts") for e in values], context.stream("trace"))
        if "adaptive" in self.also:
            scaled = self._spectrum(hessian, context.stream("adaptive"), np.abs(hessian.weights()), 1)
            detail["adaptive"] = {"value": float(scaled.values[0]), "error": float(scaled.errors[0])}
        if "relative" in self.also:
            detail |= self._relative(hessian, detail.get("layers"), context.stream("relative"))
        for e in values:
            e.pop("parts", None)
        context.evaluations += hessian.evaluations
        sharpest = values[0]
        verdict = "negative curvature" if -found.least > SADDLE * max(found.values[0], 0) else "no negative curvature"
        told = _told(sharpest, detail, self.split)
        return Measurement(
            self.quantity, sharpest["value"], sharpest["interval"], verdict, {"explanation": told, **detail}
        )

    def _spectrum(self, hessian: Hessian, generator: np.random.Generator, scale: Floats, top: int) -> Spectrum:
        product = lambda v: scale * hessian(scale * v)  # noqa: E731
        return largest(product, hessian.order, top, self.tolerance, self.steps, generator)

    def _eigenvalue(self, hessian: Hessian, found: Spectrum, place: int) -> dict[str, Any]:
        """An eigenvalue, with an interval for other rows: by the curvature of each part along its direction."""
        value, error = float(found.values[place]), float(found.errors[place])
        _, parts = hessian.by_part(found.vectors[place])
        around = student(parts, self.level)
        low, high = (end - float(parts.mean()) + value for end in around)
        interval = Interval(low - error, high + error, self.level, "student over parts of the rows")
        return {"value": value, "interval": interval, "error": error, "parts": parts}

    def _trace(
        self, hessian: Hessian, found: Spectrum, parts: Sequence[Floats], generator: np.random.Generator
    ) -> dict[str, Any]:
        """The trace: that of what `largest` has tried is known, and the rest is probed; and that of each array of weights.

        Source: Meyer, Musco, Musco and Woodruff 2021, "Hutch++", arXiv:2010.09649.
        """

        def draw() -> Array:
            z = signs(hessian.order, generator)
            along, inside = found.vectors @ z, tried.basis @ z
            turned, by_part = hessian.by_part(z - found.vectors.T @ along)
            rest = z - tried.basis.T @ inside
            turned = turned + found.images.T @ along - tried.images(inside)  # H times the rest
            return np.concatenate([[known + rest @ turned], by_part, hessian.each(z * turned)])

        tried, known = found.first, float(found.first.values.sum())
        draws, probing = probed(draw, self.tolerance, self.probes, self.level)
        value = float(draws[:, 0].mean())
        by_part = student(np.sum(parts, axis=0) + draws[:, 1 : 1 + len(parts[0])].mean(axis=0), self.level)
        half = float(np.hypot(probing.width, by_part.width)) / 2
        trace = {
            "value": value,
            "interval": Interval(value - half, value + half, self.level, "student"),
            "probes": len(draws),
        }
        own = draws[:, 1 + len(parts[0]) :].mean(axis=0) + hessian.each(tried.diagonal())
        layers = [{**layer, "trace": float(t)} for layer, t in zip(hessian.layers(), own, strict=True)]
        return {"trace": trace, "layers": layers}

    def _relative(
        self, hessian: Hessian, layers: Sequence[dict[str, Any]] | None, generator: np.random.Generator
    ) -> dict[str, Any]:
        """Relative flatness by probes that put sums of a layer's own units, with random signs, in the place of each input."""

        def draw() -> Array:
            direction = hessian.mixed(generator)
            own = hessian.each(direction * hessian(direction))
            return np.append(own.sum(), own)

        draws, probing = probed(draw, self.tolerance, self.probes, self.level)
        each = zip(layers or hessian.layers(), draws[:, 1:].mean(axis=0), strict=True)
        told = [{**layer, "relative": float(r) if layer["kernel"] else None} for layer, r in each]
        return {
            "relative": {"value": float(draws[:, 0].mean()), "interval": probing, "probes": len(draws)},
            "layers": told,
        }


def _hessian(asked: Curvature, context: Context) -> Hessian:
    """The Hessian of the loss on so many rows.

    Raises:
        NotApplicable: A model without weights or gradients, or with several answers a row; fewer rows than parts.
    """
    labels, model = context.labels(asked.split), context.model
    if not model.weights or not model.differentiable:
        raise NotApplicable(f"Curvature: {model.name} has no weights that training changes, or no gradient by them")
    if model.anatomy.multilabel or (context.task == "regression" and model.anatomy.width > 1):
        raise NotApplicable(f"Curvature needs one label a row, but {model.name} gives several answers")
    if len(labels) < PARTS:
        raise NotApplicable(f"Curvature needs at least {PARTS} rows, got {len(labels)}")
    rows = context.stream("rows").permutation(len(labels))[: asked.most]
    return Hessian(model, model.prepare(context.data(asked.split).take(rows)), labels[rows])


def _told(sharpest: dict[str, Any], detail: dict[str, Any], split: str) -> str:
    known = {"train": "training", "test": "unseen"}[split]
    where = f"On {counted(detail['rows'], f'{known} row')}, the loss curves by {stated(sharpest['value'], sharpest['interval'])}"
    what = f"{where} in the sharpest of {counted(detail['weights'], 'direction')}"
    if (trace := detail.get("trace")) and trace["value"] > 0:
        top = sum(e["value"] for e in detail["eigenvalues"])
        share = figure(top / trace["value"], percent=True)
        whole = stated(trace["value"], trace["interval"])
        found = len(detail["eigenvalues"])
        held = "the sharpest holds" if found == 1 else f"the sharpest {found} hold"
        what = f"{what}; {held} {share} of all curvature, {whole}"
    least = detail["least"]
    return (
        f"{what}. It curves down by {figure(-least)} in another." if least < -SADDLE * sharpest["value"] else f"{what}."
    )
