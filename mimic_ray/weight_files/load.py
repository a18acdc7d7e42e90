"""Loads a weight file into an encoder."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from mimic_ray.base.assumptions import assume
from mimic_ray.base.user_code import is_user_code
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.encoders.encoder_registry import build
from mimic_ray.weight_files.alternatives import facts_of_spec
from mimic_ray.weight_files.choice import assumption
from mimic_ray.weight_files.fetch import at_hand
from mimic_ray.weight_files.layout import LIMIT_BYTES
from mimic_ray.weight_files.read import Checkpoint, read_checkpoint
from mimic_ray.weight_files.resolve import Fit, fit
from mimic_ray.weight_files.sniff import shown

# The command line prints what is logged here as notes.
_LOGGER = logging.getLogger("mimic_ray.encoders")


@dataclass(frozen=True)
class Loaded:
    """An encoder with its weights, the file they came from, and how its keys were matched."""

    encoder: Encoder
    checkpoint: Checkpoint
    fit: Fit
    assumed: str = ""  # what the file does not determine and was taken from the name, as a sentence

    def log_finding(self) -> str:
        """Logs, and returns, what loading the file the ordinary way would call or import; "" if
        nothing."""
        return log_finding(self.checkpoint)


def log_finding(checkpoint: Checkpoint) -> str:
    """Logs, and returns, what loading a file the ordinary way would call or import; "" if
    nothing."""
    finding = checkpoint.contents.finding()
    if finding:
        finding = f"{shown(checkpoint.path)}: {finding} None of it was run."
        _LOGGER.warning("%s", finding)
    return finding


def load_checkpoint(location: str | Path, encoder_name: str) -> Loaded:
    """The encoder of that name with the weights at `location`: float32, eval mode, no gradients.

    `location` is a path or an address. Raises UnknownNameError for the name, a CheckpointError for
    the file, StorageError if it cannot be fetched.
    """
    encoder = build(encoder_name)  # first, so a wrong name is found before a large file is read
    checkpoint = read_checkpoint(at_hand(location, LIMIT_BYTES))
    fitted = fit(checkpoint, encoder)
    encoder.net.load_state_dict(fitted.state)
    encoder.eval().requires_grad_(False)
    assumed = _assumed(checkpoint, encoder, fitted)
    if assumed:
        assume(assumed)
    return Loaded(encoder, checkpoint, fitted, assumed)


def _assumed(checkpoint: Checkpoint, encoder: Encoder, fitted: Fit) -> str:
    if is_user_code(
        encoder.spec.name
    ):  # the author of the network knows what the weights do not determine
        return ""
    return assumption(checkpoint.layout(), fitted, facts_of_spec(encoder.spec))
