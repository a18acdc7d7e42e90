from __future__ import annotations

from pathlib import Path

from mimic_ray.workflows.python_call import python_call


def purify(encoder, out, *, settings=(), resume=False, on_progress=print):
    return python_call(purify, locals())


def test_a_call_is_recorded_without_defaults_and_callbacks():
    text = purify("resnet50", Path("runs/1"), settings=["training.steps=5"], on_progress=id)
    assert text == (
        "mimic_ray.purify(encoder='resnet50', out='runs/1', settings=['training.steps=5'])"
    )


def test_an_empty_list_is_the_default_of_an_empty_tuple():
    assert purify("resnet50", "out", settings=[]) == (
        "mimic_ray.purify(encoder='resnet50', out='out')"
    )
