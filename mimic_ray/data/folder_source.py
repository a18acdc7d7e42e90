"""What a folder contains: images, or sets of images. If it is not clear, the user chooses."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path, PurePosixPath

from mimic_ray.base.errors import DataError
from mimic_ray.base.text import count, plain
from mimic_ray.data.archives import way_out
from mimic_ray.data.encoded_images import ImageSource
from mimic_ray.data.folder_survey import Survey, start_of, survey
from mimic_ray.data.image_folder import ImageFolder
from mimic_ray.data.left_out import sentences
from mimic_ray.data.local_shards import LocalShards
from mimic_ray.data.manifest import MANIFEST
from mimic_ray.data.names import IMAGE_SUFFIXES, is_shard, is_table, suffix_of
from mimic_ray.data.npz_file import NpzFile
from mimic_ray.data.shard_set import ShardSet
from mimic_ray.data.splits import require_one_split
from mimic_ray.data.zip_images import ZipImages

_Opener = Callable[[Sequence[Path], str], ImageSource]
_NOT_A_SET = (
    "is not a set of images: give a folder, a .tar, .tar.gz, .zip, .parquet or .npz file, or a "
    'pattern such as "train-*.tar".'
)
# By default a process can have 1,024 open files.
_OPEN_TARS = 256
# Files or folders that torchvision writes -> the data set.
_OF_TORCHVISION = {
    "cifar-10-batches-py": "CIFAR10",
    "cifar-100-python": "CIFAR100",
    "stl10_binary": "STL10",
    "train_32x32.mat": "SVHN",
    "test_32x32.mat": "SVHN",
    "MNIST": "MNIST",
    "FashionMNIST": "FashionMNIST",
}


def open_path(path: Path) -> ImageSource:
    """The images of a folder or a file. Raises DataError for a file of another kind."""
    name = path.name.lower()
    if path.is_dir():
        return open_folder(path)
    if name.endswith(".npz"):
        return NpzFile(path)
    if is_shard(name):
        return open_tars([path], str(path))
    if is_table(name):
        return open_tables([path], str(path))
    if name.endswith(".zip"):
        return ZipImages(path)
    raise DataError(f"{path} {way_out(path) or way_out(path, start_of(path)) or _NOT_A_SET}")


def open_folder(root: Path) -> ImageSource:
    """The images below `root`. Raises DataError if there are none, or if it is not clear which."""
    folder = LocalShards(root)
    there = folder.names()
    if MANIFEST in there:
        return ShardSet(str(root), [(folder, None)])
    if {"blobs", "refs", "snapshots"} <= set(there):  # a repository in the cache of Hugging Face
        return open_folder(_only_folder(root / "snapshots"))
    found = survey(root)
    if found.images:
        if loose := [name for name in found.shards if "/" not in name]:
            raise _both(found, loose)
        return ImageFolder(str(root), found)
    if name := next((name for name in there if name in _OF_TORCHVISION), None):
        data_set = _OF_TORCHVISION[name]
        raise DataError(
            f"{root} contains {name}, which torchvision reads: give torchvision:{data_set}:{root}."
        )
    return _open_sets(found)


def open_tars(paths: Sequence[Path], location: str) -> ShardSet:
    """The images of these tars, in this order."""
    keep_open = len(paths) <= _OPEN_TARS
    folders = groupby(paths, lambda path: path.parent)
    parts = [
        (LocalShards(f, keep_open=keep_open), [p.name for p in inside]) for f, inside in folders
    ]
    return ShardSet(location, parts)


def open_paths(paths: Sequence[Path], location: str) -> ImageSource:
    """The images of a list of tars, or of a list of images and of folders of images."""
    tars = [path for path in paths if is_shard(path.name) and not path.is_dir()]
    if len(tars) == len(paths):
        return open_tars(paths, location)
    if all(is_table(path.name) for path in paths):
        return open_tables(paths, location)
    if tars:
        other = next(path for path in paths if path not in tars)
        raise DataError(
            f"{location} names {count(len(tars), 'tar')}, such as {tars[0]}, and other files, such "
            f"as {other}: give a pattern that matches one kind."
        )
    if len(paths) == 1 and suffix_of(paths[0].name) not in IMAGE_SUFFIXES:
        return open_path(paths[0])
    paths = _without_contained(paths)
    found = Survey(Path(os.path.commonpath([path.parent for path in paths])))
    for path in paths:
        name = path.relative_to(found.root).as_posix()
        if path.is_dir():
            found.add_folder(name, survey(path))
        else:
            found.add(name)
    found.sort()
    if found.images:
        return ImageFolder(location, found)
    if found.shards:
        return open_tars([found.root / name for name in found.shards], location)
    raise _nothing(found, location)


def _without_contained(paths: Sequence[Path]) -> list[Path]:
    """Each path once, without those in a folder that is given too, as `photos/**` gives them."""
    if len({path.is_absolute() for path in paths}) > 1:
        paths = [path.absolute() for path in paths]
    folders = {path for path in paths if path.is_dir()}
    return [path for path in dict.fromkeys(paths) if folders.isdisjoint(path.parents)]


def open_tables(paths: Sequence[Path], location: str) -> ShardSet:
    """The images of these tables, of one folder or of several."""
    # pyarrow's readers are needed for few sets only.
    from mimic_ray.data.table_shards import TableShards

    folders = [(f, [p.name for p in inside]) for f, inside in groupby(paths, lambda p: p.parent)]
    parts = [(TableShards(folder, names[0]), names) for folder, names in folders]
    source = ShardSet(location, parts)
    source.notes += parts[0][0].notes
    return source


def _open_sets(found: Survey) -> ImageSource:
    """The tars, the tables or the zip below a folder without images."""
    root = found.root
    kinds: list[tuple[str, str, list[str], _Opener]] = [
        ("tar", "*.tar", found.shards, open_tars),
        ("table", "*.parquet", [n for n in found.tables if not _is_cache(n)], open_tables),
        ("zip", "*.zip", found.zips, lambda paths, _: ZipImages(paths[0])),
    ]
    kinds = [kind for kind in kinds if kind[2]]
    if not kinds:
        raise _nothing(found, root)
    if len(kinds) > 1:
        listed = " and ".join(f"{count(len(names), kind)}" for kind, _, names, _ in kinds)
        choices = " or ".join(f'"{root / names[0]}"' for _, _, names, _ in kinds)
        raise DataError(f"{root} contains {listed}. Choose one kind, such as {choices}.")
    kind, pattern, names, opener = kinds[0]
    folders = Counter(str(PurePosixPath(name).parent) for name in names)
    if len(folders) > 1 or (kind == "zip" and len(names) > 1):
        each = [f"{plain(name)} ({count(n, kind)})" for name, n in list(folders.items())[:4]]
        depth = "*/" * max(name.count("/") for name in names)
        every = "" if kind == "zip" else f', or all by a pattern such as "{root / depth / pattern}"'
        one = names[0] if kind == "zip" else next(iter(folders))
        raise DataError(
            f"{root} contains several sets: {' and '.join(each)}. Give one of them, such as "
            f"{root / one}{every}."
        )
    require_one_split(str(root / next(iter(folders))), map(_last, names), kind)
    if kind == "tar":
        source: ImageSource = ShardSet(str(root), [(LocalShards(root / next(iter(folders))), None)])
    else:
        source = opener([root / name for name in names], str(root))
    source.left_out.add_all(found.left_out)
    for name in set(found.tables) - set(names):
        source.left_out.add("a cache of the datasets library", name)
    return source


def _is_cache(name: str) -> bool:
    return _last(name).startswith("cache-") and name.endswith(".arrow")


def _last(name: str) -> str:
    return PurePosixPath(name).name


def _both(found: Survey, tars: Sequence[str]) -> DataError:
    """Images and tars in one folder: either can be what was left over."""
    root = found.root
    suffixes = sorted({PurePosixPath(name).suffix for name in found.images})
    end = f"*{suffixes[0]}" if len(suffixes) == 1 else f"*{{{','.join(suffixes)}}}"
    depths = {name.count("/") for name in found.images}
    folders = "*/" * depths.pop() if len(depths) == 1 else "**/"
    return DataError(
        f"{root} contains {count(len(found.images), 'image')} and {count(len(tars), 'tar')} "
        f'({plain(tars[0])}). Choose: "{root}/{folders}{end}" for the images, '
        f'"{root}/*.tar{"" if tars[0].endswith(".tar") else "*"}" for the tars.'
    )


def _nothing(found: Survey, root: Path | str) -> DataError:
    nothing = f"{root} contains no images and no .tar shards"
    for name in found.others:
        if advice := way_out(found.root / name):
            return DataError(f"{nothing}: {plain(name)} {advice}")
    left_out = found.beside_images()
    if not left_out:
        return DataError(f"{nothing}: it is empty.")
    return DataError(f"{nothing}, only {'; '.join(sentences(left_out))}.")


def _only_folder(folder: Path) -> Path:
    inside = sorted(path for path in folder.iterdir() if path.is_dir())
    if len(inside) != 1:
        choices = " or ".join(str(path) for path in inside[:3])
        raise DataError(f"{folder} contains {count(len(inside), 'version')}: give one: {choices}.")
    return inside[0]
