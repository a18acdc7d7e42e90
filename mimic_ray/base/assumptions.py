"""Assumptions that a call makes where its inputs leave a fact open, reported while it runs.

In Python they are warnings of this class; the command line prints each as one line.
"""

from __future__ import annotations

import inspect
import warnings
from pathlib import Path

_PACKAGE = Path(__file__).parent.parent


class AssumptionWarning(UserWarning):
    """Something that the result depends on was assumed; the text says what and how to state it."""


def assume(sentence: str) -> None:
    """Warns the user. The caller also records it where it matters for the result."""
    warnings.warn(sentence, AssumptionWarning, stacklevel=_callers_level())


def _callers_level() -> int:
    """The `stacklevel` of `assume` at which the user's code calls the package.

    From Python 3.12 on, `skip_file_prefixes` of warnings.warn does the same.
    """
    frame, level = inspect.currentframe(), 0
    while frame and Path(frame.f_code.co_filename).is_relative_to(_PACKAGE):
        frame, level = frame.f_back, level + 1
    return level
