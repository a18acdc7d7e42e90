"""mimic-ray: weakens or removes backdoors in image encoders (MIMIC, arXiv 2406.03508).

A pretrained image encoder from an untrusted source may contain a backdoor: images with a small
trigger get the feature of a class that the attacker chose, and every classifier built on the
encoder inherits that. mimic-ray distils such an encoder into a new one, with a few thousand clean,
unlabelled images and perturbations that imitate triggers, so that the new encoder keeps the
features and loses the backdoor. It runs in this process, on the CPUs and GPUs of this machine, or
on a Ray cluster.

Five minutes, with a checkpoint file and a folder of images (`mimic-ray demo` is a complete example
with data):

    import mimic_ray

    # What is in the file, and which architecture fits it? No code in the file is run.
    found = mimic_ray.inspect("suspect.pth")
    print([match.encoder for match in found.fits])

    # Purify. The new folder "purified" contains the encoder and a model card, README.md.
    with mimic_ray.show_progress() as on_progress:
        result = mimic_ray.purify(
            "resnet50", "suspect.pth", "images", "purified", on_progress=on_progress
        )
    print(result.export)  # the purified weights, in the layout of suspect.pth

    # The encoder as a torch module: [B, 3, S, S] with values in [0, 1] -> features [B, D].
    encoder = mimic_ray.load_encoder("purified")

Functions, in the order of use:

    inspect       the content of a weight file, and which architectures fit it
    scan          signs of a backdoor in an encoder, without its trigger
    purify        the main step: a suspect checkpoint and clean images -> a purified encoder
    load_encoder  the encoder of a finished run
    evaluate      accuracy and attack success of encoders, with labels and a known trigger
    compare       defences in one table, each at the strength that one rule chooses for all
    profile       how strongly each layer depends on the feature (mutual information)
    tune          a search for the recipe that purifies an encoder best
    plan          memory, time and cost of a run on GPUs, before it starts
    attack        a backdoored encoder, to test defences
    show_progress progress of any of them, on a terminal or in a notebook

Classes:

    Recipe        all settings of a distillation, validated; `recipe=` takes a name, a file or this
    Resources     workers, CPUs, GPUs and the cluster of a run; `resources=` takes it
    Encoder, Spec your own architecture (see `help(mimic_ray.Encoder)`)
    Oracle        labels and trigger of a search for research; `oracle=` of `tune` takes it
    Progress      the argument of `on_progress`
    Cost          the argument of `on_cost`: what a run will take on this machine

All functions raise a `MimicError`, whose message says what is wrong and how to fix it, or one of
its children: UsageError (a wrong argument; UnknownNameError and RecipeError are special cases),
CheckpointError, DataError, StorageError, RunFolderError, DiskError, ResourceError, TrainingError
and StoppedError (after Ctrl-C or SIGTERM; run again with `resume=True`). No function reads
`sys.argv`; environment variables and signal handlers are restored when a call returns.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mimic_ray.base.package import __version__

if TYPE_CHECKING:
    from mimic_ray.base.errors import (
        CheckpointError,
        DataError,
        DiskError,
        MimicError,
        RecipeError,
        ResourceError,
        RunFolderError,
        StoppedError,
        StorageError,
        TrainingError,
        UnknownNameError,
        UsageError,
    )
    from mimic_ray.base.progress import Progress
    from mimic_ray.base.resources import Resources
    from mimic_ray.encoders.encoder import Encoder, Spec
    from mimic_ray.execution.export import load_encoder
    from mimic_ray.method.recipe import Recipe
    from mimic_ray.planning.run_cost import Cost
    from mimic_ray.report.progress_display import show_progress
    from mimic_ray.workflows.attack import attack
    from mimic_ray.workflows.compare import compare
    from mimic_ray.workflows.evaluate import evaluate
    from mimic_ray.workflows.inspect import inspect
    from mimic_ray.workflows.plan import plan
    from mimic_ray.workflows.profile import profile
    from mimic_ray.workflows.purify import purify
    from mimic_ray.workflows.scan import scan
    from mimic_ray.workflows.search_request import Oracle
    from mimic_ray.workflows.tune import tune

__all__ = [
    "CheckpointError",
    "Cost",
    "DataError",
    "DiskError",
    "Encoder",
    "MimicError",
    "Oracle",
    "Progress",
    "Recipe",
    "RecipeError",
    "ResourceError",
    "Resources",
    "RunFolderError",
    "Spec",
    "StoppedError",
    "StorageError",
    "TrainingError",
    "UnknownNameError",
    "UsageError",
    "__version__",
    "attack",
    "compare",
    "evaluate",
    "inspect",
    "load_encoder",
    "plan",
    "profile",
    "purify",
    "scan",
    "show_progress",
    "tune",
]

# Where the public names are defined. `import mimic_ray` alone imports neither torch nor ray.
_MODULES = {
    **{name: "base.errors" for name in __all__ if name.endswith("Error")},
    "Cost": "planning.run_cost",
    "Encoder": "encoders.encoder",
    "Oracle": "workflows.search_request",
    "Progress": "base.progress",
    "Recipe": "method.recipe",
    "Resources": "base.resources",
    "Spec": "encoders.encoder",
    "attack": "workflows.attack",
    "compare": "workflows.compare",
    "evaluate": "workflows.evaluate",
    "inspect": "workflows.inspect",
    "load_encoder": "execution.export",
    "plan": "workflows.plan",
    "profile": "workflows.profile",
    "purify": "workflows.purify",
    "scan": "workflows.scan",
    "show_progress": "report.progress_display",
    "tune": "workflows.tune",
}


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return [*__all__]
