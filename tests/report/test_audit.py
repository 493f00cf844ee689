"""An audit measures, explains, verifies and judges; it writes all or nothing, and reads back what it wrote."""

import dataclasses
import json
import os

import numpy as np
import pytest

import pellucid as pl
from pellucid.core.measurement import Measurement
from pellucid.errors import InvalidInput, InvalidOption, InvalidRecord, UnwritableOutput
from pellucid.measure.base import Measure
from pellucid.report.audit import Audit
from pellucid.report.finding import Finding
from pellucid.report.gather import baseline, part


@dataclasses.dataclass(frozen=True, eq=False)
class Broken(Measure):
    quantity = "broken"

    def compute(self, context) -> Measurement:
        raise RuntimeError("the reason it broke")


def pieces():
    generator = np.random.default_rng(0)
    x = generator.normal(size=(60, 3)).astype(np.float32)
    y = (x[:, 0] > 0).astype(int)
    model = pl.wrap(
        lambda x: np.stack([1 / (1 + np.exp(3 * x[:, 0])), 1 / (1 + np.exp(-3 * x[:, 0]))], 1), output="probabilities"
    )
    return model, (x[:30], y[:30]), (x[30:], y[30:])


def test_everything_is_there(audited):
    assert {m.name.split(".")[0] for m in audited.measurements} >= {
        "performance",
        "gap",
        "calibration_error",
        "leakage",
    }
    assert audited.sampled == 80
    assert audited.importance.names == ("a", "b", "c", "d")
    assert {f.code for f in audited.findings} >= {"PL-PER-001", "PL-GEN-001", "PL-CAL-001", "PL-TRU-001"}
    assert audited.trust in ("trusted", "doubtful", "refuted")
    assert len(audited.verification) == 3
    assert audited.subject["parameters"] == 4 * 8 + 8 + 8 * 2 + 2


def test_the_model_and_the_world_are_left_alone(audited):
    import keras

    from pellucid.core.randomness import stream

    generator = stream(0, "x")
    x = generator.normal(size=(40, 4)).astype(np.float32)
    keras.utils.set_random_seed(0)
    net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, "softmax")])
    model, y = pl.wrap(net), (x[:, 0] > 0).astype(int)
    before, state = model.fingerprint(), np.random.get_state()[1].copy()
    pl.audit(model, train=(x[:20], y[:20]), test=(x[20:], y[20:]), measures=[pl.Gap()], progress=False)
    assert model.fingerprint() == before
    assert (np.random.get_state()[1] == state).all()


def test_the_same_seed_gives_the_same_findings():
    model, train, test = pieces()
    one, two = (
        pl.audit(model, train=train, test=test, measures=[pl.Performance()], seed=4, progress=False) for _ in range(2)
    )
    assert one.findings == two.findings
    assert one.importance == two.importance


def test_importance_is_of_the_fair_sample_alone(audited):
    sample = np.abs(audited.explanation.values[: audited.sampled]).mean(0)
    assert audited.importance.values == pytest.approx(sample)


def test_shown_rows_have_the_role_they_are_said_to_have(audited):
    roles = {example.role for example in audited.examples}
    assert {"typical", "borderline"} <= roles
    for example in audited.examples:
        assert example.right is not True if example.role == "confidently wrong" else True
        assert example.predicted in ("no", "yes")
    border = min(e.probability for e in audited.examples if e.role == "borderline")
    assert border <= min(e.probability for e in audited.examples if e.role == "typical")


def test_rows_can_be_asked_for():
    model, train, test = pieces()
    found = pl.audit(model, train=train, test=test, measures=[pl.Gap()], examples=[3, 7], progress=False)
    assert [(e.role, e.row) for e in found.examples] == [("asked for", 3), ("asked for", 7)]


def test_a_model_without_gradients_is_explained_without_them():
    model, train, test = pieces()
    found = pl.audit(model, train=train, test=test, measures=[pl.Performance()], progress=False)
    assert type(found.explanation.method).__name__ == "PermutationShapley"
    (open_question,) = [f for f in found.findings if f.code == "PL-AUD-001"]
    assert open_question.severity == "note"
    assert "PermutationShapley was used" in open_question.evidence


def test_one_measure_that_breaks_does_not_break_the_audit():
    model, train, test = pieces()
    found = pl.audit(model, train=train, test=test, measures=[Broken(), pl.Performance()], progress=False)
    assert [m.name for m in found.measurements] == ["performance.accuracy"]
    (told,) = [f for f in found.findings if f.code == "PL-AUD-001"]
    assert told.severity == "warning"
    assert "Measuring Broken: failed: RuntimeError: the reason it broke" in told.evidence


def test_bad_input_is_refused_before_any_work():
    model, (x, y), test = pieces()
    with pytest.raises(InvalidInput, match="train: "):
        pl.audit(model, train=(np.full_like(x, np.nan), y), test=test, progress=False)
    with pytest.raises(InvalidInput, match="labels"):
        pl.audit(model, train=(x, y), test=pl.Dataset(x), progress=False)
    with pytest.raises(InvalidInput, match="test: the label 8 at row 0"):
        pl.audit(model, train=(x, y), test=(x, y + 7), progress=False)
    with pytest.raises(InvalidOption, match="measures"):
        pl.audit(model, train=(x, y), test=test, measures=["accuracy"], progress=False)
    with pytest.raises(InvalidOption, match="method"):
        pl.audit(model, train=(x, y), test=test, measures=[pl.Gap()], method="ig", progress=False)


