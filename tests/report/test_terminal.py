"""What a terminal shows, to the letter; and the same in Markdown."""

from rich.console import Console

from pellucid.core.resampling import Interval
from pellucid.report.audit import Audit
from pellucid.report.finding import Finding

SUBJECT = {"model": "net", "data": "[bold]toy[/bold]", "test_rows": 1234, "train_rows": 56}
FINDINGS = (
    Finding("PL-GEN-001", "critical", "It does worse on new data", "told", 0.15, Interval(0.11, 0.19), unit="points"),
    Finding("PL-TRU-001", "good", "The explanations hold", "told"),
)


def made():
    return Audit(SUBJECT, findings=FINDINGS, trust="trusted")


def printed(width, colour=None):
    console = Console(record=True, width=width, file=open("/dev/null", "w"), color_system=colour, highlight=False)  # noqa: SIM115
    with console.file:
        console.print(made())
    return console


def test_to_the_letter():
    assert [line.rstrip() for line in printed(100).export_text().splitlines()] == [
        "▲ unfit  net on [bold]toy[/bold]",
        "Do not rely on this model yet: it does worse on new data.",
        "1,234 rows held out, 56 for training · explanations trusted",
        "",
        "severity    code        finding                        value  interval",
        "▲ critical  PL-GEN-001  It does worse on new data  15\u00a0points  11\u00a0to\u00a019\u00a0points",
        "✓ good      PL-TRU-001  The explanations hold",
    ]


def test_a_narrow_terminal_wraps_the_words_and_keeps_the_figures():
    lines = printed(72).export_text().splitlines()
    assert max(map(len, lines)) <= 72
    assert any("15\u00a0points" in line and "11\u00a0to\u00a019\u00a0points" in line for line in lines)


def test_severities_are_coloured():
    text = printed(100, "standard").export_text(styles=True)
    assert "\x1b[31m▲ critical" in text
    assert "\x1b[32m✓ good" in text


def test_markdown_keeps_data_from_being_markup():
    told = Audit({**SUBJECT, "model": "a|b<i>*"}, findings=FINDINGS).markdown()
    assert told.splitlines()[0] == "## a\\|b&lt;i&gt;\\* on \\[bold\\]toy\\[/bold\\]: unfit"
    assert (
        "| ▲ critical | PL-GEN-001 | It does worse on new data | 15\u00a0points | 11\u00a0to\u00a019\u00a0points |"
        in told
    )
