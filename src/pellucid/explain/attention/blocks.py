"""What an attention leads to: the output of the block around it, found by running the model once and looking on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from pellucid.core import layers
from pellucid.core.anatomy import run_once
from pellucid.core.attention import Seen, Site, watched
from pellucid.core.model import Model
from pellucid.core.tensors import flattened
from pellucid.errors import NotApplicable
from pellucid.shapes import Array, Tensor


@dataclass
class Call:
    """One call of a layer or operation.

    Attributes:
        name, layer: Whose it is.
        index: How often it had been called before.
        inside: The names of the calls that it is a part of.
        before, after: How many attentions had run when it began, and when it was done.
        shape: What it put out for one example.
    """

    name: str
    layer: Any
    index: int
    inside: tuple[str, ...]
    before: int
    after: int = 0
    shape: tuple[int, ...] = ()


@dataclass(frozen=True)
class Block:
    """The output of the block around an attention: which call of which layer; `alone`: the attention's own, without a block."""

    name: str
    layer: Any
    index: int
    alone: bool


@dataclass
class _Log:
    """Calls as they are made."""

    met: int = 0
    running: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    calls: list[Call] = field(default_factory=list)

    def follow(self, name: str, layer: Any) -> Callable[[layers.Call], layers.Call]:
        """Makes a call that is noted when it is done."""

        def make(original: layers.Call) -> layers.Call:
            def call(*args: Any, **options: Any) -> Any:
                noted = Call(name, layer, self.counts[name], tuple(self.running), self.met)
                self.counts[name] += 1
                self.running.append(name)
                try:
                    output = original(*args, **options)
                finally:
                    self.running.pop()
                noted.after = self.met
                noted.shape = next((tuple(map(int, t.shape)) for t in flattened(output) if hasattr(t, "shape")), ())
                self.calls.append(noted)
                return output

            return call

        return make

    def meet(self, seen: Seen) -> None:
        """One more attention has run."""
        self.met += 1


def block_of(model: Model, inputs: Sequence[Array], site: Site, all_sites: Sequence[Site]) -> Block:
    """The output of the block around an attention; kept on the model.

    It is that of the outermost layer that holds this attention alone and puts out a vector (F,) for each query; where there is
    none, that of the last layer or operation before the next attention to do so; and else of the attention itself.

    Raises:
        NotApplicable: The attention is inside no layer.
    """
    key = ("block", site.number, tuple(a.shape[1:] for a in inputs))
    return model.kept(key, lambda: _found(_calls(model, inputs), site, all_sites))


def _calls(model: Model, inputs: Sequence[Array]) -> list[Call]:
    log = _Log()
    nodes = {node.name: node for node in layers.operations(model.native)}

    def run(*tensors: Tensor) -> None:
        with ExitStack() as stack:
            for name, layer in {**nodes, **layers.sublayers(model.native)}.items():
                if type(layer).__name__ != "InputLayer":
                    stack.enter_context(layers.replaced(layer, log.follow(name, layer)))
            with watched(model, log.meet):
                model.call(tensors)

    run_once(model, run, [a[:1] for a in inputs])
    return log.calls


def _found(calls: Sequence[Call], site: Site, all_sites: Sequence[Site]) -> Block:
    n, base = site.number, site.name.split(":")[0]
    own = next((c for c in calls if c.name == base and c.before <= n < c.after), None)
    if own is None:
        raise NotApplicable(f"ValueZeroing: {site.name} is inside no layer whose output could be compared")
    wanted, others = (1, site.queries, own.shape[-1]), {s.name.split(":")[0] for s in all_sites}
    around = [
        c
        for c in calls
        if c.before <= n < c.after and c.after - c.before == 1 and base not in c.inside and c is not own
    ]
    later = [c for c in calls if c.before == c.after == n + 1 and not others & {*c.inside}]
    for found in (around, later):
        fitting = [c for c in found if c.shape == wanted]
        if fitting:
            return Block(fitting[-1].name, fitting[-1].layer, fitting[-1].index, alone=False)
    return Block(own.name, own.layer, own.index, alone=True)
