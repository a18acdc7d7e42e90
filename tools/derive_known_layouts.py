"""Writes the keys and shapes of all encoders for `mimic-ray inspect`: after an encoder was added.

python tools/derive_known_layouts.py
"""

from mimic_ray.encoders.checkpoint.known_layouts import FILE, built_layouts, encode
from mimic_ray.encoders.encoder_registry import names

layouts = built_layouts(names())
FILE.write_bytes(encode(layouts))
print(f"{len(layouts)} encoders in {FILE}")
