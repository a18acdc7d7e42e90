"""Assumptions that a call makes where its inputs leave a fact open, reported while it runs.

In Python they are warnings of this class; the command line prints each as one line.
"""

from __future__ import annotations

import warnings


class AssumptionWarning(UserWarning):
    """Something that the result depends on was assumed; the text says what and how to state it."""


def assume(sentence: str) -> None:
    """Warns the user. The caller also records it where it matters for the result."""
    warnings.warn(sentence, AssumptionWarning, stacklevel=3)
