"""The methods that are compared, in the order of the table. What each library calls them is in `by_LIBRARY.py`."""

from __future__ import annotations

from dataclasses import dataclass

STEPS = 8192
"""Points on a path, for libraries that take their number."""

DRAWS = 4096
"""Draws of methods that sample."""

NOISE = 0.2
"""Standard deviation of SmoothGrad's noise."""

STABILIZER = 1e-6
"""What the epsilon rule adds to a sum, for everybody."""

UNIT = 1
"""Which unit of the hidden layer is asked about, or which channel at its first place."""

EXACT, INTEGRATED, SAMPLED = 1e-4, 1e-3, 0.1
"""Largest relative difference that is none: of what is computed, integrated and sampled."""


@dataclass(frozen=True)
class Row:
    """A method.

    Attributes:
        name: Its key in the tables of the libraries.
        title: For the table.
        within: Largest relative difference that is none.
        promise: What its values add up to: the score less that of the "baseline", or less the mean over the "background",
            or the whole "score" where no layer has a bias; None where they promise nothing.
        at: Where its values are: at the "input", or at the "layer" that is called "middle"; "map": at a layer of convolutions.
    """

    name: str
    title: str
    within: float = EXACT
    promise: str | None = None
    at: str = "input"


ROWS = (
    Row("gradient", "Gradient"),
    Row("unit_gradient", "Gradient of a hidden unit"),
    Row("gradient_input", "GradientInput"),
    Row("integrated_gradients", "IntegratedGradients", INTEGRATED, "baseline"),
    Row("smooth_grad", "SmoothGrad", SAMPLED),
    Row("expected_gradients", "ExpectedGradients", SAMPLED, "background"),
    Row("layer_gradient", "Gradient at a layer", at="layer"),
    Row("layer_gradient_input", "GradientInput at a layer", at="layer"),
    Row("layer_integrated_gradients", "IntegratedGradients at a layer", INTEGRATED, "baseline", "layer"),
    Row("conductance", "Conductance", INTEGRATED, "baseline", "layer"),
    Row("internal_influence", "InternalInfluence", INTEGRATED, at="layer"),
    Row("grad_cam", "GradCam", at="map"),
    Row("grad_cam_plus_plus", "GradCamPlusPlus", at="map"),
    Row("hires_cam", "HiResCam", at="map"),
    Row("layer_cam", "LayerCam", at="map"),
    Row("x_grad_cam", "XGradCam", at="map"),
    Row("ablation_cam", "AblationCam", at="map"),
    Row("eigen_cam", "EigenCam", at="map"),
    Row("guided_grad_cam", "GuidedGradCam", at="map"),
    Row("epsilon", "LayerRelevance, Epsilon", promise="score"),
    Row("gamma", "LayerRelevance, Gamma", promise="score"),
    Row("z_plus", "LayerRelevance, ZPlus", promise="score"),
    Row("alpha1_beta0", "LayerRelevance, AlphaBeta (1, 0)", promise="score"),
    Row("alpha2_beta1", "LayerRelevance, AlphaBeta (2, 1)"),
    Row("flat_first", "LayerRelevance, Epsilon and Flat", promise="score"),
    Row("w_square_first", "LayerRelevance, Epsilon and WSquare", promise="score"),
    Row("z_box_first", "LayerRelevance, Epsilon and ZBox", promise="score"),
    Row("epsilon_plus_flat", "LayerRelevance, EpsilonPlusFlat", promise="score"),
    Row("epsilon_gamma_box", "LayerRelevance, EpsilonGammaBox", promise="score"),
    Row("epsilon_alpha2_beta1", "LayerRelevance, EpsilonAlpha2Beta1"),
    Row("epsilon_alpha2_beta1_flat", "LayerRelevance, EpsilonAlpha2Beta1Flat"),
    Row("guided_backprop", "GuidedBackprop"),
    Row("deconvolution", "Deconvolution"),
    Row("excitation_backprop", "ExcitationBackprop"),
    Row("deep_lift", "DeepLift, rescale", promise="baseline"),
    Row("layer_deep_lift", "DeepLift at a layer", promise="baseline", at="layer"),
    Row("deep_shap", "DeepShap", promise="background"),
    Row("reveal_cancel", "DeepLift, reveal_cancel", promise="baseline"),
)

RELEVANCE = tuple(row.name for row in ROWS if row.title.startswith("LayerRelevance"))


@dataclass(frozen=True)
class Variant:
    """What a library computes in place of the definition; told where its numbers are this to the same precision.

    Attributes:
        name: Its key beside the method's in `by_definition.py`.
        library: Who.
        text: What it does.
        sound: Whether this is a definition too, which somebody published or could have meant, and no mistake.
        methods: Where.
    """

    name: str
    library: str
    text: str
    sound: bool
    methods: tuple[str, ...] = RELEVANCE


VARIANTS = (
    Variant("merged", "zennit", "leaves the epsilon of a merged normalization in, which changes the score", sound=False),
    Variant("one_input", "zennit", "gives the first rule to one of the inputs alone", sound=False),
    Variant("slopes", "zennit", "passes relevance through a layer normalization as if it were a gradient", sound=False),
    Variant("convolutions", "zennit", "gives ZBox to convolutions alone", sound=True, methods=("epsilon_gamma_box",)),
    Variant("biases", "zennit", "lets squared biases take a part", sound=True, methods=("w_square_first",)),
    Variant(
        "positive", "captum", "has the rule for inputs above zero, whatever their sign, with biases as they are", sound=False,
        methods=("gamma", "alpha1_beta0"),
    ),
    Variant(
        "negative", "zennit", "lets inputs below zero win through weights below zero", sound=True,
        methods=("excitation_backprop",),
    ),
    Variant("later", "pellucid", "has one rule a layer: one that is called again later is no first layer", sound=True),
)  # fmt: skip
