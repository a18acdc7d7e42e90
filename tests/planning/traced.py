"""A traced step with simple numbers."""

from mimic_ray.planning.trace import Trace, Work

# 10 images, 4,000 bytes of parameters, 1,000 FLOPs per network and view.
TRACED = Trace(
    batch=10,
    student_parameters=1000,
    teacher_parameters=1000,
    parameter_bytes=4000,
    teacher_bytes=4000,
    largest_unit_bytes=500,
    forward_flops=1000,
    teacher_flops=1000,
    student_flops=3000,
    traffic=8000,
    work=(
        Work("matrix", 0, 600, 100),
        Work("convolution", 64, 400, 100),
        Work("other", 0, 0, 300),
    ),
    activations=7000,
    views=200,
    gradients=4000,
    workspace=50,
    peak_alone=19_250,
)
