"""Writes the keys and shapes of all encoders for `mimic-ray inspect`: after an encoder was added.

python tools/derive_known_layouts.py
"""

from mimic_ray.encoders.encoder_registry import names
from mimic_ray.weight_files.known_layouts import FILE, built_layouts, encode

layouts = built_layouts(names())
FILE.write_bytes(encode(layouts))
print(f"{len(layouts)} encoders in {FILE}")
