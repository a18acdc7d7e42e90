import time
from threading import Event

from mimic_ray.distributed.drain_notice import DrainNotice


def counted(notice):
    """The count after the thread that asks has ended."""
    notice.count()
    assert notice._calls.join(5)
    return notice.count()


def test_each_node_that_begins_to_drain_counts_once():
    answers, clock = [set(), {"a"}, {"a", "b"}, {"b"}, set()], [0.0]
    notice = DrainNotice(now=lambda: clock[0], draining=lambda: answers.pop(0))
    seen = []
    for _ in range(5):
        seen.append(counted(notice))
        clock[0] += 2
    assert seen == [0, 1, 2, 2, 2]


def test_the_cluster_is_asked_every_two_seconds_and_an_error_is_no_notice():
    asked, clock = [], [0.0]

    def draining():
        asked.append(clock[0])
        raise ConnectionError

    notice = DrainNotice(now=lambda: clock[0], draining=draining)
    while clock[0] < 5:
        assert counted(notice) == 0
        clock[0] += 0.5
    assert asked == [0.0, 2.0, 4.0]


def test_a_head_that_does_not_answer_does_not_hold_the_driver():
    answer = Event()
    notice = DrainNotice(draining=lambda: answer.wait(30) and {"a"})
    started = time.monotonic()
    for _ in range(10):
        notice.count()
    assert time.monotonic() - started < 5
    answer.set()
    assert notice._calls.join(5)
    assert notice.count() == 1
