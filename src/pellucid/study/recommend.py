"""The function `recommend`: from what an audit found to the recipes worth trying, in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pellucid.core.record import Provenance, Record, Value
from pellucid.core.registry import find
from pellucid.errors import InvalidInput, InvalidOption
from pellucid.improve.recipe import Recipe
from pellucid.report.audit import Audit
from pellucid.report.finding import Finding

WEIGHTS = {"critical": 3, "warning": 2, "note": 1, "good": 0}
"""How much a finding speaks for a recipe that acts on it."""

AUGMENTATIONS = {
    "image": ("RandAugment", {}), "tabular": ("ColumnSwap", {}), "text": ("TokenDeletion", {}), "sequence": ("Jitter", {}),
    "audio": ("SpecAugment", {}),
}  # fmt: skip
"""What disturbs inputs of a kind in ways that labels mostly stand."""


@dataclass(frozen=True)
class Remedial:
    """A recipe, by names and options, that acts on certain findings.

    `expects` is what is known of it, with where from; `price` what it costs; `needs` what the data or model must have.
    """

    name: str
    codes: tuple[str, ...]
    parts: tuple[tuple[str, Mapping[str, Any]], ...]
    expects: str
    price: str
    needs: Callable[[Mapping[str, Any]], bool] = lambda subject: True

    def recipe(self) -> Recipe:
        """The recipe itself."""
        return Recipe(*(find(name).load()(**options) for name, options in self.parts))

    @property
    def sources(self) -> tuple[str, ...]:
        """Keys of the papers of its remedies."""
        return tuple(dict.fromkeys(key for name, _ in self.parts for key in find(name).papers))


def _classes(subject: Mapping[str, Any]) -> bool:
    return subject.get("task") == "classification"


def _real(subject: Mapping[str, Any]) -> bool:
    return subject.get("kind") != "text"


_OVERFIT, _UNSURE = ("PL-GEN-001", "PL-MEM-001"), ("PL-CAL-001", "PL-SEL-001")

TABLE = (
    Remedial(
        "weight decay", _OVERFIT, (("L2", {"strength": 1e-3}),),
        "smaller weights, a smaller gap; try a strength ten times larger and smaller beside it", "nothing",
    ),
    Remedial(
        "temperature", _UNSURE, (("TemperatureScaling", {}),),
        "one number fitted on held-out data took the calibration error of deep networks from 16.5 to 1.3 % (Guo et al. 2017); no "
        "answer changes", "seconds, and held-out data that are then used up", _classes,
    ),
    Remedial(
        "early stopping", _OVERFIT, (("EarlyStopping", {"patience": 5}),),
        "training ends before the gap opens", "less training, and held-out data that are then used up",
    ),
    Remedial(
        "label smoothing", ("PL-LAB-001", "PL-CAL-001"), (("LabelSmoothing", {"amount": 0.1}),),
        "no label is taken for certain (Müller et al. 2019)", "confidence tells right from wrong less well", _classes,
    ),
    Remedial(
        "few inputs", ("PL-EXP-002", "PL-TRU-001"), (("L1", {"strength": 1e-4}),),
        "fewer connections; an account of fewer inputs is easier to check", "some accuracy",
    ),
    Remedial(
        "rare classes", ("PL-PER-002",), (("ClassBalanced", {"beta": 0.999}),),
        "rare classes count as much as common ones (Cui et al. 2019)", "false alarms; probabilities are off until calibrated",
        _classes,
    ),
    Remedial(
        "promised coverage", ("PL-SET-001",), (("ConformalSets", {}),),
        "sets of answers that hold the right one as often as promised, whatever the model is like (Vovk et al. 2005)",
        "held-out data that are then used up; several answers where the model is unsure",
    ),
    Remedial(
        "dropout", _OVERFIT, (("Dropout", {"rate": 0.2}),), "no unit can be counted on; small networks may lose by it",
        "more epochs",
    ),
    Remedial(
        "augmentation", ("PL-GEN-001", "PL-ROB-001", "PL-SHI-001"), (),
        "inputs are disturbed as new ones may be; ask `label_survival` whether labels stand it", "some time a step",
    ),
    Remedial(
        "mixup", ("PL-GEN-001", "PL-CAL-001", "PL-LAB-001"), (("MixUp", {"alpha": 0.2}),),
        "a smaller gap and less harm by wrong labels (Zhang et al. 2018)", "more epochs; answers between classes are less sure",
        _real,
    ),
    Remedial(
        "worst group first", ("PL-SUB-001", "PL-DOM-001"), (("GroupDro", {}), ("L2", {"strength": 1e-2})),
        "the group that loses most counts most, if weights are kept small (Sagawa et al. 2020)",
        "accuracy on the others; the groups of the training data must be given",
    ),
    Remedial(
        "alike features", ("PL-DOM-001", "PL-SHI-001"), (("Coral", {}),),
        "domains look alike to the last layer (Sun and Saenko 2016); under the same way of choosing, it and plain training are "
        "often level (Gulrajani and Lopez-Paz 2021)", "the domains of the training data must be given",
    ),
    Remedial(
        "flat minimum", ("PL-GEN-001", "PL-LAB-001"), (("SharpnessAware", {"rho": 0.05}),),
        "the loss is flat around the weights, and wrong labels are learnt later (Foret et al. 2021)", "twice the time",
    ),
    Remedial(
        "smooth answers", ("PL-ROB-001", "PL-ADV-001"), (("JacobianPenalty", {"strength": 0.01}),),
        "answers change less with the input (Hoffman et al. 2019)", "twice the time",
    ),
    Remedial(
        "ensemble", (*_UNSURE, "PL-ROB-001", "PL-GEN-001"), (("DeepEnsemble", {"members": 5}),),
        "five models have a smaller log loss nearly always, and are surer where they may be (Lakshminarayanan et al. 2017)",
        "five times the training, and five times the work for each answer",
    ),
    Remedial(
        "adversarial training", ("PL-ADV-001",), (("AdversarialTraining", {"radius": 0.05}),),
        "the one remedy that stands strong attacks (Madry et al. 2018); set `radius` to what an attacker may change",
        "accuracy on inputs as they are, and eight times the training", _real,
    ),
)  # fmt: skip
"""What acts on what, in the order in which it is offered where findings speak for it alike: cheap before dear."""

FIRST = {
    "PL-LEA-001": "take the copies out of one side and audit again: until then no number of the model means anything",
    "PL-LEA-002": "find out when that column is written; if after the label is known, leave it out and train again",
    "PL-GEN-002": "it misses what the training rows show: a larger model, longer training or better columns; nothing below helps",
    "PL-LAB-001": "look at the rows that are named, and have the labels mended that are wrong",
    "PL-SHI-001": "find out whether the world differs or the way it is written down; recording is mended, not trained away",
}
"""What comes before any recipe, for findings that training cannot mend."""


@dataclass(frozen=True, eq=False)
class Suggestion(Value):
    """A recipe worth trying.

    Attributes:
        name: What it is called.
        recipe: The recipe.
        codes: The findings that speak for it.
        evidence: What those findings say, sentence by sentence.
        expects: What is known of such a recipe, and from whom.
        price: What it costs.
        sources: Keys of the papers, for `pellucid.core.bibliography`.
    """

    name: str
    recipe: Recipe
    codes: tuple[str, ...]
    evidence: tuple[str, ...]
    expects: str
    price: str
    sources: tuple[str, ...] = ()

    def __str__(self) -> str:
        told = " ".join(self.evidence)
        return f"{self.name}: {self.recipe}\n  for {', '.join(self.codes)}: {told}\n  {self.expects}.\n  Price: {self.price}."


@dataclass(frozen=True, eq=False)
class Recommendation(Record):
    """What to do about an audit's findings.

    Attributes:
        first: (code, what to do) for findings that no training mends; they come before any recipe.
        suggestions: Recipes worth trying, the one that most speaks for first.
        provenance: Of the audit.
    """

    first: tuple[tuple[str, str], ...]
    suggestions: tuple[Suggestion, ...]
    provenance: Provenance = field(default_factory=Provenance)

    @property
    def recipes(self) -> dict[str, Recipe]:
        """Plain training and the recipes by name, as `pl.compare` takes them."""
        return {"plain": Recipe(), **{s.name: s.recipe for s in self.suggestions}}

    def __str__(self) -> str:
        before = [f"First, for {code}: {what}." for code, what in self.first]
        ranked = [f"{i}. {s}" for i, s in enumerate(self.suggestions, 1)]
        return "\n".join([*before, *ranked] or ["Nothing was found that a recipe would mend."])


def recommend(audit: Audit, *, most: int = 6) -> Recommendation:
    """Recipes worth trying on a model, from what its audit found.

    What should be tried first, why, and at what price?

        score of a recipe = sum over the findings that it acts on of  3 (critical), 2 (warning), 1 (note), 0 (good)

    Recipes are listed by their score, and where it is the same the cheaper one first. Those of score 0 are left out.

    Args:
        audit: What `pl.audit` gave.
        most: How many recipes at most, at least 1.

    Raises:
        InvalidInput: Something that is no audit.
        InvalidOption: A `most` below 1.

    Example:
        >>> import pellucid as pl
        >>> from pellucid.report.audit import Audit
        >>> from pellucid.report.finding import Finding
        >>> gap = Finding("PL-GEN-001", "warning", "It does worse on new data", "Gap 8 points [5, 11].")
        >>> found = pl.recommend(Audit({"task": "classification", "kind": "tabular"}, findings=(gap,)), most=2)
        >>> list(found.recipes)
        ['plain', 'weight decay', 'early stopping']

    References:
        Each suggestion names the papers of its remedies.

    Limits:
        The order follows severity, not a prediction of what will help: that is what `pl.compare` measures, on `recipes`.
        Strengths are usual ones, not tuned.
    """
    if not isinstance(audit, Audit):
        raise InvalidInput(f"audit: expected what pl.audit gave, got {type(audit).__name__}")
    if isinstance(most, bool) or not isinstance(most, int) or most < 1:
        raise InvalidOption(f"most: expected a whole number of at least 1, got {most!r}")
    pressing = {f.code: f for f in audit.findings if WEIGHTS[f.severity] > 0}
    first = tuple((code, what) for code, what in FIRST.items() if code in pressing)
    scored = [
        (sum(WEIGHTS[pressing[c].severity] for c in r.codes if c in pressing), r) for r in _offered(audit.subject)
    ]
    ranked = sorted(
        (pair for pair in scored if pair[0]), key=lambda pair: -pair[0]
    )  # sorting keeps the order of the table
    return Recommendation(first, tuple(_suggested(r, pressing) for _, r in ranked[:most]), audit.provenance)


def _offered(subject: Mapping[str, Any]) -> list[Remedial]:
    """What can be used on a model of this kind."""
    found = []
    for remedial in TABLE:
        parts = remedial.parts or ((AUGMENTATIONS.get(subject.get("kind", ""), ("", {}))),)
        if parts[0][0] and remedial.needs(subject):
            found.append(remedial if remedial.parts else _with(remedial, parts))
    return found


def _with(remedial: Remedial, parts: tuple[tuple[str, Mapping[str, Any]], ...]) -> Remedial:
    return Remedial(remedial.name, remedial.codes, parts, remedial.expects, remedial.price, remedial.needs)


def _suggested(remedial: Remedial, pressing: Mapping[str, Finding]) -> Suggestion:
    codes = tuple(c for c in remedial.codes if c in pressing)
    evidence = tuple(pressing[c].evidence for c in codes)
    return Suggestion(
        remedial.name, remedial.recipe(), codes, evidence, remedial.expects, remedial.price, remedial.sources
    )
