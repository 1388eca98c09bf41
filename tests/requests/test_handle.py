"""Progress and stopping."""

import pytest

from portraitist.errors import Stopped
from portraitist.requests.handle import Handle, Progress


def test_a_listener_hears_of_every_step() -> None:
    heard: list[Progress] = []
    handle = Handle(heard.append)
    handle.report("sampling", 1, 2)
    handle.report("sampling", 2, 2)
    assert [each.done for each in heard] == [1, 2]
    assert handle.progress == Progress(stage="sampling", done=2, total=2)


def test_a_job_that_was_stopped_ends_at_its_next_report() -> None:
    handle = Handle()
    handle.report("sampling", 1, 4)
    handle.stop()
    with pytest.raises(Stopped, match="stopped while sampling, after 2 of 4"):
        handle.report("sampling", 2, 4)


def test_a_job_that_ends_by_itself_is_only_told() -> None:
    handle = Handle()
    handle.stop()
    handle.tell("training", 2, 4)
    assert handle.stopping.is_set


def test_what_is_finished_is_not_stopped() -> None:
    handle = Handle()
    handle.stop()
    handle.report("sampling", 4, 4)
