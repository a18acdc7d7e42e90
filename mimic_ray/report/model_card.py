"""The model card: README.md of a run, for users of the purified encoder.

It says what was done, what was measured and what was not measured. It does not claim that the
encoder is clean, because a distillation cannot prove that no trigger works.
"""

from __future__ import annotations

import json

from mimic_ray.base import files
from mimic_ray.base.errors import RunFolderError
from mimic_ray.base.redact import redact
from mimic_ray.base.text import count, plain
from mimic_ray.data.perturbations.perturbation_registry import PERTURBATIONS
from mimic_ray.encoders.normalisation import name_of
from mimic_ray.evaluation.results import Evaluation
from mimic_ray.method.adversary import BASES
from mimic_ray.method.quick_recipe import QUICK_IN_WORDS
from mimic_ray.method.recipe import Recipe
from mimic_ray.method.training_size import too_little
from mimic_ray.report.fidelity_text import fidelity_sentence, fidelity_warning
from mimic_ray.report.profile_section import mutual_information_sentence, profile_section
from mimic_ray.report.run_scan_text import scan_section
from mimic_ray.report.table_files import markdown, markdown_text
from mimic_ray.report.tables import evaluation_table
from mimic_ray.store.metrics_log import read_metrics
from mimic_ray.store.recipe_file import load_recipe
from mimic_ray.store.run_folder import RunFolder
from mimic_ray.store.run_record import RunRecord


def write_model_card(folder: RunFolder, record: RunRecord, address: str = "") -> None:
    """Writes README.md from the content of the run folder, with evaluation.json if it exists.

    `address` is the location of the run, if it is not this folder.
    """
    recipe = load_recipe(str(folder.recipe))
    name = address or folder.path.resolve().name
    sections = [
        _summary(name, record, recipe),
        _what_was_done(folder, record, recipe),
        _imitated(recipe, record.openings_imitated),
        _measured(folder, record, recipe),
        _not_measured(),
        _how_to_load(folder, name, record),
        _how_to_reproduce(record),
    ]
    files.write_text(folder.card, redact("\n\n".join(sections)) + "\n")


def read_evaluation(folder: RunFolder) -> Evaluation | None:
    """evaluation.json of the run, or None. Raises RunFolderError if it is damaged."""
    try:
        return Evaluation.from_json(json.loads(folder.evaluation.read_bytes()))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunFolderError(
            f"{folder.evaluation} is damaged ({type(error).__name__}): delete it and run "
            "mimic-ray evaluate again."
        ) from None


def _summary(name: str, record: RunRecord, recipe: Recipe) -> str:
    broken = (
        f", {count(record.broken_images, 'broken image')} skipped" if record.broken_images else ""
    )
    if omitted := sum(found.count for found in record.left_out.values()):
        broken += f", {count(omitted, 'other file')} left out"
    resumed = ", ".join(map(str, record.resumed_from))
    lines = [
        f"| | {markdown_text(name)} |",
        "|:--|:--|",
        f"| Status | {record.status}, {count(record.step, 'step')} of {recipe.training.steps:,} |",
        f"| Encoder | {markdown_text(record.encoder)} |",
        *_input(record),
        f"| Teacher | {markdown_text(record.teacher)}, sha256 `{plain(record.teacher_sha256)}` |",
        *(f"| Its file | {markdown_text(note, 1000)} |" for note in record.teacher_notes),
        f"| Images | {record.images:,} unlabelled{broken}; {markdown_text(record.data)}, "
        f"fingerprint `{plain(record.data_fingerprint)}` |",
        *([f"| Effort | quick: {QUICK_IN_WORDS} |"] if record.effort == "quick" else []),
        f"| Time | {record.train_time()}, started {plain(record.started_at)}"
        + (f", resumed after step {resumed}" if resumed else "")
        + " |",
    ]
    return "\n".join(
        [
            f"# {markdown_text(record.encoder)}, purified by mimic-ray",
            "",
            "An image encoder that was distilled from a suspect one, to remove a backdoor that it "
            "may have had. Read the sections on measurements before you rely on it.",
            "",
            *lines,
        ]
    )


