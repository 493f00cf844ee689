import pytest

import pellucid as pl
from pellucid.core.registry import entries, find
from pellucid.errors import InvalidInput, InvalidOption
from pellucid.report.audit import Audit
from pellucid.report.finding import CODES, SEVERITIES, Finding
from pellucid.study.recommend import AUGMENTATIONS, FIRST, TABLE, WEIGHTS


def audit(kind="tabular", task="classification", **findings):
    told = [Finding(f"PL-{c.replace('_', '-')}", s, f"title of {c}", f"Evidence of {c}.") for c, s in findings.items()]
    return Audit({"kind": kind, "task": task}, findings=tuple(told))


def test_the_order_is_that_of_the_scores():
    found = pl.recommend(audit(GEN_001="critical", CAL_001="warning", SUB_001="note"), most=20)
    scores = [sum({"PL-GEN-001": 3, "PL-CAL-001": 2, "PL-SUB-001": 1}[c] for c in s.codes) for s in found.suggestions]
    assert scores == sorted(scores, reverse=True)
    assert [s.name for s in found.suggestions][:2] == ["mixup", "ensemble"]  # for as much, the cheaper one first
    assert found.suggestions[1].codes == ("PL-CAL-001", "PL-GEN-001")
    assert found.suggestions[1].evidence == ("Evidence of CAL_001.", "Evidence of GEN_001.")
    assert [s.name for s in found.suggestions if s.codes == ("PL-SUB-001",)] == ["worst group first"]
    assert next(iter(found.recipes)) == "plain"
    assert found.recipes["dropout"] == pl.Recipe(pl.Dropout(0.2))


def test_what_is_good_asks_for_nothing():
    found = pl.recommend(audit(GEN_001="good"))
    assert not found.suggestions
    assert "Nothing was found" in str(found)


def test_what_no_training_mends_comes_first():
    found = pl.recommend(audit(LEA_001="critical", GEN_001="warning"))
    assert found.first[0][0] == "PL-LEA-001"
    assert str(found).startswith("First, for PL-LEA-001: take the copies out")


def test_the_kind_of_data_decides():
    names = {kind: pl.recommend(audit(kind, GEN_001="warning"), most=20).recipes for kind in AUGMENTATIONS}
    assert names["image"]["augmentation"] == pl.Recipe(pl.RandAugment())
    assert "mixup" in names["tabular"]
    assert "mixup" not in names["text"]
    assert "augmentation" not in pl.recommend(audit("video", GEN_001="warning"), most=20).recipes
    values = pl.recommend(audit(task="regression", CAL_001="warning"), most=20).recipes
    assert "temperature" not in values
    assert "ensemble" in values


def test_every_line_of_the_table_can_be_made():
    improving = {entry.name for entry in entries("improve")}
    assert set(WEIGHTS) == set(SEVERITIES)
    assert set(FIRST) <= set(CODES)
    for remedial in TABLE:
        assert set(remedial.codes) <= set(CODES)
        assert {name for name, _ in remedial.parts} <= improving
        assert len(remedial.recipe().remedies) == len(remedial.parts)
        assert remedial.sources or not remedial.parts
    assert {find(name).verb for name, _ in AUGMENTATIONS.values()} == {"improve"}


def test_it_saves_and_loads(tmp_path):
    found = pl.recommend(audit(GEN_001="warning"))
    found.save(tmp_path / "found")
    back = type(found).load(tmp_path / "found")
    assert back.recipes == found.recipes
    assert str(back) == str(found)


def test_bad_input_is_told():
    with pytest.raises(InvalidInput, match="got dict"):
        pl.recommend({})
    with pytest.raises(InvalidOption, match="most"):
        pl.recommend(audit(), most=0)
