"""The sections of a recipe: every setting with its type, bounds, default and meaning.

`configs/default.toml` holds the recommended values, `configs/mimic.toml` adds mutual information,
`configs/official.toml` has the values of the MIMIC authors. Every key has the default recipe's
value here, so that a recipe file names only what it changes. Sizes are shares of the image side,
pixel values lie in [0, 1].
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from mimic_ray.base.effort import Effort
from mimic_ray.base.member_settings import FrozenModel, setting
from mimic_ray.base.precision import Precision
from mimic_ray.method.estimators.estimator_registry import ESTIMATORS
from mimic_ray.method.recipe_tables import Estimators, Loss, Perturbations

# Random numbers are made of int64 keys: see base/seeds.py.
LARGEST_SEED = 2**63 - 1

Basis = Literal["pixel", "fourier", "coarse", "patch"]


class StudentStart(FrozenModel):
    """The student's weights before the first step."""

    start: Annotated[
        Literal["teacher", "partial", "random"],
        setting(
            '"teacher": the teacher\'s weights; "partial": those, with a share re-initialised; '
            '"random": random weights.'
        ),
    ] = "teacher"
    renewed: Annotated[
        float,
        setting(
            'For start = "partial": probability with which each entry of a weight or bias is '
            "re-initialised; norms and embeddings stay.",
            ge=0,
            le=1,
        ),
    ] = 0.1


class Views(FrozenModel):
    """What the two networks see of an image."""

    kind: Annotated[
        Literal["flip_and_shift", "simclr"],
        setting("Augmentation of a view: flip and small shift, or SimCLR's crop and colours."),
    ] = "flip_and_shift"
    shift: Annotated[
        float, setting("Largest shift.", unit="share of the image side", ge=0, le=1)
    ] = 3 / 32
    asymmetric: Annotated[
        bool,
        setting(
            "The student sees the perturbed image, the teacher the plain one. This removes the "
            "backdoor: with equal views the student also learns the teacher's reaction to a "
            "trigger."
        ),
    ] = True
    fixed: Annotated[
        int,
        setting(
            "0: new views in each epoch. K: each image has K views, which repeat every K epochs, "
            "so that the teacher's outputs can be computed once; perturbations are still new.",
            unit="views",
            ge=0,
            le=64,
        ),
    ] = 0
    repeat_statistics: Annotated[
        bool,
        setting(
            "Batch-norm statistics move three times a step, as in the authors' code, which runs "
            "the first view twice."
        ),
    ] = False


class Adversary(FrozenModel):
    """Perturbations common to all images, improved by the student's own gradient."""

    bases: Annotated[
        tuple[Basis, ...], setting("Kinds of perturbation; an empty list turns the adversary off.")
    ] = ("pixel", "fourier", "coarse", "patch")
    slots_per_basis: Annotated[
        int, setting("Perturbations kept of each kind.", unit="slots", ge=1, le=64)
    ] = 2
    slots_per_step: Annotated[
        int, setting("Perturbations used in a step.", unit="slots", ge=1, le=64)
    ] = 4
    share: Annotated[
        float,
        setting("Share of the student's images that get one; 0 turns it off.", ge=0, le=1),
    ] = 0.5
    size: Annotated[
        float,
        setting(
            "Largest change of a pixel; a new perturbation draws 0.5 to 1.5 times this.",
            unit="pixel values in [0, 1]",
            ge=0,
            le=1,
        ),
    ] = 0.14
    uses: Annotated[
        int,
        setting(
            "A perturbation starts again from noise after this many uses, since the student has "
            "learnt the old one.",
            unit="steps",
            ge=1,
        ),
    ] = 16

    @property
    def active(self) -> bool:
        return self.share > 0 and len(self.bases) > 0


class Openings(FrozenModel):
    """Changes under which a scan found that the suspect encoder's features gather."""

    share: Annotated[
        float,
        setting("Share of the student's images that get one; 0 turns the search off.", ge=0, le=1),
    ] = 0.5
    kept: Annotated[int, setting("The strongest that are used.", unit="changes", ge=1, le=64)] = 8
    effort: Annotated[
        Effort, setting('Of the search: "full" or "quick", as in `mimic-ray scan`.')
    ] = "full"

    @property
    def active(self) -> bool:
        return self.share > 0


