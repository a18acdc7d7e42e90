"""A second queue of work on a GPU, in which the views of a step are made beside the one before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

HandOver = Callable[..., None]


class ViewStream:
    """Views are made beside the training step: drawing perturbations asks the device how many
    images got one, and on the main stream that question would wait for the step before."""

    def __init__(self, device: torch.device) -> None:
        self._stream: torch.cuda.Stream | None = None
        if device.type == "cuda":
            self._stream = torch.cuda.Stream(device)
            # Whatever exists by now may be read from it.
            self._stream.wait_stream(torch.cuda.current_stream(device))

    @contextmanager
    def use(self) -> Iterator[HandOver]:
        """Runs the block on the side stream; tensors that are used outside must be handed over."""
        if self._stream is None:
            yield lambda *made: None
            return
        main, side = torch.cuda.current_stream(self._stream.device), self._stream

        def hand_over(*made: Tensor | None) -> None:
            for tensor in made:
                if tensor is not None:
                    # Its memory must not be used again before the main stream is done with it.
                    tensor.record_stream(main)

        with torch.cuda.stream(side):
            yield hand_over
        main.wait_stream(side)
