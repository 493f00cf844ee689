"""The audit of a model with attention shows where it looks; of one without, nothing changes."""

import dataclasses

import numpy as np
import pytest

import pellucid as pl
from pellucid.core.measurement import Measurement
from pellucid.core.record import load
from pellucid.errors import NotApplicable
from pellucid.explain.attention.reading import AttentionReading
from pellucid.report import attention
from pellucid.report.audit import Audit
from pellucid.report.gather import gather
from pellucid.report.render.plain import summary
from pellucid.report.render.sections import sections
from pellucid.report.selection import Example

SUBJECT = {
    "model": "net", "task": "classification", "inputs": "8 × 8 × 1 image", "data": "noise", "test_rows": 10, "train_rows": 10,
    "date": "2026-01-01", "classes": ("a", "b", "c"), "parameters": 1,
}  # fmt: skip
ROLES = ("typical", "typical", "borderline", "confidently wrong")


def examples():
    return tuple(Example(role, 2 * i, i, f"row {2 * i}", "a", "b") for i, role in enumerate(ROLES))


@pytest.fixture(scope="module")
def model():
    return pl.wrap(pl.models.vision_transformer((8, 8, 1), 3, patch=4, heads=2))


@pytest.fixture(scope="module")
def data():
    x = np.random.default_rng(0).uniform(size=(10, 8, 8, 1)).astype(np.float32)
    return pl.Dataset(x, np.arange(10) % 3, kind="image")


@pytest.fixture
def told(model, data):
    return Audit(SUBJECT, examples=examples(), attention=attention.read(model, data, examples()))


def test_the_first_example_of_each_role_is_read(model, data):
    assert [e.row for e in attention.shown(examples())] == [0, 4, 6]
    found = attention.read(model, data, examples())
    whole = pl.attention(model, data)
    for name in whole:
        assert found[name] == pytest.approx(whole[name][[0, 4, 6]], abs=1e-6)


def test_no_more_weights_are_kept_than_agreed(model, data, monkeypatch):
    monkeypatch.setattr(attention, "WEIGHTS", 2 * 2 * 5 * 5 + 10)
    assert len(attention.read(model, data, examples())) == 1
    monkeypatch.setattr(attention, "WEIGHTS", 2 * 2 * 5 * 5 - 1)
    with pytest.raises(NotApplicable, match="one example has 100 weights, too many to keep"):
        attention.read(model, data, examples())
    with pytest.raises(NotApplicable, match="no example is shown"):
        attention.read(model, data, ())


def test_the_page_shows_every_head_and_where_each_example_is_looked_at(told):
    found = next(s for s in sections(told) if s.id == "attention")
    assert [f.picture.title for f in found.figures] == [
        "Attention of every head", *["Where [class] looks, in block_2/attention, mean of all 2 heads"] * 3,
    ]  # fmt: skip
    assert [f.tag for f in found.figures] == ["", "Typical", "Borderline", "Confidently wrong"]
    page = told.html()
    assert 'id="attention"' in page
    assert "alone it is no explanation" in page


def test_lines_are_drawn_where_no_position_stands_for_all(data):
    net = pl.wrap(pl.models.vision_transformer((8, 8, 1), 3, patch=4, heads=2, pool="mean"))
    told = Audit(SUBJECT, examples=examples(), attention=attention.read(net, data, examples()))
    found = next(s for s in sections(told) if s.id == "attention")
    assert found.figures[1].picture.title == "Attention in block_2/attention, mean of all 2 heads"


@pytest.mark.parametrize("pool", ["attention", "class"])
def test_what_a_reading_cannot_place_is_laid_on_the_example(pool):
    small = {"depth": 1, "heads": 2, "width": 8, "pool": pool}
    x = np.random.default_rng(0).normal(size=(10, 4, 6, 6, 1)).astype(np.float32)
    videos = pl.Dataset(x, np.arange(10) % 2)
    net = pl.wrap(pl.models.video_transformer((4, 6, 6, 1), 2, patch=(2, 3, 2), **small))
    reading = attention.read(net, videos, examples())
    laid = attention.laid(net, videos, examples(), reading)
    own = reading[-1].mean(1)[:, 0, -12:].reshape(3, 2, 2, 3)  # frames, rows, columns of tubelets
    spread = own.repeat(2, 1).repeat(3, 2).repeat(2, 3)[..., None]
    assert laid.values == pytest.approx(np.broadcast_to(spread, laid.values.shape), abs=1e-6)
    told = Audit({**SUBJECT, "inputs": "video"}, examples=examples(), attention=reading, attended=laid)
    figures = next(s for s in sections(told) if s.id == "attention").figures
    assert [f.title for f in figures[1:]] == [f"Where the model looks, in {reading.names[-1]}"] * 3
    assert told.html().count("<svg") >= 4


