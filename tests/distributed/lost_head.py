"""A clock, and a head that may stop answering."""

from __future__ import annotations

from mimic_ray.distributed.head_health import HeadHealth


class World:
    """A test moves `now`, and sets `is_up`."""

    def __init__(self):
        self.now, self.is_up, self.connections = 0.0, True, 0

    def answers(self, _):
        self.connections += 1
        return self.is_up

    def health(self, *advice):
        return HeadHealth("10.0.0.1:6379", *advice, now=lambda: self.now, answers=self.answers)

    def health_of(self, address, *advice):
        """Instead of `cluster_head`."""
        return self.health(*advice) if address else None

    def wait(self, seconds, check):
        """Calls `check` each second."""
        for _ in range(int(seconds)):
            self.now += 1
            check()
