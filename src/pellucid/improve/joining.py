"""Several Keras models as one that gives the mean of their answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pellucid.core.members import MEAN
from pellucid.core.model_files import registered
from pellucid.errors import NotApplicable
from pellucid.improve.heads import Head, compiled_as, fresh_inputs, laid_out, opened
from pellucid.shapes import Tensor


def joined(models: Sequence[Any]) -> Any:
    """One Keras model of several: the mean of their probabilities, or of their values.

    It ends as the first did: in a softmax or sigmoid, whose scores are then the logarithm of the mean (log-odds for a sigmoid),
    or in logits, which are that logarithm; and it is compiled as that was. The models are its layers "member_1", "member_2", ...,
    up to their scores.
    """
    heads = [opened(model) for model in models]
    inputs = fresh_inputs(heads[0].model)
    parts = [_named(head.model, f"member_{i + 1}")(inputs) for i, head in enumerate(heads)]
    return compiled_as(_averaged(heads[0], inputs, parts, models[0].name), models[0])


def varied(model: Any, changes: Sequence[Callable[[Any], Sequence[Any] | None]]) -> Any:
    """The mean of one Keras model with some layers changed in several ways; all others are shared by the members.

    Args:
        model: The Keras model.
        changes: For each member, as `heads.rebuilt` takes them; names of what they give must differ.

    Raises:
        NotApplicable: Two layers of one name in models inside the model, which are laid out beside each other here; or layers
            that Keras cannot call with the changed ones.
    """
    head = opened(model)
    inputs = fresh_inputs(head.model)
    try:
        parts = [laid_out(head.model, inputs, change) for change in changes]
        return compiled_as(_averaged(head, inputs, parts, model.name), model)
    except ValueError as problem:
        hint = "; give its layers other names" if "unique" in str(problem) else ""
        raise NotApplicable(f"{model.name} cannot be an ensemble of itself: {problem}{hint}") from problem


def _averaged(head: Head, inputs: Any, parts: Sequence[Tensor], name: str) -> Any:
    """A model that gives the mean of parts, which are scores (B, K) of the inputs, ended as `head` was."""
    import keras

    if len(parts) == 1:
        return head.ended(inputs, parts[0], name)
    mean = registered("EnsembleLogits")(head.how, name=MEAN) if head.how else keras.layers.Average(name=MEAN)
    return head.ended(inputs, mean(parts), name)


def _named(model: Any, name: str) -> Any:
    """A model of the same layers with another name."""
    import keras

    return keras.Model(model._inputs_struct, model.outputs[0], name=name)
