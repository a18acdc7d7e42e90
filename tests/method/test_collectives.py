"""One worker alone. Two workers exchange everything in test_two_workers.py."""

import torch

from mimic_ray.method.collectives import ProcessGroup


def test_a_worker_alone_exchanges_nothing_and_needs_no_process_group():
    group = ProcessGroup()
    rows = torch.randn(5, 3, requires_grad=True)
    assert group.gather(rows, 5) is rows
    assert group.mean(rows) is rows
    assert group.broadcast({"step": 3}) == {"step": 3}
    assert group.any(True)
    assert not group.any(False)
    group.barrier()
    assert not torch.distributed.is_initialized()
