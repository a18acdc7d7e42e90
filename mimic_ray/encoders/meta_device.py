"""Networks on the meta device: shapes without values, and without the work of drawing them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

# They set initial values only. On the meta device torch would work out each of their steps in
# Python: two thirds of the time to build a network.
_INITIALISERS = {
    *(getattr(nn.init, name) for name in dir(nn.init) if name[0] != "_" and name[-1] == "_"),
    *(Tensor.normal_, Tensor.uniform_, Tensor.erfinv_, Tensor.fill_, Tensor.zero_, Tensor.copy_),
    *(Tensor.add_, Tensor.sub_, Tensor.mul_, Tensor.div_, Tensor.clamp_),
}


class _NoValues(TorchFunctionMode):
    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if function in _INITIALISERS:
            tensor = args[0] if args else kwargs["tensor"]
            if tensor.is_meta:
                return tensor
        return function(*args, **kwargs)


@contextmanager
def meta_device() -> Iterator[None]:
    """Modules made inside the block have the shapes and types of their tensors, but no values."""
    with torch.device("meta"), _NoValues():
        yield
