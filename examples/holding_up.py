"""Seven models, seven ways in which new data may differ: train each, ask whether it holds, write a report.

    python examples/holding_up.py                     every subject whose data are there
    python examples/holding_up.py digits hospitals    some of them

Digits come with the package; for the others see loaders.py.
"""

import argparse
import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import loaders
import numpy as np

import pellucid as pl
from pellucid.core.splitting import holdout
from pellucid.training import train_default


@dataclass(frozen=True)
class Subject:
    """Data, what is measured beside the usual, and what a reader should know."""

    train: pl.Dataset
    test: pl.Dataset
    more: list[Any] = field(default_factory=list)
    notes: tuple[str, ...] = ()


def hospitals() -> Subject:
    """Heart disease: learned in one hospital, used in four."""
    (train, test), where = (found := loaders.hospitals())
    held = pl.DomainGap({"hospital": where}, reference="Cleveland", metric="auroc")
    return Subject(train, test, [held], found[0].notes)


def patients() -> Subject:
    """Readmissions: no patient is on both sides."""
    table = loaders.encounters()
    return stays(table, table["patient_nbr"].to_numpy())


def stays_at_random() -> Subject:
    """The same, parted stay by stay: patients are on both sides, which is found."""
    return stays(loaders.encounters(), None)


def stays(table: Any, apart: np.ndarray | None) -> Subject:
    """Stays, parted by whatever must not be torn apart; whose they are is always told."""
    whose = table["patient_nbr"].to_numpy()
    rows = holdout(table["readmitted"].to_numpy(), 0.25, groups=apart, classes=True, seed=0)
    types = dict.fromkeys(("diag_1", "diag_2", "diag_3"), "categorical")
    found = loaders.encoded(table.drop("patient_nbr"), rows, "readmissions", target="readmitted", types=types)
    train, test = (dataclasses.replace(d, groups=whose[part], ids=None) for d, part in zip(found, rows, strict=True))
    return Subject(train, test, [pl.Subgroups(["race", "gender"], metric="auroc")], found.notes)


def fraud() -> Subject:
    """Card payments: learned in one month, used in the next three."""
    (train, test), month = (found := loaders.transactions())
    held = pl.DomainGap({"month": month.astype(str)}, reference="2", metric="auprc")
    return Subject(train, test, [held], found[0].notes)


def credit() -> Subject:
    """Credit cards: does it serve women and men, young and old alike?"""
    train, test = (found := loaders.borrowers())
    age = test.x[:, list(test.feature_names or ()).index("AGE")]
    sex = np.where(test.x[:, list(test.feature_names or ()).index("SEX=2")] == 1, "women", "men")
    bands = np.array(["under 30", "30 to 39", "40 to 49", "50 and over"])[np.digitize(age, [30, 40, 50])]
    return Subject(train, test, [pl.Subgroups({"sex": sex, "age": bands}, metric="auroc")], found.notes)


def digits() -> Subject:
    """Digits: is it right when they are noisy, blurred or turned?"""
    return Subject(*pl.data.load("digits"), [pl.AdversarialRobustness([0.5, 1, 2])])


def signs() -> Subject:
    """Traffic signs, with every corruption there is for images."""
    return Subject(*loaders.gtsrb(), [pl.CorruptionRobustness("all", rows=500)])


def phrases() -> Subject:
    """Film reviews, with typing errors."""
    return Subject(*loaders.sst2(20_000), [pl.CorruptionRobustness("all")])


SUBJECTS: dict[str, Callable[[], Subject]] = {
    "hospitals": hospitals, "patients": patients, "stays": stays_at_random, "fraud": fraud, "credit": credit,
    "digits": digits, "signs": signs, "phrases": phrases,
}  # fmt: skip


def report(name: str, subject: Subject, folder: Path) -> None:
    """Train the default model and audit it, with what else is to be measured in place of the usual of its kind."""
    start = time.perf_counter()
    net = train_default(subject.train, seed=0, progress=False)
    kinds = {type(measure) for measure in subject.more}
    measures = [m for m in pl.default_measures() if type(m) not in kinds] + subject.more
    options = {"measures": measures, "notes": subject.notes, "progress": False}
    found = pl.audit(net, train=subject.train, test=subject.test, **options)
    found.save(folder / name)
    print(f"{name}: {found.verdict}, {time.perf_counter() - start:.0f} s, {folder / name / 'index.html'}")
    for finding in found.findings:
        if finding.severity in ("critical", "warning"):
            print(f"  {finding.severity:8} {finding.code} {finding.title}: {finding.evidence}")


def main() -> None:
    """Every subject that was asked for and whose data are there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("subjects", nargs="*", choices=[*SUBJECTS, []], default=[])
    parser.add_argument("--out", type=Path, default=Path("reports"))
    asked = parser.parse_args()
    for name in asked.subjects or SUBJECTS:
        try:
            subject = SUBJECTS[name]()
        except loaders.Absent as reason:
            print(f"{name} is left out: {reason}")
            continue
        report(name, subject, asked.out)


if __name__ == "__main__":
    main()