def _input(record: RunRecord) -> list[str]:
    """The rows about the images that the encoder takes; none for a record of an earlier version."""
    if not record.input:
        return []
    side, mean, std = (record.input[key] for key in ("size", "mean", "std"))
    name = name_of(tuple(mean), tuple(std))
    numbers = f"mean {' '.join(f'{x:g}' for x in mean)}, std {' '.join(f'{x:g}' for x in std)}"
    rows = [
        f"| Input | {markdown_text(str(side))} pixels, {numbers}{f' ({name})' if name else ''} |"
    ]
    if record.assumed:
        rows.append(f"| Assumed | {markdown_text(record.assumed)} |")
    return rows


def _what_was_done(folder: RunFolder, record: RunRecord, recipe: Recipe) -> str:
    start = {
        "teacher": "the weights of the suspect encoder (the teacher)",
        "partial": "the teacher's weights, "
        f"{100 * recipe.student.renewed:g} % of the entries of its weights reinitialised",
        "random": "random weights",
    }[recipe.student.start]
    views = (
        "The student got perturbed images and learned to reproduce the teacher's features of the "
        "plain images."
        if recipe.views.asymmetric
        else "Student and teacher got the same views."
    )
    terms = ", ".join(
        f"{plain(name)} {table.weight:g}" for name, table in recipe.loss.active().items()
    )
    lines = [
        "## What was done",
        "",
        f"A student that started from {start} was distilled for {count(record.step, 'step')} of "
        f"{recipe.training.batch} images. {views} Weights of the loss terms: {terms}. All settings "
        "are in `recipe.toml`.",
        "",
        mutual_information_sentence(recipe),
    ]
    if rows := read_metrics(folder):
        first, last = rows[0], rows[-1]
        lines += [
            "",
            f"Loss {first['loss']:.4g} at step {first['step']:.0f}, {last['loss']:.4g} at step "
            f"{last['step']:.0f}.",
        ]
    if folder.loss_plot.exists():
        lines += ["", f"![loss by step]({folder.loss_plot.name})"]
    return "\n".join(lines)


def _imitated(recipe: Recipe, openings: int) -> str:
    lines = ["## Kinds of trigger that the recipe imitates", ""]
    drawn = recipe.perturbations.active() if recipe.views.asymmetric else {}
    lines += [
        f"- {_words(name)} (on {100 * table.probability:.0f} % of the student's images, strength "
        f"{table.strength:g})"
        for name, table in drawn.items()
    ]
    if recipe.adversary.active:
        bases = ", ".join(BASES[basis] for basis in recipe.adversary.bases)
        lines.append(
            f"- an adversary that searches for universal changes, in: {bases} (on "
            f"{100 * recipe.adversary.share:.0f} % of the student's images)"
        )
    if openings:
        lines.append(
            f"- what a scan of the suspect encoder found: {count(openings, 'change')} under which "
            f"its features gather (on {100 * recipe.openings.share:.0f} % of the student's images)"
        )
    if len(lines) == 2:
        lines.append(
            "None: student and teacher get the same images. If the student starts from the "
            "attacked weights, such a distillation preserves the backdoor."
        )
    left_out = [_words(name) for name in PERTURBATIONS if name not in drawn]
    if left_out:
        lines += ["", f"Not imitated, although supported: {'; '.join(left_out)}."]
    return "\n".join(lines)


def _words(perturbation: str) -> str:
    """The description of a perturbation within a sentence; the name of a user's own."""
    words = PERTURBATIONS.description(perturbation)
    return markdown_text(words[0].lower() + words[1:])


