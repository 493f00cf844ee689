"""Pellucid: explain, verify, measure and improve a deep model, and say how sure every number is.

    import pellucid as pl

    model = pl.wrap(keras_model)
    explanation = pl.explain(model, x, pl.IntegratedGradients(tolerance=0.02))
    checks = pl.verify(model, explanation, [pl.Deletion(), pl.ParameterRandomization()])
    numbers = pl.measure(model, [pl.Gap(), pl.CalibrationError()], train=train, test=test)

Names are loaded when they are first used, so importing the package costs next to nothing.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pellucid import errors
from pellucid.core.registry import ENTRIES

if TYPE_CHECKING:
    from pellucid.core.baselines import Background as Background
    from pellucid.core.baselines import Blurred as Blurred
    from pellucid.core.baselines import MaskToken as MaskToken
    from pellucid.core.dataset import Dataset as Dataset
    from pellucid.core.members import members as members
    from pellucid.core.model import Model as Model
    from pellucid.core.model import wrap as wrap
    from pellucid.core.record import load as load
    from pellucid.core.target import Margin as Margin
    from pellucid.core.target import Unit as Unit
    from pellucid.explain.attention.reading import AttentionReading as AttentionReading
    from pellucid.explain.attention.reading import attention as attention
    from pellucid.explain.base import Explanation as Explanation
    from pellucid.explain.base import explain as explain
    from pellucid.explain.disagreement import Disagreement as Disagreement
    from pellucid.explain.disagreement import disagreement as disagreement
    from pellucid.improve.augmentation.survival import label_survival as label_survival
    from pellucid.improve.conformal import Conformal as Conformal
    from pellucid.improve.recipe import Recipe as Recipe
    from pellucid.improve.run import improve as improve
    from pellucid.improve.size import Size as Size
    from pellucid.improve.size import size_of as size_of
    from pellucid.improve.threshold import Decision as Decision
    from pellucid.measure.base import Measurement as Measurement
    from pellucid.measure.base import default_measures as default_measures
    from pellucid.measure.base import measure as measure
    from pellucid.report.audit import Audit as Audit
    from pellucid.report.audit import audit as audit
    from pellucid.study.compare import compare as compare
    from pellucid.study.comparison import Comparison as Comparison
    from pellucid.study.faithfulness import Faithfulness as Faithfulness
    from pellucid.study.recommend import Recommendation as Recommendation
    from pellucid.study.recommend import recommend as recommend
    from pellucid.verify.base import verify as verify

__version__ = "0.1.0"

_COMPOSITES = ("Composite", "EpsilonAlpha2Beta1", "EpsilonAlpha2Beta1Flat", "EpsilonGammaBox", "EpsilonPlusFlat")
_RULES = ("AlphaBeta", "Epsilon", "Flat", "Gamma", "WSquare", "ZBox", "ZPlus")

_HOMES = {
    "Audit": "report.audit", "Comparison": "study.comparison", "Dataset": "core.dataset", "Explanation": "explain.base",
    "Faithfulness": "study.faithfulness", "Recommendation": "study.recommend", "recommend": "study.recommend",
    "Margin": "core.target",
    "Measurement": "core.measurement", "Model": "core.model", "Recipe": "improve.recipe", "Unit": "core.target",
    "AttentionReading": "explain.attention.reading", "attention": "explain.attention.reading",
    "audit": "report.audit", "compare": "study.compare", "default_measures": "measure.base",
    "explain": "explain.base", "improve": "improve.run", "label_survival": "improve.augmentation.survival",
    "Disagreement": "explain.disagreement", "disagreement": "explain.disagreement", "members": "core.members",
    "Conformal": "improve.conformal", "Decision": "improve.threshold", "Size": "improve.size",
    "size_of": "improve.size",
    "load": "core.record", "measure": "measure.base", "verify": "verify.base", "wrap": "core.model",
    **dict.fromkeys(("Background", "Blurred", "MaskToken"), "core.baselines"),
    **dict.fromkeys(_COMPOSITES, "explain.propagation.composites"), **dict.fromkeys(_RULES, "explain.propagation.rules"),
    **{entry.name: entry.module.removeprefix("pellucid.") for entry in ENTRIES},
}  # fmt: skip
_MODULES = ("data", "layers", "models", "plot", "testing")

__all__ = ["errors", *sorted(_HOMES), *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(f"pellucid.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    if name in _MODULES:
        return importlib.import_module(f"pellucid.{name}")
    raise AttributeError(f"pellucid has no name {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


class _Package(ModuleType):
    """Keeps `pellucid.explain` the verb: importing the folder of that name would put the module in its place."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
