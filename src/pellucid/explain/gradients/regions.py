"""Attributions of regions: a picture's segments, ranked by what their pixels count for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pellucid.core import options
from pellucid.errors import InvalidOption, NotApplicable
from pellucid.explain.activation.grids import calls_of, first_in_input
from pellucid.explain.base import Attribution, Method, Question, map_norm, relative
from pellucid.explain.gradients.path import IntegratedGradients
from pellucid.shapes import Array, Floats

GRID = (224, 224)
"""Pixels that images are segmented at, the published ones: what a scale means depends on them."""

SMOOTHING = 0.8
"""Standard deviation, in pixels of that grid, of the blur before segmentation."""


@dataclass(frozen=True, eq=False)
class Xrai(Method):
    """Which regions of the image count most per pixel?

    The image is cut into segments at several scales, overlapping ones. From nothing, the picture is put together: the
    segment whose pixels, as far as they are not there yet, count most on average is added next. `values` (B, H, W, 1): every
    pixel has the mean attribution of the pixels that joined with it, so that regions keep the sum of their pixels, and
    the whole that of the method: `score(x) - score(b)`, if it promises that.

    Segments are those of Felzenszwalb and Huttenlocher, of the image at 224 x 224 pixels with values from -1 to 1, made
    wider by `dilation`; all sizes are in pixels of that grid, and scaled to the image's own.

    Args:
        method: What gives every pixel's attribution, summed over channels: a method whose values have the image's shape.
        extremes: Whether to take the mean of the attributions from two baselines, the image's least and its greatest value,
            in place of the method's own baseline: black areas can then count as well as white ones.
        scales: Scales of segmentation, each above 0: the larger, the larger the segments.
        least: Pixels that a segment adds at least; what is left at the end is one region.
        smallest: Pixels of the smallest segment.
        dilation: Pixels by which segments are made wider, so that edges belong to both sides.

    Raises:
        InvalidOption: Something that is no method, or a method without a baseline where `extremes` is asked for.
        NotApplicable: Examples that are no images (B, H, W, C).

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> x = np.zeros((1, 32, 32, 1)); x[0, 4:16, 4:16] = 1
        >>> f = lambda x: keras.ops.mean(x[:, 4:16, 4:16], axis=(1, 2, 3))
        >>> e = pl.explain(f, x, pl.Xrai(extremes=False, dilation=0))
        >>> (e.values[0, 5, 5, 0] * 144).round(3), e.values[0, 25, 25, 0].round(3)
        (np.float32(1.0), np.float32(0.0))

    References:
        Kapishnikov, Bolukbasi, Viégas and Terry 2019, "XRAI: better attributions through regions", arXiv:1906.02825.
        Segments: Felzenszwalb and Huttenlocher 2004, "Efficient graph-based image segmentation",
        doi:10.1023/B:VISI.0000022288.19776.77.

    Limits:
        Regions are cut out by colour alone, before the model is asked: an object that looks like its surroundings is never
        one. A pixel's value is its region's mean. The authors take the largest of a pixel's channels where this takes their
        sum, without which nothing adds up. `error` is for the regions as they are: with other attributions they could differ.
    """

    method: Method = field(default_factory=IntegratedGradients)
    extremes: bool = True
    scales: tuple[float, ...] = (50.0, 100.0, 150.0, 250.0, 500.0, 1200.0)
    least: int = 50
    smallest: int = 150
    dilation: int = 5

    def __post_init__(self) -> None:
        options.instance(self, "method", Method, "a method such as pl.IntegratedGradients()")
        options.one_of(self, "extremes", (True, False))
        for name, lowest in (("least", 1), ("smallest", 1), ("dilation", 0)):
            options.whole(self, name, lowest)
        if not self.scales or not all(isinstance(s, int | float) and 0 < s < float("inf") for s in self.scales):
            raise InvalidOption(f"Xrai.scales: expected one or more numbers above 0, got {self.scales!r}")
        if self.extremes and not hasattr(self.method, "baseline"):
            raise InvalidOption(
                f"Xrai.method: {type(self.method).__name__} has no baseline to put the extremes in; use extremes=False"
            )

    @property
    def contributes(self) -> bool:
        """As the underlying method's."""
        return self.method.contributes

    def attribute(self, question: Question) -> Attribution:
        """See `Method.attribute`."""
        first, found = _channels_first(question), self._pixels(question)
        values = found.values[0]
        if values.shape != question.inputs[0].shape or found.hidden:
            raise NotApplicable(
                f"Xrai needs a method with a value for every pixel, {type(self.method).__name__} has none"
            )
        images, maps = (np.moveaxis(a, 1, -1) if first else a for a in (question.inputs[0], values))
        whole = np.stack([self._regions(i, m.sum(-1, dtype=float)) for i, m in zip(images, maps, strict=True)])
        joined = np.expand_dims(whole.astype(np.float32), 1 if first else -1)
        error = None
        if found.error is not None:
            error = relative(found.error * map_norm(found.values), map_norm([joined]))
        return replace(found, values=(joined,), error=error, standard_error=None, samples=None)

    def _pixels(self, question: Question) -> Attribution:
        """What the underlying method answers, from both extremes if asked for."""
        if not self.extremes:
            return self.method.attribute(question)
        x = question.inputs[0]
        flatly = [np.broadcast_to(of(x, axis=(1, 2, 3), keepdims=True), x.shape) for of in (np.min, np.max)]
        baselines = [dict.fromkeys(question.model.names, b) if question.model.names else b for b in flatly]
        method: Any = self.method
        return _mean([replace(method, baseline=b).attribute(question) for b in baselines])

    def _regions(self, image: Array, pixels: Floats) -> Floats:
        """An image's pixels (H, W) with the mean of those they joined with."""
        masks = np.array([m.ravel() for m in self._segments(image)])
        values, every = pixels.ravel(), np.zeros(pixels.size)
        least = max(1, round(self.least * pixels.size / (GRID[0] * GRID[1])))
        missing, counts, sums = np.ones(pixels.size, bool), masks.sum(1), masks @ values
        while True:
            density = np.divide(sums, counts, out=np.full(len(masks), -np.inf), where=counts >= least)
            best = int(density.argmax())
            if density[best] == -np.inf:
                break
            new = np.flatnonzero(masks[best] & missing)
            every[new], missing[new] = values[new].mean(), False
            counts, sums = counts - masks[:, new].sum(1), sums - masks[:, new] @ values[new]
        if missing.any():
            every[missing] = values[missing].mean()
        return every.reshape(pixels.shape)

    def _segments(self, image: Array) -> Iterator[Array]:
        """Masks (H, W) of the segments of all scales."""
        from skimage.segmentation import felzenszwalb
        from skimage.transform import resize

        low, high = image.min(), image.max()
        scaled = 2.0 * (image - low) / (high - low) - 1 if high > low else np.zeros(image.shape)
        large = resize(scaled, GRID, order=3, mode="edge", anti_aliasing=True, preserve_range=True)
        rows, columns = (
            ((np.arange(own) + 0.5) * size / own).astype(int) for own, size in zip(image.shape[:2], GRID, strict=True)
        )
        for scale in self.scales:
            labels = felzenszwalb(large, scale=scale, sigma=SMOOTHING, min_size=self.smallest, channel_axis=-1)
            for mask in _wider(labels, self.dilation):
                yield mask[np.ix_(rows, columns)]


