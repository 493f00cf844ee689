"""Whether new rows come from where the training rows came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pellucid.core import options
from pellucid.core.copies import arrays_of, shared
from pellucid.core.dataset import Dataset
from pellucid.core.measurement import Measurement
from pellucid.core.numbers import counted, stated
from pellucid.core.randomness import some
from pellucid.core.threads import one_thread
from pellucid.errors import InvalidInput, NotApplicable
from pellucid.measure.base import Context, Measure
from pellucid.measure.estimates import auroc
from pellucid.shapes import Array, Floats

FEW = 10
"""Different numbers of a column up to which it is compared as categories."""

EXPECTED = 5
"""Rows expected in a cell below which the chi-square approximation fails; rarer categories are put together."""

SURE, APART = 0.01, 5
"""How a column is written down differs: by so little chance, and a share by so many times."""

MARKS = (" is missing", "=(missing)")
"""How an encoded column is called that is 1 where a value was missing."""

DIRECTIONS, MANY = 32, 10
"""Principal directions that inputs without columns (images, texts) are compared along, of so many times `most` rows."""


@dataclass(frozen=True, eq=False)
class ShiftDetection(Measure):
    """Are the test rows drawn like the training rows?

    Three tests, each at (1 - level) / 3, so that all together raise a false alarm with probability 1 - level at most:

    - column by column: Kolmogorov-Smirnov for numbers, chi-square for categories (and up to 10 different numbers), missing
      values being a category of their own; p-values adjusted by Benjamini and Hochberg. Labels are a column too, where both
      sides have them.
    - all columns together, by a kernel: MMD^2 = mean k(x, x') + mean k(y, y') - 2 mean k(x, y) over different rows, with
      k = exp(-d^2 / median d^2); p by permuting which side a row is of.
    - by a classifier that is taught, on half of the rows, to tell the sides apart: its AUROC on the other half. That is the
      value: 0.5 where nothing can be told, 1 where everything can.

    Inputs without columns are compared along 32 principal directions, texts by how often each word occurs. Of rows that belong
    together (`groups`) one is taken. Verdicts: "shift" or "no shift found".

    `detail`: `columns` (name, test, statistic, p and adjusted p, smallest first), `mmd`, `p` of the three tests, `alarms` (which
    of them are surely not chance), `rows` of both sides, and `recording`, where the sides surely differ in how a column was
    written down: in the share that is missing, or that is one number which the other side hardly has, such as 0 for "unknown".

    Args:
        permutations: Of the kernel test; its p is at least 1 / (1 + permutations).
        most: Rows of each side that the kernel test and the classifier look at; drawn at random from more.
        level: 1 minus the probability of a false alarm, in (0, 1); also of the interval of the AUROC.

    Raises:
        InvalidInput: Two sides with different columns.
        InvalidOption: An option outside its range.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> g = np.random.default_rng(0)
        >>> train, test = g.normal(size=(300, 3)), g.normal(size=(300, 3)) + [0, 0, 1]
        >>> found, = pl.measure(None, pl.ShiftDetection(), train=train, test=test)
        >>> found.verdict, found.detail["columns"][0]["column"]
        ('shift', 'column 2')

    References:
        Rabanser, Günnemann and Lipton 2019, arXiv:1810.11953. Gretton et al. 2012, "A kernel two-sample test", Journal of
        Machine Learning Research 13:723-773. Lopez-Paz and Oquab 2017, arXiv:1610.06545. Benjamini and Hochberg 1995,
        doi:10.1111/j.2517-6161.1995.tb02031.x.

    Limits:
        A shift that is found need not hurt, and one that hurts need not be found: "no shift found" says that these rows do not
        show one. With many rows the smallest difference is found; look at the AUROC and the statistics, not at p. Nothing is
        said of how labels depend on inputs. The model's answers are not compared: on its training rows it is surer anyhow.
    """

    permutations: int = 500
    most: int = 1000
    level: float = 0.95

    quantity: ClassVar[str] = "shift"

    def __post_init__(self) -> None:
        options.whole(self, "permutations", 19)
        options.whole(self, "most", 20)
        options.fraction(self, "level")

    def compute(self, context: Context) -> Measurement:
        """See `Measure.compute`."""
        _require_apart(context.data("train").groups, context.data("test").groups)
        sides = tuple(alone(context.data(s), MANY * self.most, context.stream("groups", s)) for s in ("train", "test"))
        if min(map(len, sides)) < FEW:
            few = " and ".join(counted(len(rows), "row") for rows in sides)
            raise NotApplicable(
                f"ShiftDetection compares distributions, for which {few} are too few (at least {FEW} a side)"
            )
        train, test = (context.data(s).take(rows) for s, rows in zip(("train", "test"), sides, strict=True))
        names, one, two = columns_of(train, test, context.stream("directions"))
        first, second = (
            some(len(d), self.most, context.stream("rows", s)) for s, d in (("train", train), ("test", test))
        )
        here, there = _scaled(*as_numbers([a[first] for a in one], [b[second] for b in two]))
        if train.y is not None and test.y is not None:
            names, one, two = [*names, "label"], [*one, train.y], [*two, test.y]
        columns = adjusted([{"column": n, **compared(a, b)} for n, a, b in zip(names, one, two, strict=True)])
        size, by_kernel = mmd(here, there, self.permutations, context.stream("mmd"))
        area, by_classifier = told_apart(here, there, self.level, context.stream("halves"))
        recording = [r for n, a, b in zip(names, one, two, strict=True) for r in recorded(n, a, b, len(names))]
        miss = (1 - self.level) / 3
        p = {"columns": columns[0]["adjusted_p"], "kernel": by_kernel, "classifier": by_classifier}
        alarms = [name for name, chance in p.items() if chance <= miss]
        detail = {
            "columns": columns, "mmd": size, "p": p, "alarms": alarms, "recording": recording, "rows": tuple(map(len, sides)),
        }  # fmt: skip
        surely = [c["column"] for c in columns if c["adjusted_p"] <= miss]
        noun = "column" if train.kind == "tabular" else "direction"
        told = _told(stated(area.value, area.interval), surely, counted(len(columns), noun), alarms, recording)
        verdict = "shift" if alarms else "no shift found"
        return Measurement(self.quantity, area.value, area.interval, verdict, {"explanation": told, **detail})


# -- what is compared ----------------------------------------------------------------------------------------------


def _require_apart(train: Array | None, test: Array | None) -> None:
    """Raise where groups lie on both sides: one row of each is then no fair draw, as large groups are on both."""
    if train is not None and test is not None and (both := len(shared(train, test))):
        told = f"{counted(both, 'group')} of rows lie on both sides; part the data by group"
        raise NotApplicable(f"ShiftDetection draws one row of each group, but {told}")


def alone(data: Dataset, most: int, generator: np.random.Generator) -> Array:
    """One row of each group, at random: rows of one group are no independent draws; of what is wide, so many at most."""
    order = generator.permutation(len(data))
    if data.groups is not None:
        order = generator.permutation(order[np.unique(data.groups[order], return_index=True)[1]])
    return np.sort(order if data.kind == "tabular" else order[:most])


def columns_of(
    train: Dataset, test: Dataset, generator: np.random.Generator
) -> tuple[list[str], list[Array], list[Array]]:
    """Names of what is compared, and its values (B,) on both sides."""
    here, there = arrays_of(train.x), arrays_of(test.x)
    kinds = {type(train.x) is dict, type(test.x) is dict}
    if len(kinds) > 1 or [a.shape[1:] for a in here] != [a.shape[1:] for a in there]:
        raise InvalidInput(
            f"train and test rows differ in shape: {[a.shape[1:] for a in here]} and {[a.shape[1:] for a in there]}"
        )
    inputs = sorted(train.x) if isinstance(train.x, dict) else [""]
    names, one, two = list[str](), list[Array](), list[Array]()
    for name, a, b in zip(inputs, here, there, strict=True):
        if train.kind == "tabular" and a.ndim <= 2:
            a, b = (v.reshape(len(v), -1) for v in (a, b))
            known = train.feature_names if len(here) == 1 else None
            names += known or [f"{name} column {i}".strip() for i in range(a.shape[1])]
        else:
            a, b = _directions(a, b, train.kind == "text", generator)
            names += [f"{name} direction {i}".strip() for i in range(a.shape[1])]
        one += list(a.T)
        two += list(b.T)
    return names, one, two


def _directions(one: Array, two: Array, text: bool, generator: np.random.Generator) -> tuple[Floats, Floats]:
    """Rows along the principal directions of both sides together, which do not tell the sides apart."""
    from sklearn.decomposition import TruncatedSVD

    if text and one.dtype.kind in "iu":
        both = _words(np.concatenate([one, two]))
    else:
        both = np.concatenate([a.reshape(len(a), -1).astype(np.float32) for a in (one, two)])
        both = both - both.mean(axis=0)
    count = max(1, min(DIRECTIONS, both.shape[1] - 1, both.shape[0] - 1))
    found = TruncatedSVD(count, n_iter=3, random_state=int(generator.integers(2**31))).fit_transform(both)
    return found[: len(one)], found[len(one) :]


def _words(tokens: Array) -> Any:
    """How often each word (V,) occurs in each row (B, T): sparse, as a vocabulary is large and a row short."""
    from scipy.sparse import csr_array

    rows = np.repeat(np.arange(len(tokens)), tokens[0].size)
    return csr_array((np.ones(tokens.size, np.float32), (rows, tokens.ravel())))


# -- column by column ----------------------------------------------------------------------------------------------


def compared(one: Array, two: Array) -> dict[str, Any]:
    """A column's test, its statistic and p: Kolmogorov-Smirnov of numbers, chi-square of categories."""
    from scipy.stats import chi2_contingency, ks_2samp

    if one.dtype.kind in "biuf" and len(np.unique(np.concatenate([one, two]))) > FEW:
        gone = np.isnan(one.astype(float)), np.isnan(two.astype(float))
        found = ks_2samp(one[~gone[0]], two[~gone[1]]) if not (gone[0].all() or gone[1].all()) else None
        told = (
            {"test": "Kolmogorov-Smirnov", "statistic": float(found.statistic), "p": float(found.pvalue)}
            if found
            else None
        )
        if not (gone[0].any() or gone[1].any()):
            return told or {}
        missing = compared(*(g.astype(int) for g in gone))
        if told is None or missing["p"] < told["p"]:
            return {**missing, "test": "chi-square of what is missing", "p": min(1.0, 2 * missing["p"])}
        return {**told, "p": min(1.0, 2 * told["p"])}  # the surer of two tests
    table = _pooled(_counted(one, two))
    if table.shape[1] < 2:
        return {"test": "chi-square", "statistic": 0.0, "p": 1.0}
    found = chi2_contingency(table, correction=False)
    return {"test": "chi-square", "statistic": float(found.statistic), "p": float(found.pvalue)}


