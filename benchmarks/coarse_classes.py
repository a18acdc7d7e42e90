"""ImageNet shards as folders of four coarse classes, for a linear probe with few images.

The order of ImageNet's 1,000 classes follows WordNet, so that ranges of it have a meaning. An
evaluation takes the folder as labelled images.

    python -m benchmarks.coarse_classes imagenet-sample/val-0001.tar.gz --out coarse/train
"""

from __future__ import annotations

import argparse
import tarfile
from pathlib import Path

# Name -> its first class; it ends before the next one.
FIRST = {
    "fish_reptiles_birds": 0,
    "other_animals": 151,
    "artefacts": 398,
    "food_and_nature": 922,
}


def coarse(label: int) -> str:
    """The coarse class of a class of ImageNet, 0 to 999."""
    return [name for name, first in FIRST.items() if first <= label][-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shards", type=Path, nargs="+", help="tars of NAME.jpg and NAME.cls")
    parser.add_argument("--out", type=Path, required=True, help="new folder")
    given = parser.parse_args()
    for name in FIRST:
        (given.out / name).mkdir(parents=True)
    for shard in given.shards:
        with tarfile.open(shard) as tar:
            content = {entry.name: file.read() for entry in tar if (file := tar.extractfile(entry))}
        for name, image in content.items():
            if name.endswith(".jpg"):
                label = int(content[name.removesuffix(".jpg") + ".cls"])
                (given.out / coarse(label) / Path(name).name).write_bytes(image)


if __name__ == "__main__":
    main()