def test_what_a_reading_can_place_needs_no_more(model, data):
    reading = attention.read(model, data, examples())
    assert attention.laid(model, data, examples(), reading) is None
    mean = pl.wrap(pl.models.vision_transformer((8, 8, 1), 3, patch=4, heads=2, pool="mean"))
    assert attention.laid(mean, data, examples(), attention.read(mean, data, examples())) is None


def test_an_audit_with_attention_comes_back_from_its_folder(told, tmp_path):
    folder = told.save(tmp_path / "audit")
    assert load(folder) == told
    assert load(folder).html() == told.html()


def test_an_audit_reads_attention_as_one_of_its_steps(model, data, monkeypatch):
    monkeypatch.setattr("pellucid.report.gather._verify", lambda found: None)
    asked = {"method": pl.Gradient(), "measures": (), "examples": 1, "budget": None}
    found = gather(model, (data, data), asked, 0, False)
    rows = [e.row for e in attention.shown(found.examples)]
    assert found.attention is not None
    assert found.attention["block_1/attention"] == pytest.approx(
        pl.attention(model, data.take(rows))["block_1/attention"], abs=1e-6
    )
    (checked,) = found.verification
    assert (checked.name, checked.detail["adversary"]) == ("attention_faithfulness", None)
    spent = found.explanation.provenance.evaluations + len(rows) + checked.provenance.evaluations
    assert found.evaluations == spent
    assert found.trust == "unverified", "that attention was checked verifies no explanation"


@pytest.mark.parametrize("keys, examples", [(20, 64), (200, 30), (5000, 16)])
def test_what_is_checked_is_bounded(keys, examples):
    made = AttentionReading({"look": np.ones((1, 1, 1, keys)) / keys}, np.zeros((1, keys)), np.zeros((1, 2)))
    check = attention.check(made)
    assert (check.examples, check.adversary) == (examples, None)


def test_the_page_says_whether_attention_is_a_faithful_account(told, attended):
    def page(verdict, *numbers, **more):
        checked = attended(verdict, *numbers, **more)
        return next(s for s in sections(dataclasses.replace(told, verification=(checked,))) if s.id == "attention")

    found = page("not faithful", 0.4, 0.1, idle=5)
    assert found.banner["word"] == "not faithful"
    assert "do not read it as a reason" in found.banner["text"]
    rows = found.tables[0].table.rows
    assert "in 20 rows" in found.tables[0].title
    assert [row[1:] for row in rows] == [
        ("0.40", "0.30\xa0to\xa00.50", "more than 0.0500", "yes"), ("0.10", "0.00\xa0to\xa00.20", "more than 0.333", "no"),
        ("0.30", "0.20\xa0to\xa00.40", "", ""),
    ]  # fmt: skip
    assert "Said by 15 rows" in rows[1][0]
    assert page("faithful", 0.4, 0.6).banner["severity"] == "good"
    none = Measurement("attention_faithfulness", None, None, "not applicable", {"explanation": "two parts only"})
    unasked = next(s for s in sections(dataclasses.replace(told, verification=(none,))) if s.id == "attention")
    assert (unasked.banner["word"], unasked.tables) == ("not checked", ())
    assert "was not found out: two parts only." in unasked.banner["text"]


def test_the_checks_of_attention_stand_beside_attention_alone(told, attended):
    made = dataclasses.replace(told, verification=(attended("faithful", 0.4, 0.6),))
    verification = next(s for s in sections(made) if s.id == "verification")
    assert verification.tables == ()
    assert summary(made)["verification"][0]["parts"]["permutation"]["value"] == 0.4


def test_explanations_made_of_attention_that_is_not_faithful_are_doubted(model, data, attended, monkeypatch):
    made = attended("not faithful", 0.4, 0.1)
    monkeypatch.setattr(pl.AttentionFaithfulness, "examined", lambda *_: made)
    asked = {"method": pl.AttentionWeights(), "measures": (), "examples": 1, "budget": None}
    found = gather(model, (data, data), asked, 0, False)
    (told,) = (f for f in found.findings if f.code == "PL-ATT-001")
    assert told.severity == "warning"
    assert found.trust in ("doubtful", "refuted")
    assert found.trust == "refuted" or "made of attention" in found.trust_reason


def test_without_attention_nothing_changes(audited):
    assert audited.attention is None
    assert 'id="attention"' not in audited.html()
    assert not any("attention" in question.lower() for question, _ in audited.skipped)
