"""What there is: one line for every method, measure and remedy.

The command line, the report, the public names and the shared tests all read this table, so a new method is its source
file, its test file, one line here and one entry in the bibliography.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from pellucid.errors import UnknownName


class Entry(NamedTuple):
    """A public class: its name, the verb it belongs to, the module that defines it, keys of its papers."""

    name: str
    verb: str
    module: str
    papers: tuple[str, ...] = ()

    def load(self) -> type:
        """Import the class."""
        return getattr(importlib.import_module(self.module), self.name)


_E, _V, _M, _I = "pellucid.explain", "pellucid.verify", "pellucid.measure", "pellucid.improve"

ENTRIES = (
    Entry("Gradient", "explain", f"{_E}.gradients.local", ("simonyan2014",)),
    Entry("GradientInput", "explain", f"{_E}.gradients.local", ("shrikumar2016", "ancona2018")),
    Entry("IntegratedGradients", "explain", f"{_E}.gradients.path", ("sundararajan2017", "fejer1933")),
    Entry("GuidedIntegratedGradients", "explain", f"{_E}.gradients.guided", ("kapishnikov2021",)),
    Entry("BlurIntegratedGradients", "explain", f"{_E}.gradients.blur", ("xu2020",)),
    Entry("DiscretizedIntegratedGradients", "explain", f"{_E}.gradients.discretized", ("sanyal2021",)),
    Entry("ImportantDirection", "explain", f"{_E}.gradients.direction", ("yang2023",)),
    Entry("FullGradient", "explain", f"{_E}.gradients.full", ("srinivas2019",)),
    Entry("Xrai", "explain", f"{_E}.gradients.regions", ("kapishnikov2019", "felzenszwalb2004")),
    Entry("ExpectedGradients", "explain", f"{_E}.gradients.expected", ("erion2021", "lundberg2017")),
    Entry("Conductance", "explain", f"{_E}.gradients.inside", ("dhamdhere2019",)),
    Entry("InternalInfluence", "explain", f"{_E}.gradients.inside", ("leino2018",)),
    Entry("SmoothGrad", "explain", f"{_E}.gradients.noise", ("smilkov2017", "adebayolocal2018", "hooker2019")),
    Entry(
        "LayerRelevance",
        "explain",
        f"{_E}.propagation.relevance",
        (
            "bach2015",
            "montavon2017",
            "montavon2019",
            "andeol2021",
            "lapuschkin2019",
            "achtibat2024",
            "ali2022",
            "arras2017",
            "arras2019",
        ),
    ),
    Entry("DeepLift", "explain", f"{_E}.propagation.deeplift", ("shrikumar2017", "lundberg2017")),
    Entry("DeepShap", "explain", f"{_E}.propagation.deepshap", ("lundberg2017", "shrikumar2017")),
    Entry("GuidedBackprop", "explain", f"{_E}.propagation.rectifiers", ("springenberg2015",)),
    Entry("Deconvolution", "explain", f"{_E}.propagation.rectifiers", ("zeiler2014",)),
    Entry("ExcitationBackprop", "explain", f"{_E}.propagation.excitation", ("zhang2016",)),
    Entry("GradCam", "explain", f"{_E}.activation.cams", ("selvaraju2017", "zhou2016")),
    Entry("GradCamPlusPlus", "explain", f"{_E}.activation.cams", ("chattopadhay2018",)),
    Entry("XGradCam", "explain", f"{_E}.activation.cams", ("fu2020",)),
    Entry("LayerCam", "explain", f"{_E}.activation.cams", ("jiang2021",)),
    Entry("HiResCam", "explain", f"{_E}.activation.cams", ("draelos2020",)),
    Entry("GuidedGradCam", "explain", f"{_E}.activation.guided", ("selvaraju2017",)),
    Entry("EigenCam", "explain", f"{_E}.activation.readings", ("muhammad2020",)),
    Entry("FeatureExplanationMap", "explain", f"{_E}.activation.readings", ("fuad2020",)),
    Entry("ScoreCam", "explain", f"{_E}.activation.scores", ("wang2020",)),
    Entry("AblationCam", "explain", f"{_E}.activation.scores", ("desai2020",)),
    Entry("LayerActivation", "explain", f"{_E}.activation.readings", ("zeiler2014",)),
    Entry("AttentionWeights", "explain", f"{_E}.attention.weights", ("bahdanau2015", "jain2019")),
    Entry("AttentionRollout", "explain", f"{_E}.attention.rollout", ("abnar2020",)),
    Entry("AttentionFlow", "explain", f"{_E}.attention.flow", ("abnar2020",)),
    Entry("GradientAttention", "explain", f"{_E}.attention.gradient", ("chefer2021",)),
    Entry("ValueWeightedAttention", "explain", f"{_E}.attention.values", ("kobayashi2020",)),
    Entry("ValueZeroing", "explain", f"{_E}.attention.zeroing", ("mohebbi2023",)),
    Entry("Occlusion", "explain", f"{_E}.perturbation.occlusion", ("zeiler2014",)),
    Entry("PermutationShapley", "explain", f"{_E}.perturbation.shapley", ("shapley1953", "castro2009", "mitchell2022")),
    Entry("Deletion", "verify", f"{_V}.faithfulness", ("petsiuk2018", "samek2017")),
    Entry("Insertion", "verify", f"{_V}.faithfulness", ("petsiuk2018", "samek2017")),
    Entry("EffectiveComplexity", "verify", f"{_V}.complexity", ("nguyen2020",)),
    Entry("ParameterRandomization", "verify", f"{_V}.randomization", ("adebayo2018", "hedstrom2024")),
    Entry("AttentionAgreement", "verify", f"{_V}.attention.agreement", ("jain2019", "kendall1945")),
    Entry("AttentionPermutation", "verify", f"{_V}.attention.permutation", ("jain2019",)),
    Entry("AdversarialAttention", "verify", f"{_V}.attention.adversary", ("jain2019", "wiegreffe2019", "lin1991")),
    Entry("UniformAttention", "verify", f"{_V}.attention.uniform", ("wiegreffe2019",)),
    Entry(
        "AttentionFaithfulness", "verify", f"{_V}.attention.faithfulness", ("jain2019", "wiegreffe2019", "jacovi2020")
    ),
    Entry("Performance", "measure", f"{_M}.performance", ("wilson1927", "efron1987", "delong1988", "zou2008")),
    Entry("Gap", "measure", f"{_M}.gap", ("newcombe1998", "zou2008", "schuirmann1987")),
    Entry(
        "CalibrationError",
        "measure",
        f"{_M}.calibration",
        ("naeini2015", "guo2017", "kumar2019", "broecker2007", "nixon2019", "popordanoska2022"),
    ),
    Entry(
        "ConformalCoverage",
        "measure",
        f"{_M}.conformal",
        ("vovk2005", "sadinle2019", "romano2020", "angelopoulos2023", "cordier2023"),
    ),
    Entry("Brier", "measure", f"{_M}.scores", ("brier1950", "murphy1973", "ferro2012", "stephenson2008")),
    Entry("LogLoss", "measure", f"{_M}.scores", ("good1952", "gneiting2007")),
    Entry(
        "RegressionCalibration",
        "measure",
        f"{_M}.regression_calibration",
        ("gneiting2023", "mincer1969", "ferro2012", "mackinnon1985"),
    ),
    Entry("SelectiveRisk", "measure", f"{_M}.selective", ("geifman2017", "geifman2019")),
    Entry("CorruptionRobustness", "measure", f"{_M}.robustness", ("hendrycks2019",)),
    Entry(
        "AdversarialRobustness",
        "measure",
        f"{_M}.adversarial",
        ("goodfellow2015", "madry2018", "croce2020", "andriushchenko2020", "athalye2018"),
    ),
    Entry("Fit", "measure", f"{_M}.fit", ("cover1967", "facco2017", "evans2002", "clopper1934")),
    Entry("Leakage", "measure", f"{_M}.leakage", ("kapoor2023", "barz2020")),
    Entry(
        "TargetLeakage", "measure", f"{_M}.target_leakage", ("kapoor2023", "kaufman2012", "delong1988", "benjamini1995")
    ),
    Entry("TimeOrder", "measure", f"{_M}.time_order", ("kapoor2023", "wilson1927", "spearman1904", "bonett2000")),
    Entry("DomainGap", "measure", f"{_M}.domains", ("koh2021", "newcombe1998")),
    Entry("ShiftDetection", "measure", f"{_M}.shift", ("rabanser2019", "gretton2012", "lopezpaz2017", "benjamini1995")),
    Entry("ExplanationShift", "measure", f"{_M}.explanation_shift", ("mougan2023", "lopezpaz2017", "benjamini1995")),
    Entry("Subgroups", "measure", f"{_M}.subgroups", ("buolamwini2018", "newcombe1998", "dunn1961")),
    Entry(
        "SliceDiscovery", "measure", f"{_M}.slices", ("chung2019", "eyuboglu2022", "dunn1961", "clopper1934", "zou2008")
    ),
    Entry("LabelFreeAccuracy", "measure", f"{_M}.label_free", ("garg2022", "guillory2021", "saerens2002", "jiang2022")),
    Entry(
        "OutOfDistribution",
        "measure",
        f"{_M}.out_of_distribution",
        ("hendrycks2017", "liu2020", "lee2018", "sun2022", "wang2022"),
    ),
    Entry(
        "Curvature",
        "measure",
        f"{_M}.curvature",
        ("yao2020", "hutchinson1990", "ghorbani2019", "kwon2021", "petzka2021", "li2005", "meyer2021"),
    ),
    Entry("LabelErrors", "measure", f"{_M}.labels", ("northcutt2021", "patrini2017", "guo2017")),
    Entry("Memorization", "measure", f"{_M}.memorization", ("yeom2018", "carlini2022", "delong1988", "newcombe1998")),
    Entry("RandomLabels", "measure", f"{_M}.random_labels", ("zhang2017", "arpit2017")),
    Entry("LearningCurve", "measure", f"{_M}.learning_curve", ("hestness2017", "viering2023")),
    Entry("SeedVariance", "measure", f"{_M}.retraining", ("bouthillier2021",)),
    Entry("PredictionChurn", "measure", f"{_M}.retraining", ("milanifard2016", "bhojanapalli2021")),
    Entry("ModelSelection", "measure", f"{_M}.model_selection", ("cawley2010", "clopper1934", "dunn1961")),
    Entry(
        "Capacity",
        "measure",
        f"{_M}.capacity",
        ("bartlett2017", "neyshabur2015", "clauset2009", "martin2021", "vuong1989"),
    ),
    Entry("ClassSelectivity", "measure", f"{_M}.selectivity", ("morcos2018",)),
    Entry("DirectionReliance", "measure", f"{_M}.directions", ("morcos2018",)),
    Entry(
        "PacBayesBound",
        "measure",
        f"{_M}.pac_bayes",
        ("perezortiz2021", "dziugaite2021", "langford2001", "maurer2004"),
    ),
    Entry("TestSetBound", "measure", f"{_M}.bounds", ("clopper1934", "langford2005")),
    Entry("L2", "improve", f"{_I}.penalties", ("hoerl1970", "krogh1991")),
    Entry("L1", "improve", f"{_I}.penalties", ("tibshirani1996",)),
    Entry("ElasticNet", "improve", f"{_I}.penalties", ("zou2005",)),
    Entry("Orthogonal", "improve", f"{_I}.matrices", ("bansal2018",)),
    Entry("SpectralNorm", "improve", f"{_I}.matrices", ("yoshida2017",)),
    Entry("WeightDecay", "improve", f"{_I}.decay", ("loshchilov2019",)),
    Entry("Dropout", "improve", f"{_I}.noise", ("srivastava2014",)),
    Entry("LabelSmoothing", "improve", f"{_I}.imbalance", ("szegedy2016", "muller2019")),
    Entry("InputGradientPenalty", "improve", f"{_I}.slopes", ("drucker1992", "rossslopes2018")),
    Entry("JacobianPenalty", "improve", f"{_I}.slopes", ("hoffman2019",)),
    Entry("ActivityPenalty", "improve", f"{_I}.slopes", ("glorot2011",)),
    Entry("FocalLoss", "improve", f"{_I}.imbalance", ("lin2017", "mukhoti2020")),
    Entry("ClassBalanced", "improve", f"{_I}.imbalance", ("cui2019",)),
    Entry("GroupDro", "improve", f"{_I}.groups", ("sagawa2020",)),
    Entry("InvariantRisk", "improve", f"{_I}.groups", ("arjovsky2019", "krueger2021", "gulrajani2021")),
    Entry("Coral", "improve", f"{_I}.groups", ("sun2016",)),
    Entry("AdversarialTraining", "improve", f"{_I}.adversarial", ("madry2018", "zhangtrades2019")),
    Entry("RightReasons", "improve", f"{_I}.reasons", ("ross2017", "rieger2020", "singh2019")),
    Entry("AttributionPrior", "improve", f"{_I}.reasons", ("erion2021",)),
    Entry("Distill", "improve", f"{_I}.distill", ("hinton2015",)),
    Entry("SharpnessAware", "improve", f"{_I}.sharpness", ("foret2021", "kwon2021")),
    Entry("WeightAveraging", "improve", f"{_I}.averaging", ("izmailov2018", "polyak1992")),
    Entry("DeepEnsemble", "improve", f"{_I}.ensembles", ("lakshminarayanan2017",)),
    Entry("SnapshotEnsemble", "improve", f"{_I}.ensembles", ("huang2017",)),
    Entry("McDropout", "improve", f"{_I}.ensembles", ("gal2016",)),
    Entry("BatchEnsemble", "improve", f"{_I}.batch_ensemble", ("wen2020",)),
    Entry("TemperatureScaling", "improve", f"{_I}.calibration", ("guo2017",)),
    Entry("VectorScaling", "improve", f"{_I}.calibration", ("guo2017", "platt1999")),
    Entry("MatrixScaling", "improve", f"{_I}.calibration", ("guo2017",)),
    Entry("IsotonicCalibration", "improve", f"{_I}.calibration", ("zadrozny2002", "guo2017")),
    Entry("ConformalSets", "improve", f"{_I}.conformal", ("vovk2005", "sadinle2019", "romano2020", "cordier2023")),
    Entry("Threshold", "improve", f"{_I}.threshold", ("elkan2001",)),
    Entry("SpatialDropout", "improve", f"{_I}.noise", ("tompson2015",)),
    Entry("GaussianNoise", "improve", f"{_I}.noise", ("bishop1995",)),
    Entry("StochasticDepth", "improve", f"{_I}.depth", ("huang2016",)),
    Entry("ReduceWidth", "improve", f"{_I}.width", ("howard2017",)),
    Entry("Prune", "improve", f"{_I}.pruning", ("zhu2017", "han2015")),
    Entry("EarlyStopping", "improve", f"{_I}.schedules", ("prechelt1998",)),
    Entry("AttentionSupervision", "improve", f"{_I}.attention", ("strout2019", "zhong2019")),
    Entry("AttentionEntropy", "improve", f"{_I}.attention", ("attanasio2022", "grandvalet2005")),
    Entry("Flip", "improve", f"{_I}.augmentation.images", ("krizhevsky2012",)),
    Entry("Crop", "improve", f"{_I}.augmentation.images", ("he2016",)),
    Entry("Erasing", "improve", f"{_I}.augmentation.images", ("zhong2020",)),
    Entry("RandAugment", "improve", f"{_I}.augmentation.policies", ("cubuk2020",)),
    Entry("AugMix", "improve", f"{_I}.augmentation.policies", ("hendrycks2020",)),
    Entry("MixUp", "improve", f"{_I}.augmentation.mixing", ("zhangmixup2018",)),
    Entry("CutMix", "improve", f"{_I}.augmentation.mixing", ("yun2019",)),
    Entry("TableNoise", "improve", f"{_I}.augmentation.tables", ("bishop1995",)),
    Entry("ColumnSwap", "improve", f"{_I}.augmentation.tables", ("bahri2022",)),
    Entry("Smote", "improve", f"{_I}.augmentation.smote", ("chawla2002",)),
    Entry("TokenDeletion", "improve", f"{_I}.augmentation.texts", ("wei2019",)),
    Entry("TokenSwap", "improve", f"{_I}.augmentation.texts", ("wei2019",)),
    Entry("Typos", "improve", f"{_I}.augmentation.texts", ("belinkov2018",)),
    Entry("Synonyms", "improve", f"{_I}.augmentation.texts", ("zhang2015", "wei2019")),
    Entry("Jitter", "improve", f"{_I}.augmentation.series", ("um2017",)),
    Entry("Scaling", "improve", f"{_I}.augmentation.series", ("um2017",)),
    Entry("TimeWarp", "improve", f"{_I}.augmentation.series", ("um2017",)),
    Entry("WindowSlice", "improve", f"{_I}.augmentation.series", ("leguennec2016",)),
    Entry("SpecAugment", "improve", f"{_I}.augmentation.audio", ("park2019",)),
    Entry("WaveformNoise", "improve", f"{_I}.augmentation.audio", ("ko2017",)),
    Entry("TimeShift", "improve", f"{_I}.augmentation.audio", ("salamon2017",)),
)
"""Every method there is, in the order in which they are listed."""


def entries(verb: str | None = None) -> list[Entry]:
    """The entries of one verb ("explain", "verify", "measure", "improve"), or all."""
    return [entry for entry in ENTRIES if verb in (None, entry.verb)]


def find(name: str) -> Entry:
    """The entry of a name, or an error that offers the nearest names."""
    for entry in ENTRIES:
        if entry.name.lower() == name.replace("-", "").replace("_", "").lower():
            return entry
    raise UnknownName(unknown("method", name, (entry.name for entry in ENTRIES)))


def import_all() -> None:
    """Import every class that a saved record may hold: methods, results and what is in them."""
    import pkgutil

    for module in pkgutil.walk_packages([str(Path(__file__).parents[1])], "pellucid."):
        if not module.name.startswith(("pellucid._backend", "pellucid.cli")):
            importlib.import_module(module.name)


def unknown(what: str, name: str, names: Iterable[str]) -> str:
    """The message for a name that does not exist: the nearest ones first."""
    names = list(names)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    offer = f"did you mean {' or '.join(map(repr, near))}?" if near else f"there are: {', '.join(names) or 'none'}"
    return f"no {what} named {name!r}; {offer}"
