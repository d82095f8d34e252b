"""Fuzz targets of the load stage: mutated files in, an image or a typed refusal out.

`targets.TARGETS` holds them. `test_fuzz.py` drives a short fixed slice, ``python -m tests.fuzz.run`` drives them at
length, with guidance by coverage where atheris can be imported.
"""