def _wider(labels: Array, distance: int) -> Iterator[Array]:
    """A mask of every label, with all that is within a distance of it."""
    from scipy.ndimage import distance_transform_edt, find_objects

    for number, place in enumerate(find_objects(labels + 1), start=0):
        if place is None:
            continue
        around = tuple(slice(max(0, s.start - distance), s.stop + distance) for s in place)
        mask = np.zeros(labels.shape, bool)
        away: Any = distance_transform_edt(labels[around] != number)
        mask[around] = away <= distance
        yield mask


def _channels_first(question: Question) -> bool:
    """Whether channels come before the image's axes.

    Raises:
        NotApplicable: Not one input of images.
    """
    inputs = question.inputs
    if len(inputs) != 1 or inputs[0].ndim != 4 or inputs[0].dtype.kind != "f":
        shapes = ", ".join(f"{a.dtype} {a.shape}" for a in inputs)
        raise NotApplicable(
            f"Xrai cuts images (B, H, W, C) into regions, got {shapes}; for other data use its method alone"
        )
    if not (question.model.is_keras or question.model.is_torch):
        return False
    return first_in_input(question.model, calls_of(question.model, inputs), inputs[0].shape[1:])


def _mean(found: list[Attribution]) -> Attribution:
    """The mean of two answers; its error at most the mean of theirs."""
    values = tuple(np.mean(maps, axis=0) for maps in zip(*(f.values for f in found), strict=True))
    errors = [f.error * map_norm(f.values) for f in found if f.error is not None]
    starts = [f.baseline_output for f in found if f.baseline_output is not None]
    return replace(
        found[0], values=values, error=relative(np.mean(errors, axis=0), map_norm(values)) if errors else None,
        baseline=None, baseline_output=np.mean(starts, axis=0) if starts else None,
        evaluations=np.sum([f.evaluations for f in found], axis=0),
        converged=np.all([f.converged for f in found], axis=0),
    )  # fmt: skip
