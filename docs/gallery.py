"""Every explain method on every kind of data, drawn on one page: `python docs/gallery.py --out reports/gallery`."""

from __future__ import annotations

import argparse
import base64
import dataclasses
import hashlib
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from subjects import SUBJECTS, Absent, Subject

import pellucid as pl
from pellucid.core.numbers import SPACE, THIN, count, figure, span, sureness
from pellucid.core.registry import Entry, entries
from pellucid.core.resampling import wilson
from pellucid.errors import PellucidError
from pellucid.plot import theme

FAMILIES = {
    "gradients": ("Gradients", "Slopes of the score, at one point or gathered along a path."),
    "propagation": ("Propagation", "The score handed back layer by layer, by a rule for each kind of layer."),
    "activation": ("Layers read", "What a layer puts out, weighted and folded back onto the input."),
    "perturbation": ("Perturbation", "The score with parts of the input hidden."),
    "attention": ("Attention", "What the heads of a transformer attended to. It is another model, for the same data:"),
}
WIDTH = {"image": 220, "text": 490, "tabular": 490}
"""Width of a picture by kind of data, in pixels; others, and what units of a layer hold, take the room there is."""

BUDGET = {"PermutationShapley": 6000, "ExpectedGradients": 1024}
"""Most evaluations of methods that would go on for long on a slow machine."""


@dataclass(frozen=True)
class Card:
    """A method on one example: its picture, or why it refuses."""

    name: str
    question: str
    family: str
    picture: Any = None
    cost: str = ""
    refusal: str = ""

    @property
    def svg(self) -> Any:
        """The picture in the colours of the page."""
        from markupsafe import Markup

        return Markup(self.picture.svg(None))


@dataclass(frozen=True)
class Part:
    """A subject with its cards."""

    name: str
    subject: Subject
    lead: str
    asked: str
    attending: str
    shown: Any
    cards: tuple[Card, ...] = field(default=())

    @property
    def families(self) -> Iterator[tuple[str, str, list[Card], dict[str, list[str]]]]:
        """Title, line, cards and refusals (names by reason) of each family of methods."""
        for key, (title, line) in FAMILIES.items():
            own = [card for card in self.cards if card.family == key]
            refused: dict[str, list[str]] = {}
            for card in own:
                if card.refusal:
                    refused.setdefault(card.refusal, []).append(card.name)
            line = f"{line} {self.attending}" if key == "attention" else line
            yield title, line, [card for card in own if card.picture], refused


def methods(s: Subject) -> Iterator[tuple[str, Entry, dict[str, Any]]]:
    """Every registered method with its options for a subject, and the variants that look different."""
    for entry in entries("explain"):
        given = options(entry, s)
        yield entry.name, entry, given
        for name, more in variants(entry.name, s):
            yield f"{entry.name}, {name}", entry, given | more


