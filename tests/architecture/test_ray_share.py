"""`make test` starts Ray three times: for a purification, a search and a head."""

from __future__ import annotations

# The run and the search with a Ray of their own; the head with a job and with a killed command.
SHARED = {"ray_run", "finished", "head"}


def test_tests_on_ray_share_a_run_or_are_slow(request):
    """Of all tests that were collected together with this one."""
    others = [
        item.nodeid
        for item in request.session.items
        if item.get_closest_marker("ray")
        and not item.get_closest_marker("slow")
        and not SHARED & {*item.fixturenames}
    ]
    assert others == []