class MutualInformation(FrozenModel):
    """How the profile is estimated, and which taps the loss terms use with which weight."""

    of: Annotated[
        Literal["teacher", "student"],
        setting(
            'The network whose shares decide: the paper says "teacher", the authors\' code does '
            '"student", with random weights.'
        ),
    ] = "teacher"
    estimator: Annotated[
        str, setting(f"One of {', '.join(ESTIMATORS)}, or a class of your own as file.py:NAME.")
    ] = "gaussian"
    images: Annotated[int, setting("Images that are scored.", unit="images", ge=2)] = 2000
    taps: Annotated[
        tuple[str, ...],
        setting('Taps that are scored: names or patterns such as "block*".', min_length=1),
    ] = ("*",)
    threshold: Annotated[
        float,
        setting("Taps with a smaller share of the sum are not used.", unit="share", ge=0, le=1),
    ] = 0.0
    floor: Annotated[float, setting("The weight of a kept tap is floor + scale * share.", ge=0)] = (
        0.0
    )
    scale: Annotated[float, setting("See floor.", ge=0)] = 1.0

    @field_validator("estimator")
    @classmethod
    def _known(cls, name: str) -> str:
        if not ESTIMATORS.takes(name):
            raise ValueError(f"mutual_information.estimator: {ESTIMATORS.unknown(name)}")
        return name


class Training(FrozenModel):
    """The optimisation, by Adam."""

    steps: Annotated[int, setting("Updates of the student.", unit="steps", ge=1)] = 600
    batch: Annotated[
        int,
        setting(
            "Images in a step over all workers, so that a recipe means the same on any number "
            "of them.",
            unit="images",
            ge=2,
        ),
    ] = 64
    learning_rate: Annotated[float, setting("Largest rate.", gt=0)] = 4e-3
    scale_learning_rate: Annotated[
        Literal["none", "linear", "sqrt"],
        setting("The rate is that of a batch of 64; times batch / 64 or its square root."),
    ] = "none"
    weight_decay: Annotated[float, setting("Of Adam.", ge=0)] = 0.0
    schedule: Annotated[
        Literal["one_cycle", "constant"],
        setting("one_cycle: a linear rise, then a cosine down to 0."),
    ] = "one_cycle"
    warmup: Annotated[
        float,
        setting("Length of the rise.", unit="share of the steps", ge=0, le=1),
    ] = 0.1
    precision: Annotated[
        Precision, setting("auto: bf16 where the hardware supports it, else fp32.")
    ] = "auto"
    seed: Annotated[int, setting("Decides everything that is random.", ge=0, le=LARGEST_SEED)] = 0
    accumulate: Annotated[
        int,
        setting(
            "Each worker's share of a batch is computed in this many parts, one in memory at a "
            "time. The step is that of the whole share, except that batch norm sees a part.",
            unit="parts",
            ge=1,
        ),
    ] = 1
    sync_batch_norm: Annotated[
        bool,
        setting(
            "Batch norm over the global batch with several workers, else over each one's share."
        ),
    ] = True
    checkpoint_activations: Annotated[
        bool,
        setting("Less memory for a second forward pass of the student; the result is the same."),
    ] = False
    compile: Annotated[
        bool, setting("torch.compile for both encoders: minutes at the start, then faster steps.")
    ] = False


class Sections(FrozenModel):
    """The tables of a recipe, each valid by itself. recipe.py checks that they agree."""

    student: StudentStart = StudentStart()
    views: Views = Views()
    perturbations: Perturbations = Field(default_factory=lambda: Perturbations({}))
    adversary: Adversary = Adversary()
    openings: Openings = Openings()
    loss: Loss = Field(default_factory=lambda: Loss({}))
    mutual_information: MutualInformation = MutualInformation()
    estimators: Estimators = Field(default_factory=lambda: Estimators({}))
    training: Training = Training()
