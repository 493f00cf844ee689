"""A bar says how long it will take after its first step, however long that was."""

import time

from pellucid.core.progress import Progress


def test_the_time_left_is_known_after_one_long_step(capsys, monkeypatch):
    now = [100.0]
    with Progress("work", 5, show=True) as bar:
        task = bar._bar.tasks[0]
        task._get_time = bar._bar.get_time = lambda: now[0]
        task._progress.clear()
        bar._bar.advance(bar._task, 0)
        assert task.time_remaining is None
        now[0] += 90.0
        bar.advance()
        assert task.time_remaining == 360
        now[0] += 30.0
        bar.advance()
        assert task.time_remaining == 180
    capsys.readouterr()


def test_nothing_is_shown_where_it_is_not_asked_for(capsys):
    with Progress("work", 3, show=False) as bar:
        bar.advance()
        time.sleep(0)
    assert capsys.readouterr() == ("", "")
