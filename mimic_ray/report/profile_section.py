"""What the model card says about mutual information: whether it was used, and the scores."""

from __future__ import annotations

from mimic_ray.base.text import plain
from mimic_ray.method.losses.weighted_terms import surely_reads_no_tap
from mimic_ray.method.mi_profile import Profile
from mimic_ray.method.recipe import Recipe
from mimic_ray.report.table_files import markdown_table
from mimic_ray.report.tables import profile_table
from mimic_ray.store.profile_file import read_profile
from mimic_ray.store.run_folder import RunFolder

_UNIFORM = "uniform"  # the estimator that looks at no image
_SCORED = {"teacher": "the teacher", "student": "the same network with random weights"}


def mutual_information_sentence(recipe: Recipe) -> str:
    """Whether the recipe uses what the method is named after."""
    if surely_reads_no_tap(recipe.loss):
        return (
            "Mutual information was not used: no term of the loss reads a layer, so the profile of "
            "the teacher below had no effect on the student."
        )
    settings = recipe.mutual_information
    estimator = f"`mutual_information.estimator`: {plain(settings.estimator)}"
    if settings.estimator == _UNIFORM:
        return (
            "Mutual information was not used: the layers that the loss reads have equal weights "
            f"({estimator})."
        )
    return (
        f"Mutual information of layers and features, estimated in {_SCORED[settings.of]}, chose "
        f"the layers that the loss reads and weighted them ({estimator}). The profile below has "
        "the scores."
    )


def profile_section(folder: RunFolder, recipe: Recipe) -> str:
    """The scores of the taps, as a table and a picture; weights only if they had an effect."""
    profile = read_profile(folder.profile)
    weighted = not surely_reads_no_tap(recipe.loss)
    table = profile_table(profile, weights=weighted)
    lines = [_meaning(profile, weighted=weighted), "", markdown_table(table.header, table.lines)]
    if folder.profile_plot.exists():
        lines += ["", f"![score by tap]({folder.profile_plot.name})"]
    return "\n".join(lines)


def _meaning(profile: Profile, *, weighted: bool) -> str:
    if profile.estimator == _UNIFORM:
        return f"The estimator `{_UNIFORM}` gives all taps the same score."
    text = (
        "How strongly the feature depends on each tap: the score of one estimator "
        f"({plain(profile.estimator)}, {profile.images:,} images). Compare taps with each other "
        "and with the same network untrained; the score is not the true mutual information."
    )
    if profile.of == "student":
        follow = "Share and weight follow" if weighted else "The share follows"
        text += f" {follow} from the scores of the untrained network."
    return text
