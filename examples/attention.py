"""Six transformers, six kinds of data: train each, read what it attends to, ask whether that explains it, write a report.

    python examples/attention.py                 every subject whose data are there
    python examples/attention.py tones heart     some of them

Tones and shapes are made by the package, so that it is known which part of each decides; for the others see loaders.py.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import loaders
import numpy as np

import pellucid as pl
from pellucid.core.numbers import figure, ranged
from pellucid.core.resampling import student
from pellucid.report.gather import baseline
from pellucid.training import fit, fresh

SMALL = {"depth": 1, "pool": "attention", "dropout": 0.2}
"""One block, and attention that pools: the last attention is over the parts of the input, and has one query."""

ROWS = 48
"""Test rows that the methods are compared on."""


@dataclass(frozen=True)
class Subject:
    """Data, the transformer for them, for how many epochs it learns, and what decides each test row, where that is known."""

    train: pl.Dataset
    test: pl.Dataset
    network: Callable[[], Any]
    epochs: int
    cause: Any = None


def text() -> Subject:
    """Film reviews: is it positive?"""
    train, test = loaders.sst2()
    length, words = train.x.shape[1], len(train.vocabulary or ())
    return Subject(train, test, lambda: pl.models.text_transformer(length, words, 2, **SMALL), epochs=1)


def ecg() -> Subject:
    """Heartbeats: is it a normal one?"""
    return Subject(
        *loaders.ecg5000(), lambda: pl.models.sequence_transformer((140, 1), 2, patch=10, **SMALL), epochs=40
    )


def heart() -> Subject:
    """Patients: has a coronary vessel narrowed?"""
    train, test = loaders.heart()

    def network() -> Any:
        scale = keras.layers.Normalization(mean=train.x.mean(0), variance=train.x.var(0))
        return keras.Sequential(
            [keras.Input((13,)), scale, pl.models.tabular_transformer(13, 2, **SMALL)], name="heart"
        )

    return Subject(train, test, network, epochs=15)


def signs() -> Subject:
    """Traffic signs: which of eight?"""

    def network() -> Any:
        shift = keras.layers.RandomTranslation(0.1, 0.1, seed=0)
        vit = pl.models.vision_transformer((32, 32, 3), 8, patch=4, **SMALL)
        return keras.Sequential([keras.Input((32, 32, 3)), shift, vit], name="signs")

    return Subject(*loaders.gtsrb(), network, epochs=30)


def tones() -> Subject:
    """Sounds: does the tone rise?"""
    made, patch = pl.data.tones(700, seed=0), (8, 8)
    return planted(made, 500, lambda: pl.models.audio_transformer((64, 32), 2, patch, **SMALL), 10, patch)


def shapes() -> Subject:
    """Videos: which way does the shape move?"""
    made, patch = pl.data.moving_shapes(3200, seed=0), (2, 4, 4)
    return planted(made, 3000, lambda: pl.models.video_transformer((12, 16, 16, 1), 4, patch, **SMALL), 12, patch)


def planted(made: Any, count: int, network: Callable[[], Any], epochs: int, patch: tuple[int, ...]) -> Subject:
    """Data with a known cause: so many to learn from, and the patches of the others that hold a part of their cause."""
    train, test = made.take(slice(0, count)), made.take(slice(count, None))
    cause = test.cause
    for axis, size in enumerate(patch, start=1):
        held = np.logical_or.reduceat(cause, np.arange(0, cause.shape[axis], size), axis)
        cause = np.repeat(held, size, axis)
    return Subject(train.data, test.data, network, epochs, cause)


SUBJECTS = {"text": text, "ecg": ecg, "heart": heart, "signs": signs, "tones": tones, "shapes": shapes}


def trained(subject: Subject) -> Any:
    """The wrapped model after its epochs."""

    def build() -> Any:
        net, loss = subject.network(), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        net.compile(keras.optimizers.Adam(3e-3), loss, jit_compile=False)
        return net

    net = fresh(build, seed=0)
    fit(net, subject.train, settings={"epochs": subject.epochs, "batch_size": 64}, seed=0)
    return pl.wrap(net)


def compare(model: Any, subject: Subject) -> None:
    """Say of each method how it does against random rankings, and how much of it lies where the cause was planted."""
    picked = np.sort(np.random.default_rng(0).permutation(len(subject.test))[:ROWS])
    rows, nothing = subject.test.take(picked), baseline(subject.train)
    print(pl.attention(model, rows))
    for method in (pl.AttentionWeights(), pl.GradientAttention(), pl.IntegratedGradients(baseline=nothing)):
        e = pl.explain(model, rows, method)
        checks = pl.verify(model, e, [pl.Deletion(baseline=nothing), pl.Insertion(baseline=nothing)])
        told = [f"{m.name} {ranged(m.value, m.interval)}" for m in checks]
        if subject.cause is not None:
            size, cause = np.abs(e.values), subject.cause[picked]
            axes = tuple(range(1, size.ndim))
            share = (size * cause).sum(axes) / np.maximum(size.sum(axes), 1e-12)
            chance = figure(float(cause.mean()), percent=True)
            told.append(f"on the cause {ranged(float(share.mean()), student(share))} (by chance {chance})")
        print(f"  {type(method).__name__}: {'; '.join(told)}")


def show(name: str, out: Path) -> None:
    """Train, read, verify and audit one subject."""
    subject, clock = SUBJECTS[name](), time.perf_counter()
    print(f"\n{name}. {SUBJECTS[name].__doc__} {len(subject.train)} to learn from, {len(subject.test)} held out")
    model = trained(subject)
    print(f"trained in {time.perf_counter() - clock:.0f} s")
    compare(model, subject)
    audit = pl.audit(model, train=subject.train, test=subject.test)
    for finding in audit.findings:
        if finding.code in ("PL-PER-001", "PL-TRU-001", "PL-ATT-001"):
            print(f"  {finding.code} {finding.title}. {finding.evidence}")
    print(f"  {audit.save(out / name) / 'index.html'}, after {time.perf_counter() - clock:.0f} s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("subjects", nargs="*", default=list(SUBJECTS), metavar="subject", help=", ".join(SUBJECTS))
    parser.add_argument("--out", type=Path, default=Path("reports/attention"), help="where the reports go")
    asked = parser.parse_args()
    if unknown := set(asked.subjects) - set(SUBJECTS):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(SUBJECTS)}")
    for name in asked.subjects:
        try:
            show(name, asked.out)
        except loaders.Absent as reason:
            print(f"\n{name} is left out: {reason}")