def _counted(one: Array, two: Array) -> Array:
    """How often each category occurs on each side (2, C)."""
    both = np.concatenate([one, two])
    both = both + 0.0 if both.dtype.kind == "f" else both  # -0.0 is 0.0, and would be another word
    _, index = np.unique(both.astype(str), return_inverse=True)
    return np.stack([np.bincount(part, minlength=index.max() + 1) for part in (index[: len(one)], index[len(one) :])])


def _pooled(table: Array) -> Array:
    """Categories so rare that fewer than `EXPECTED` rows are expected on a side, as one."""
    expected = table.sum(axis=0) * table.sum(axis=1).min() / table.sum()
    rare = expected < EXPECTED
    if not rare.any():
        return table
    whole = np.column_stack([table[:, ~rare], table[:, rare].sum(axis=1)])
    if expected[rare].sum() >= EXPECTED or whole.shape[1] < 2:
        return whole
    whole[:, np.argmin(whole[:, :-1].sum(axis=0))] += whole[:, -1]
    return whole[:, :-1]


def adjusted(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The tests with adjusted p-values, the smallest first."""
    from scipy.stats import false_discovery_control

    each = zip(found, false_discovery_control([f["p"] for f in found]), strict=True)
    return sorted(({**f, "adjusted_p": float(p)} for f, p in each), key=lambda f: (f["adjusted_p"], f["p"]))


def recorded(name: str, one: Array, two: Array, columns: int) -> list[dict[str, Any]]:
    """Shares of a column that is missing, or is one same number, where the sides surely differ by `APART` times."""
    from scipy.stats import fisher_exact

    if one.dtype.kind not in "biuf":
        return []
    if mark := next((m for m in MARKS if name.endswith(m)), ""):
        name, one, two = name.removesuffix(mark), *(np.where(side == 1, np.nan, 0.0) for side in (one, two))
    gone = np.isnan(one.astype(float)), np.isnan(two.astype(float))
    told = {"missing": tuple(int(g.sum()) for g in gone)}
    values, index = np.unique(np.concatenate([one[~gone[0]], two[~gone[1]]]), return_inverse=True)
    if len(values) > FEW:
        known = int((~gone[0]).sum())
        often = np.stack([np.bincount(part, minlength=len(values)) for part in (index[:known], index[known:])])
        most = int(np.argmax(np.abs(often[0] / len(one) - often[1] / len(two))))
        told[f"{values[most]:g}"] = (int(often[0, most]), int(often[1, most]))
    found = []
    for what, counts in told.items():
        shares = counts[0] / len(one), counts[1] / len(two)
        chance = fisher_exact([counts, (len(one) - counts[0], len(two) - counts[1])]).pvalue
        tried = columns * (1 if what == "missing" else len(values))
        if chance * tried <= SURE and max(shares) >= APART * min(shares):
            found.append({"column": name, "what": what, "train": shares[0], "test": shares[1]})
    return found


# -- all columns together ------------------------------------------------------------------------------------------


def as_numbers(one: Sequence[Array], two: Sequence[Array]) -> tuple[Floats, Floats]:
    """Columns (B, F) as numbers: categories one column each, missing values the column's middle and a column of their own."""
    here, there = list[Array](), list[Array]()
    for a, b in zip(one, two, strict=True):
        both = np.concatenate([a, b])
        if both.dtype.kind in "biuf":
            both = both.astype(float)
            gone = np.isnan(both)
            parts = [np.where(gone, np.median(both[~gone]) if not gone.all() else 0.0, both)]
            parts += [gone.astype(float)] if gone.any() else []
        else:
            parts = [(both.astype(str) == value).astype(float) for value in np.unique(both.astype(str))[:100]]
        here += [p[: len(a)] for p in parts]
        there += [p[len(a) :] for p in parts]
    return np.stack(here, axis=1), np.stack(there, axis=1)


def _scaled(one: Floats, two: Floats) -> tuple[Floats, Floats]:
    """Columns in units of the standard deviation of both sides together."""
    both = np.concatenate([one, two]).astype(float)  # squares of large numbers are beyond single precision
    spread = both.std(axis=0)
    both = (both - both.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return both[: len(one)], both[len(one) :]


def mmd(one: Floats, two: Floats, permutations: int, generator: np.random.Generator) -> tuple[float, float]:
    """The unbiased squared maximum mean discrepancy of rows (B, F), and the p of what is at least as large by chance.

    With s = 1 for the first side's rows and 0 for others, t = 1 - s and a zero diagonal, sums over different rows are s K s,
    t K t and s K t: a permutation moves s and t, and K is made once.
    """
    from scipy.spatial.distance import pdist, squareform

    both, m, n = np.concatenate([one, two]), len(one), len(two)
    square = pdist(both, "sqeuclidean")
    typical = float(np.median(square)) or 1.0
    kernel = squareform(np.exp(-square / typical))  # the diagonal is 0
    side = np.zeros((m + n, 1 + permutations))
    side[:m, 0] = 1
    for r in range(1, 1 + permutations):
        side[generator.permutation(m + n)[:m], r] = 1
    within = np.sum(side * (kernel @ side), axis=0)
    total, own = kernel.sum(), kernel.sum(axis=1) @ side
    across = own - within
    found = within / (m * (m - 1)) + (total - own - across) / (n * (n - 1)) - 2 * across / (m * n)
    return float(found[0]), float(np.mean(found >= found[0] - 1e-12))


def told_apart(one: Floats, two: Floats, level: float, generator: np.random.Generator) -> tuple[Any, float]:
    """The AUROC at which a classifier, taught on half of the rows (B, F), tells the sides of the others; and its p.

    By chance, ranks of the two sides are mixed: the p is that of the rank-sum test (Mann and Whitney), one-sided.
    """
    from scipy.stats import mannwhitneyu
    from sklearn.ensemble import HistGradientBoostingClassifier

    x, side = np.concatenate([one, two]), np.repeat([0, 1], [len(one), len(two)])
    halves = np.concatenate(
        [generator.permutation(np.flatnonzero(side == s))[: int(np.sum(side == s)) // 2] for s in (0, 1)]
    )
    taught = np.zeros(len(x), bool)
    taught[halves] = True
    model = HistGradientBoostingClassifier(
        max_iter=50, early_stopping=False, random_state=int(generator.integers(2**31))
    )
    with one_thread():
        score = model.fit(x[taught], side[taught]).predict_proba(x[~taught])
    area = auroc(side[~taught], score, level, generator)
    new = side[~taught] == 1
    return area, float(mannwhitneyu(score[new, 1], score[~new, 1], alternative="greater").pvalue)


def _told(
    area: str, surely: Sequence[str], every: str, alarms: Sequence[str], recording: Sequence[dict[str, Any]]
) -> str:
    apart = f"a classifier tells test rows from training rows with an AUROC of {area}"
    if not alarms:
        return f"No shift is found: {apart}, and none of {every} surely differs."
    verb = "differs" if len(surely) == 1 else "differ"
    which = f"{len(surely)} of {every} surely {verb} ({_listed(surely)})" if surely else f"none of {every} alone does"
    said = f"{apart[0].upper()}{apart[1:]}; {which}."
    if not recording:
        return said
    each = _listed([f"{r['column']} is {r['what']} in {_share(r['train'])} and {_share(r['test'])}" for r in recording])
    coded = " Such a number may stand for missing." if any(r["what"] != "missing" for r in recording) else ""
    return f"{said} In part this is how they were recorded, of training and test rows: {each}.{coded}"


def _listed(names: Sequence[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _share(share: float) -> str:
    return f"{100 * share:.3g}\u202f%"
