"""The time of a run by part, one after another: what a plan adds up.

Reading, decoding and commits overlap with training; their parts are what they add to it.
"""

from __future__ import annotations

from dataclasses import dataclass

# From the command to the first step of a ResNet-20, and the rates at which the state is copied in
# the step, and written and hashed by a thread. Measured on a quiet 2-core machine without a GPU
# (docs/measurements/commits-and-ray_cpu_2026-11.md); a GPU's copy was not measured.
START_S, START_RAY_S = 10.0, 19.0
COPY_BYTES_S, WRITE_BYTES_S = 1.0e9, 0.3e9
# As execution/background_commit.py chooses: at most this share of the time, and at least this many
# seconds between two commits.
COMMIT_SHARE, COMMIT_EVERY_S = 0.02, 10.0


@dataclass(frozen=True)
class TimePart:
    """A part of the work and the seconds that it takes."""

    name: str
    seconds: float


@dataclass(frozen=True)
class Workload:
    """What a run does besides the arithmetic of one step.

    Attributes:
        epoch_images: Images in the steps of an epoch.
        epochs: Number of epochs.
        fill_images_s: Images that all nodes together read from their disks and decode, a second.
        nodes: Machines, each of which decodes every image once.
        copy_s: Seconds in which a node copies the set from object storage, before the first step.
        forwards: Forward passes before and after the steps, on one device.
        state_bytes: Size of a checkpoint.
        publish_bytes_s: Rate at which a checkpoint is stored; infinite on a disk.
    """

    epoch_images: int
    epochs: int
    fill_images_s: float = float("inf")
    nodes: int = 1
    copy_s: float = 0.0
    forwards: int = 0
    state_bytes: float = 0.0
    publish_bytes_s: float = float("inf")


def time_parts(
    work: Workload, images_s: float, forwards_s: float, with_ray: bool
) -> list[TimePart]:
    """For a rate of all devices in steps, and one of a device in forward passes."""
    training_s = work.epochs * work.epoch_images / images_s
    parts = [
        TimePart("start-up", START_RAY_S if with_ray else START_S),
        TimePart("first copy", work.copy_s),
        TimePart("preparation and checks", work.forwards / forwards_s),
        TimePart("training", training_s),
        TimePart("cache fill", fill_s(work, images_s)),
        TimePart("commits", commits_s(work, training_s)),
    ]
    return [part for part in parts if part.seconds > 0 or part.name == "training"]


def fill_s(work: Workload, images_s: float) -> float:
    """What reading and decoding add to the training.

    A node decodes an image when its share of an epoch first has it: of `nodes`, in epoch e (from 0)
    it misses (1 - 1 / nodes)^e of its share.
    """
    trains_s = work.epoch_images / images_s
    decodes_s = work.epoch_images / work.fill_images_s
    added_s, misses = 0.0, 1.0
    for _ in range(work.epochs):
        if misses * decodes_s <= trains_s:
            break
        added_s += misses * decodes_s - trains_s
        misses *= 1 - 1 / work.nodes
    return added_s


def commits_s(work: Workload, training_s: float) -> float:
    """The copies in the steps, and the last commit, for which the run waits."""
    copy_s = work.state_bytes / COPY_BYTES_S
    written_s = work.state_bytes / WRITE_BYTES_S + work.state_bytes / work.publish_bytes_s
    # The next commit waits for the last.
    between_s = max(COMMIT_EVERY_S + written_s, copy_s / COMMIT_SHARE)
    return copy_s * (1 + training_s // between_s) + written_s