def test_saving_and_loading_give_the_same(audited, tmp_path):
    folder = audited.save(tmp_path / "report")
    assert sorted(p.name for p in folder.iterdir()) == ["arrays.npz", "audit.json", "index.html", "record.json"]
    assert Audit.load(folder) == audited
    assert Audit.load(folder).html() == (folder / "index.html").read_text(encoding="utf-8")
    with pytest.raises(InvalidRecord):
        Audit.load(tmp_path / "nothing")


def test_the_summary_has_its_documented_keys(audited, tmp_path):
    told = json.loads((audited.save(tmp_path / "r") / "audit.json").read_text(encoding="utf-8"))
    assert list(told) == [
        "format", "verdict", "sentence", "trust", "subject", "findings", "measurements", "verification", "importance",
        "examples", "skipped", "notes", "provenance",
    ]  # fmt: skip
    assert told["format"] == "pellucid-audit/1"
    assert told["findings"][0]["code"].startswith("PL-")
    assert set(told["findings"][0]) == {
        "code", "severity", "title", "evidence", "value", "interval", "unit", "limits", "next_step", "documentation",
    }  # fmt: skip
    gap = next(m for m in told["measurements"] if m["name"] == "gap.accuracy")
    assert gap["interval"]["low"] <= gap["value"] <= gap["interval"]["high"]
    assert gap["parts"]["train"]["value"] is not None


def test_a_folder_that_cannot_be_written_is_left_as_it_was(audited, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UnwritableOutput):
        audited.save(tmp_path / "file" / "report")
    with pytest.raises(UnwritableOutput):
        audited.save(tmp_path / "file")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "mine"


def test_a_page_that_cannot_be_made_leaves_nothing(audited, tmp_path, monkeypatch):
    monkeypatch.setattr(Audit, "html", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        audited.save(tmp_path / "report")
    assert os.listdir(tmp_path) == []


def finding(severity, title="It does this"):
    return Finding("PL-GEN-001", severity, title, "told")


@pytest.mark.parametrize(
    "severities, word",
    [([], "sound"), (["good", "note"], "sound"), (["warning", "good"], "caution"), (["critical", "warning"], "unfit")],
)
def test_the_verdict_is_that_of_the_gravest_finding(severities, word):
    found = Audit({}, findings=tuple(map(finding, severities)))
    assert found.verdict == word
    assert ("it does this" in found.sentence) == (word != "sound")


def test_the_sentence_stays_short():
    found = Audit({}, findings=tuple(finding("warning", f"Point {i}") for i in range(6)))
    assert found.sentence == "Usable with care: point 0; point 1; point 2; and 3 more."


def test_the_baseline_is_the_mean_row_of_a_table_and_zero_elsewhere():
    x = np.array([[1.0, 2.0], [3.0, 6.0]])
    assert baseline(pl.Dataset(x)).tolist() == [2.0, 4.0]
    assert baseline(pl.Dataset(np.ones((2, 4, 4, 1)))) == 0.0


def test_the_baseline_of_a_text_is_the_word_that_says_nothing():
    tokens = np.array([[2, 4, 5, 0], [2, 1, 3, 0]])
    text = lambda *words: baseline(pl.Dataset(tokens, vocabulary=("", *words)))  # noqa: E731
    hidden = lambda found: found.beside(tokens, "x").tolist()  # noqa: E731
    assert hidden(text("[UNK]", "[CLS]", "[MASK]", "not", "good")) == [[2, 3, 3, 0], [2, 1, 3, 0]]
    assert hidden(text("[UNK]", "film", "bad", "not", "good")) == [[1, 1, 1, 0], [1, 1, 1, 0]]
    assert text("the", "film", "bad", "not", "good") == 0.0
    assert baseline(pl.Dataset(tokens, kind="text")) == 0.0


def test_a_network_that_means_over_words_alone_is_verified():
    """With every word padding it would divide by zero: hidden words are unknown ones."""
    import keras

    keras.utils.set_random_seed(0)
    layers, generator = keras.layers, np.random.default_rng(0)
    x = generator.integers(2, 20, (300, 8)).astype("int32")
    x[np.arange(8) >= generator.integers(3, 9, (300, 1))] = 0
    y = (x == 5).any(1).astype(int)
    net = keras.Sequential([
        keras.Input((8,), dtype="int32"), layers.Embedding(20, 8, mask_zero=True), layers.GlobalAveragePooling1D(),
        layers.Dense(1, activation="sigmoid"),
    ])  # fmt: skip
    words = ("", "[UNK]", *(f"w{i}" for i in range(2, 20)))
    train, test = (pl.Dataset(x[part], y[part], vocabulary=words) for part in (slice(0, 150), slice(150, 300)))
    audit = pl.audit(net, train=train, test=test)
    assert np.isfinite([m.value for m in audit.verification if m.value is not None]).all()
    assert {m.name for m in audit.verification} > {"deletion"}
    assert not any("Verifying" in what for what, _ in audit.skipped)


def test_part_of_an_explanation_takes_the_same_rows_everywhere(audited):
    rows = np.array([5, 2])
    some = part(audited.explanation, rows)
    assert some.values.tolist() == audited.explanation.values[rows].tolist()
    assert some.output.tolist() == audited.explanation.output[rows].tolist()
    assert len(some) == 2


def test_measures_that_must_be_told_something_are_left_to_the_asker():
    kinds = {type(measure).__name__ for measure in pl.default_measures()}
    assert {"Performance", "Leakage", "ShiftDetection", "TestSetBound"} <= kinds
    assert not {"Subgroups", "DomainGap"} & kinds
