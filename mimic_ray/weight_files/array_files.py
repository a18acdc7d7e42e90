"""The formats of files of named arrays, each with its reader and its writer."""

from __future__ import annotations

from mimic_ray.weight_files import sniff
from mimic_ray.weight_files.msgpack_weights import read_msgpack, write_msgpack
from mimic_ray.weight_files.npz_weights import read_npz, write_npz

READERS = {sniff.NPZ: read_npz, sniff.FLAX: read_msgpack}
WRITERS = {sniff.NPZ: write_npz, sniff.FLAX: write_msgpack}