def options(entry: Entry, s: Subject) -> dict[str, Any]:
    """Options that a subject decides: baseline, background, layer, sizes of what is hidden."""
    fields = {f.name: f for f in dataclasses.fields(entry.load())}
    conv, dense = s.layers
    given = {"baseline": s.nothing[0], "background": s.background}
    if "layer" in fields and fields["layer"].default is dataclasses.MISSING:
        given["layer"] = conv or dense
    if entry.name in BUDGET:
        given["max_evaluations"] = BUDGET[entry.name]
    if s.test.kind == "tabular":
        given["noise"] = 0.15 * np.ptp(s.train.x, axis=0)  # each column in its own unit
    if s.test.kind in ("image", "sequence"):
        size = max(1, s.test.x.shape[1] // 14)
        given |= {"window": size, "stride": size, "patch": size}
    return {name: value for name, value in given.items() if name in fields}


def variants(name: str, s: Subject) -> Iterator[tuple[str, dict[str, Any]]]:
    """Options of a method that give another picture, and what to call it."""
    kind, (conv, dense) = s.test.kind, s.layers
    low, high = float(s.train.x.min()), float(s.train.x.max())
    if name == "LayerRelevance":
        yield "Epsilon", {"rules": pl.Epsilon()}
        if conv:
            yield "EpsilonAlpha2Beta1", {"rules": pl.EpsilonAlpha2Beta1()}
        if conv and kind != "text":
            yield "EpsilonGammaBox", {"rules": pl.EpsilonGammaBox(low=low, high=high)}
    if name == "DeepLift":
        yield "reveal-cancel", {"rule": "reveal_cancel"}
    if name == "IntegratedGradients" and kind == "image":
        yield "blurred baseline", {"baseline": pl.Blurred(4.0)}
    if name == "SmoothGrad":
        yield "squared", {"statistic": "squared"}
        yield "of IntegratedGradients", {"method": pl.IntegratedGradients(baseline=s.nothing[0], tolerance=0.1)}
    if name == "ExcitationBackprop":
        yield "contrastive", {"contrastive": True}
    if name == "GradCam" and kind == "image":
        yield "the layer's own grid", {"resize": False}
    if name in ("Conductance", "LayerActivation") and conv:
        yield "dense layer", {"layer": dense}


def asked(s: Subject, name: str, entry: Entry, given: dict[str, Any]) -> Card:
    """One card: the method asked, drawn, and told in a line; or its reason for refusing."""
    print(f"  {name}", flush=True)
    family = entry.module.split(".")[2]
    question = (entry.load().__doc__ or "").strip().splitlines()[0]
    model = s.attending if family == "attention" else s.model
    try:
        found = pl.explain(model, s.example, entry.load()(**given), seed=0, progress=False)
    except PellucidError as reason:
        return Card(name, question, family, refusal=re.sub(r"^\w+: ", "", str(reason)).replace(entry.name, "it"))
    return Card(name, question, family, drawn(s, found), cost(found))


def drawn(s: Subject, found: Any) -> Any:
    """The picture of an explanation on a card."""
    width = WIDTH.get(s.test.kind or "", 310)
    if s.test.kind == "image" and found.hidden and getattr(found.method, "resize", None) is None:
        width = 480
    return pl.plot.attribution(found, 0, top=8, width=width, tokens=s.tokens, beside=False)


def cost(found: Any) -> str:
    """What the values are, how exact they are, and what they took."""
    parts = [f"layer {found.layer}"] if found.layer else []
    parts += [] if found.method.contributes else ["not shares of the score"]
    if found.error is not None:
        early = "" if found.converged[0] else ", stopped by its budget"
        parts.append(f"map within {_bounded(float(found.error[0]), 1e-4, percent=True)}{early}")
    if found.gap is not None:
        parts.append(f"sum off by {_bounded(float(found.gap[0]), 1e-4)}")
    spent = int(found.evaluations[0])
    parts.append(
        f"{count(spent)} evaluation{'s' if spent != 1 else ''} in {_bounded(found.provenance.seconds, 0.1)}{SPACE}s"
    )
    return " · ".join(parts)


def _bounded(number: float, least: float, *, percent: bool = False) -> str:
    """A number with two digits, or that it is below the least one worth telling."""
    if number < least:
        return f"under {100 * least:g}{THIN}%" if percent else f"under {least:g}"
    text = f"{100 * number if percent else number:#.2g}".rstrip(".")
    return f"{text}{THIN}%" if percent else text


def part(name: str) -> Part:
    """A subject, trained and asked by every method."""
    s = SUBJECTS[name]()
    question = f"{said_of(s, s.model)} Methods that compare with “nothing” compare with {s.nothing[1]}."
    cards = tuple(asked(s, *method) for method in methods(s))
    lead = f"{s.source} The model: {scored(s, s.model)} of {count(len(s.test))} held-out examples."
    attending = f"{scored(s, s.attending)}. {said_of(s, s.attending)}"
    return Part(name, s, lead, question, attending, shown(s), cards)


def scored(s: Subject, model: Any) -> str:
    """How large a model is, and how often it is right."""
    right = int((model.probabilities(s.test).argmax(1) == s.test.y).sum())
    share, ends = right / len(s.test), wilson(right, len(s.test))
    return (
        f"{count(model.keras.count_params())} numbers, right on {figure(share, ends, percent=True)} "
        f"(95{THIN}% interval {span(ends, percent=True)})"
    )


def said_of(s: Subject, model: Any) -> str:
    """What a model says of the example."""
    said = model.probabilities(s.example)[0]
    label = int(said.argmax())
    rightly = "rightly" if label == s.test.y[s.row] else "wrongly"
    return f"It says “{s.test.label(label)}”, {rightly}, and is {sureness(float(said[label]))} sure."


def shown(s: Subject) -> Any:
    """The example itself, as a picture; None for a table or a text, which every card shows."""
    from markupsafe import Markup

    from pellucid.plot.heat import grey
    from pellucid.plot.scene import Picture, Raster

    if s.test.kind != "image":
        return None
    return Markup(
        Picture(220, 220, (Raster(1, 1, 218, 218, grey(s.example.x[0])),), f"{s.title}, as the model saw it").svg(None)
    )


def page(parts: list[Part], skipped: list[str]) -> str:
    """The page as HTML; all text is escaped."""
    import jinja2
    from markupsafe import Markup

    template = (Path(__file__).parent / "gallery.html.j2").read_text(encoding="utf-8")
    script = _asset("theme.js")
    style = _asset("style.css").replace("{{ font }}", theme.FONT).replace("{{ serif }}", theme.SERIF)
    surroundings = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return surroundings.from_string(template).render(
        parts=parts,
        skipped=skipped,
        version=pl.__version__,
        style=Markup(style),
        script=Markup(script),
        light=Markup(theme.variables("light")),
        dark=Markup(theme.variables("dark")),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _asset(name: str) -> str:
    return (files("pellucid.report") / "templates" / name).read_text(encoding="utf-8")


def main() -> int:
    """Build the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("reports/gallery"), help="folder of the page")
    parser.add_argument("--only", nargs="+", choices=SUBJECTS, default=list(SUBJECTS), help="subjects to show")
    chosen = parser.parse_args()
    parts, skipped = [], []
    for name in chosen.only:
        print(name, flush=True)
        try:
            parts.append(part(name))
        except Absent as reason:
            skipped.append(f"{name} is left out: {reason}")
            print(f"  left out: {reason}")
    chosen.out.mkdir(parents=True, exist_ok=True)
    file = chosen.out / "index.html"
    file.write_text(page(parts, skipped), encoding="utf-8")
    print(file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
