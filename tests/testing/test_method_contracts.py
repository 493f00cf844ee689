"""Every registered attribution method keeps every contract; and the contracts can fail."""

import numpy as np
import pytest

import pellucid as pl
from pellucid.core.registry import entries
from pellucid.explain.base import Attribution, Method
from pellucid.explain.gradients.local import Gradient, GradientInput
from pellucid.testing import IMAGE, METHOD_CONTRACTS, TABLE, TOKENS, Case, ContractBroken, contracts

MAPS = (
    "GradCam", "GradCamPlusPlus", "XGradCam", "LayerCam", "HiResCam", "GuidedGradCam", "EigenCam", "FeatureExplanationMap",
    "ScoreCam", "AblationCam",
)  # fmt: skip
ATTENDING = (
    "AttentionWeights",
    "AttentionRollout",
    "AttentionFlow",
    "GradientAttention",
    "ValueWeightedAttention",
    "ValueZeroing",
)
ROWS = np.random.default_rng(5).normal(size=(4, 5))


def transformer():
    import keras

    hidden = pl.layers.TransformerBlock(2, name="hidden")
    head = [keras.layers.GlobalAveragePooling1D(), keras.layers.Dense(3)]
    return keras.Sequential([keras.Input((6,), dtype="int32"), keras.layers.Embedding(12, 4), hidden, *head])


ATTENTION = Case("attention", (6,), transformer, tokens=12)
CASES = {
    **dict.fromkeys(ATTENDING, (ATTENTION, {})),
    **dict.fromkeys(MAPS, (IMAGE, {})),
    **dict.fromkeys(("LayerActivation", "Conductance", "InternalInfluence"), (IMAGE, {"layer": "hidden"})),
    **dict.fromkeys(("DeepShap", "ExpectedGradients"), (TABLE, {"background": ROWS})),
    "BlurIntegratedGradients": (IMAGE, {}),
    "DiscretizedIntegratedGradients": (TOKENS, {}),
    "Xrai": (IMAGE, {"scales": (100.0,)}),
}
"""What a method is tried on and with which arguments, by name: (IMAGE, {"layer": "hidden"}). Others: TABLE, without any."""


@pytest.mark.parametrize("entry", entries("explain"), ids=lambda e: e.name)
@pytest.mark.parametrize("contract", METHOD_CONTRACTS, ids=lambda c: c.__name__)
def test_contract(contract, entry):
    case, options = CASES.get(entry.name, (TABLE, {}))
    contract(entry.load()(**options), case)


@pytest.mark.parametrize("case", [TABLE, IMAGE, TOKENS], ids=lambda c: c.name)
@pytest.mark.parametrize("contract", METHOD_CONTRACTS, ids=lambda c: c.__name__)
def test_every_case_can_be_met(contract, case):
    contract(Gradient(layer="hidden"), case)
    contract(GradientInput(), case)


class Careless(Method):
    """Breaks what it can: draws from the global generator, and mixes examples."""

    def attribute(self, question):
        x = question.inputs[0]
        values = x - x.mean(0) + np.random.normal()
        return Attribution((values,), np.ones(len(x), int), np.ones(len(x), bool))


@pytest.mark.parametrize(
    "contract", [contracts.same_seed_same_result, contracts.random_state_untouched, contracts.batch_does_not_matter]
)
def test_a_careless_method_is_caught(contract):
    with pytest.raises(ContractBroken):
        contract(Careless())