def _measured(folder: RunFolder, record: RunRecord, recipe: Recipe) -> str:
    lines = ["## What was measured", ""]
    if warning := too_little(recipe, record.images):
        lines += [f"**{warning}**", ""]
    if record.fidelity:
        warning = fidelity_warning(record.fidelity)
        lines += [f"**{warning}**", ""] if warning else []
        lines += [
            f"Fidelity: {fidelity_sentence(record.fidelity)}. The cosine is that of the student's "
            "and the teacher's feature of an image, the neighbours are the ten nearest images. "
            "Both are 1 for an unchanged encoder, so they tell how much of its work is kept, and "
            "not whether a backdoor is gone. On small networks at 32 pixels, cosines of 0.956 to "
            "0.965 went with 0.4 to 1.7 points of accuracy lost, and one of 0.868 with 6 points.",
            "",
        ]
    if record.scan and "off" not in record.scan:
        imitated = record.openings_imitated
        lines += [*scan_section(record.scan, folder.scan_picture.name, imitated), ""]
    evaluation = read_evaluation(folder)
    if evaluation and evaluation.rows:
        lines += [
            "ACC: accuracy of a head on the frozen features. ASR: share of triggered images that "
            "the head assigns to the attacker's target class. ASR-B: the same with an encoder that "
            "was never attacked, the floor of ASR.",
            "",
            markdown(evaluation_table(evaluation.rows)),
            *(
                f"- {markdown_text(name)}: {markdown_text(value)}"
                for name, value in evaluation.settings.items()
            ),
        ]
        if folder.evaluation_plot.exists():
            lines += ["", f"![ACC, ASR and ASR-B]({folder.evaluation_plot.name})"]
    else:
        lines.append(
            "Neither accuracy nor attack success: the run had no labels and no trigger. "
            "`mimic-ray evaluate` measures accuracy with labels, attack success with a trigger; "
            "`--into` puts them here, and `--head` takes the classifier that you use."
        )
    if folder.profile.exists():
        lines += ["", "### Profile of the teacher", "", profile_section(folder, recipe)]
    return "\n".join(lines)


def _not_measured() -> str:
    return "\n".join(
        [
            "## What was not measured",
            "",
            "- **No guarantee.** Distillation removes triggers like those that it imitates. A "
            "trigger of another kind may still work.",
            "- Triggers that differ between images, triggers that are natural objects, and "
            "attacks that were trained against these perturbations.",
            "- Whether the images contained triggers: the student copies the teacher's "
            "features of all images that it gets.",
        ]
    )


def _how_to_load(folder: RunFolder, name: str, record: RunRecord) -> str:
    exported = sorted(folder.export.iterdir()) if folder.export.exists() else []
    lines = [
        "## How to load it",
        "",
        "```python",
        "import mimic_ray",
        "",
        f"encoder = mimic_ray.load_encoder({plain(name)!r})  # eval mode, on the CPU",
        "features = encoder(images)  # [B, 3, S, S] in [0, 1] -> [B, D]; it normalises them itself",
        "```",
        "",
        "`student.safetensors` has the weights, `encoder.json` the architecture.",
    ]
    if exported:
        lines.append(
            f"`export/{plain(exported[0].name).replace('`', '')}` has the same weights in the "
            "layout of the teacher's file, so that your code can load it without changes."
        )
    if record.encoder.count(".py:"):
        lines.append("Your own code builds the encoder: pass `allow_code=True`.")
    return "\n".join(lines)


def _how_to_reproduce(record: RunRecord) -> str:
    versions = ", ".join(f"{plain(name)} {plain(v)}" for name, v in record.versions.items())
    compute = ", ".join(f"{plain(name)} {plain(v)}" for name, v in record.compute.items())
    return "\n".join(
        [
            "## How to reproduce it",
            "",
            "```",
            plain(record.command, limit=4000),
            "```",
            "",
            f"- Seed: {record.seed}, {count(record.workers, 'worker')}",
            f"- Versions: {versions}",
            f"- Computed on: {compute}",
            "",
            "One worker on a CPU with the same versions, threads and instruction set gives "
            "bit-identical weights. Other configurations differ by rounding.",
        ]
    )
