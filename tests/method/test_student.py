from __future__ import annotations

import torch

from mimic_ray.encoders.encoder_registry import build
from mimic_ray.method.student import Student, encoder_weights


def test_the_weights_of_the_encoder_come_without_the_projector_and_fit_it():
    student = Student(build("tiny_resnet"), ["layer1"], projects=True, repeat_statistics=False)
    weights = encoder_weights(student.state_dict())
    assert weights.keys() == student.encoder.net.state_dict().keys()
    build("tiny_resnet").net.load_state_dict(weights)


def test_a_student_projects_both_views_only_if_it_has_a_projector():
    images = torch.rand(4, 3, 32, 32)
    plain = Student(build("tiny_resnet"), ["layer1"], projects=False, repeat_statistics=False)
    assert plain(images).projections is None
    projecting = Student(build("tiny_resnet"), [], projects=True, repeat_statistics=False)
    output = projecting(images, images.flip(-1))
    assert output.projections is not None
    assert [p.shape for p in output.projections] == [(4, 128), (4, 128)]
