"""A whole comparison on toy images with toy defences: choice, failures, resuming, blindness."""

from __future__ import annotations

import json
import signal
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import mimic_ray
from mimic_ray.base.errors import DataError, RunFolderError, StoppedError, TrainingError, UsageError
from mimic_ray.defences.defence_registry import DEFENCES
from mimic_ray.encoders.encoder_registry import build
from mimic_ray.evaluation import revival
from mimic_ray.execution import defence_run
from mimic_ray.store.progress_file import read_progress
from mimic_ray.workflows import compare_runs, judge_defences, run_comparison
from tests.cli.toy_images import content_of, save_checkpoint, save_images
from tests.support import toy_defences

FILE = Path(toy_defences.__file__)
NOISE, TOO_MUCH, FAILS, TURNS, DOES_NOT_LAST = (
    f"{FILE}:{name}" for name in ("noise", "too_much", "fails", "turns", "does_not_last")
)


@pytest.fixture(scope="module", autouse=True)
def _toy_default():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(DEFENCES._members, "default", "tests.support.toy_defences:default")
        # Shorter, because here it only matters that they are done.
        distil = partial(revival.distilled_again, settings=revival.PlainDistillation(steps=2))
        tune = partial(revival.fine_tuned, settings=revival.FineTuning(epochs=1))
        patch.setattr(judge_defences, "distilled_again", distil)
        patch.setattr(judge_defences, "fine_tuned", tune)
        yield


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    for seed, name in enumerate(("images", "train", "test")):
        save_images(folder / name, each=24, seed=seed)
    (folder / "images" / "notes.txt").write_text("")
    save_checkpoint(folder / "suspect.safetensors", seed=0)
    save_checkpoint(folder / "clean.safetensors", seed=1)
    return folder


def compare(toy, out, *defences, labels=False, **options):
    if labels:
        options = {
            "train": toy / "train",
            "test": toy / "test",
            "trigger": "patch",
            "target": "red",
            "head": "linear",
            "head_seeds": 2,
        } | options
    # A busy machine may estimate days for toy steps.
    options = {"seeds": 2, "threads": 1, "yes": True} | options
    return mimic_ray.compare(
        "tiny_resnet",
        toy / "suspect.safetensors",
        toy / "images",
        out,
        defences=defences,
        **options,
    )


@pytest.fixture(scope="module")
def blind(toy, tmp_path_factory):
    """Four defences without labels: the result and its folder."""
    out = tmp_path_factory.mktemp("blind") / "compared"
    return compare(toy, out, NOISE, TOO_MUCH, FAILS), out


@pytest.fixture(scope="module")
def judged(toy, tmp_path_factory):
    """One defence with labels, the trigger and a reference."""
    out = tmp_path_factory.mktemp("judged") / "compared"
    return compare(toy, out, NOISE, labels=True, reference=toy / "clean.safetensors"), out


def test_each_defence_is_at_the_strongest_strength_that_keeps_default_s_cosine(blind):
    found, _ = blind
    row, bound = found.row(NOISE), found.row("default")
    assert row.strength == "scale=0.05"  # default has 0.1, the next is 0.5
    assert row.reached is True
    assert row.cosines[0] >= bound.cosines[0]
    assert (row.seeds, len(row.cosines)) == (2, 2)
    assert (bound.strength, bound.reached) == ("", None)
    assert row.notes == ("noise was added.",)


def test_a_defence_that_never_keeps_it_is_at_its_weakest_and_the_row_says_so(blind):
    row = blind[0].row(TOO_MUCH)
    assert (row.strength, row.reached) == ("scale=2", False)
    assert row.notes == ("no strength reaches the cosine of default; this is the weakest.",)


def test_a_defence_that_fails_has_a_row_with_the_reason_and_the_others_go_on(blind):
    row = blind[0].row(FAILS)
    assert row.cosine is None
    assert row.failure.startswith("failed: fails failed with RuntimeError: no idea about seed 0")
    assert [each.defence for each in blind[0].rows] == ["default", NOISE, TOO_MUCH, FAILS]


def test_without_labels_there_are_fidelity_and_cost_only(blind):
    row = blind[0].row(NOISE)
    assert (row.acc, row.asr) == (None, None)
    assert (row.images_seen, row.clock) == (100, "CPU")
    assert row.seconds > 0


def test_the_folder_has_the_record_the_tables_and_every_encoder(blind):
    found, out = blind
    names = {path.name for path in out.iterdir()}
    tables = {"comparison.json", "comparison.csv", "comparison.md", "comparison.tex"}
    assert names == {*tables, "progress.json", "runs"}
    record = json.loads((out / "comparison.json").read_text())
    assert record["status"] == "finished"
    assert record["left_out"] == {"not an image": {"count": 1, "first": "notes.txt"}}
    assert record["choices"][NOISE] == {"strength": 0.05, "reached": True}
    assert len(record["rows"]) == len(found.rows)
    assert "32 held out" in found.settings["clean images"]
    # default: 2 seeds; noise: 2, 0.5 and 0.05 with 2 seeds; too_much: 4 and 2 with 2 seeds.
    assert len([*out.rglob("student.safetensors")]) == 2 + 4 + 3


def test_the_progress_counts_runs_and_ends_with_the_comparison(blind):
    progress = read_progress(blind[1])
    assert progress.comparison
    # default: 2; noise: 3 and 1 more seed of 4 strengths; too_much: 1 and 2 of 2; fails: 2.
    assert (progress.step, progress.steps) == (2 + 4 + 3 + 2, 2 + 5 + 3 + 2)
    assert (progress.status, progress.study) == ("finished", False)


def test_labels_give_acc_and_asr_with_intervals_and_what_lasts(judged):
    found, out = judged
    assert [row.defence for row in found.rows] == ["suspect", "reference", "default", NOISE]
    row = found.row(NOISE)
    for name in ("acc", "asr", "acc_distilled", "asr_distilled", "acc_tuned", "asr_tuned"):
        share = getattr(row, name)
        assert share.low <= share.share <= share.high, name
    assert (row.acc.total, row.asr.total) == (72, 48)
    assert row.acc.share > 0.9  # colours are easy
    reference = found.row("reference")
    assert reference.asr is None
    assert row.asr_b == reference.asr_b
    assert found.row("suspect").asr_distilled is None
    assert {f"comparison.{end}" for end in ("png", "pdf", "svg", "csv", "tex", "md")} <= {
        path.name for path in out.iterdir()
    }


def test_a_resumed_comparison_does_only_what_is_missing(toy, judged, monkeypatch):
    _, out = judged
    before = content_of(out / "runs")
    missing = out / "runs" / "default" / "own" / "seed-1" / "run.json"
    missing.unlink()
    ran = []
    monkeypatch.setattr(
        compare_runs,
        "run_unit",
        lambda inputs, unit, on_step: (ran.append(unit), defence_run.run_unit(inputs, unit))[1],
    )
    measured = []
    monkeypatch.setattr(
        "mimic_ray.workflows.judge_defences.Judge._measured",
        lambda *args: measured.append(args) or pytest.fail("measured again"),
    )
    again = compare(toy, out, NOISE, labels=True, reference=toy / "clean.safetensors", resume=True)
    assert [(unit.defence, unit.seed) for unit in ran] == [("default", 1)]
    assert measured == []
    assert again.row(NOISE) == judged[0].row(NOISE)
    after = content_of(out / "runs")
    assert {k for k in after if after[k] != before[k]} <= {missing}  # its CPU seconds


def test_an_own_defence_may_join_and_leave_when_a_comparison_is_resumed(toy, tmp_path):
    code = tmp_path / "mine.py"
    code.write_text("def nothing(inputs):\n    return inputs.suspect\n")
    own, out = f"{code}:nothing", tmp_path / "compared"
    rule = {"seeds": 1, "stop_rule": False}
    compare(toy, out, "default", **rule)
    joined = compare(toy, out, own, resume=True, **rule)
    assert [row.defence for row in joined.rows] == ["default", own]
    compare(toy, out, "default", resume=True, **rule)
    code.write_text("def nothing(inputs):\n    return inputs.suspect.eval()\n")
    with pytest.raises(RunFolderError, match="user code"):
        compare(toy, out, own, resume=True, **rule)


def test_an_encoder_that_diverges_while_it_is_judged_has_a_row_that_says_so(toy, tmp_path):
    found = compare(toy, tmp_path / "out", DOES_NOT_LAST, NOISE, seeds=1, labels=True)
    row = found.row(DOES_NOT_LAST)
    assert (row.seeds, row.acc.total) == (1, 72)
    assert (row.acc_distilled, row.asr_distilled, row.acc_tuned, row.asr_tuned) == (None,) * 4
    assert row.failure == (
        "ACC and ASR after distillation not measured: The loss is nan after 0 % of the steps. "
        "ACC and ASR after fine-tuning not measured: The loss is nan after 0 % of the steps."
    )
    for defence in ("default", NOISE):
        other = found.row(defence)
        assert (other.failure, other.acc_tuned.total) == ("", 72)
    assert row.failure in (tmp_path / "out" / "comparison.md").read_text()


def test_a_seed_whose_features_cannot_be_used_is_left_out_of_the_row(toy, tmp_path, monkeypatch):
    measured = judge_defences.Judge._measured

    def fails_once(judge, name, encoder, seed):
        if seed == 1:
            raise DataError("The features are not finite.")
        return measured(judge, name, encoder, seed)

    monkeypatch.setattr(judge_defences.Judge, "_measured", fails_once)
    found = compare(toy, tmp_path / "out", NOISE, labels=True, lasting=False)
    row = found.row(NOISE)
    assert row.acc.total == 72
    assert row.failure == ("ACC and ASR of 1 of 2 seeds not measured: The features are not finite.")


def test_other_labels_change_neither_a_choice_nor_an_encoder(toy, judged, tmp_path):
    """The trigger, the target class, the labels themselves: nothing that is chosen sees them."""
    save_images(tmp_path / "images", each=24, seed=5)
    (tmp_path / "images" / "red").rename(tmp_path / "images" / "x")
    (tmp_path / "images" / "blue").rename(tmp_path / "images" / "red")
    (tmp_path / "images" / "x").rename(tmp_path / "images" / "blue")
    out = tmp_path / "other"
    compare(toy, out, NOISE, labels=True, train=tmp_path / "images", trigger="sine", target="green")

    def chosen(folder):
        encoders = {
            str(path.relative_to(folder)): path.read_bytes()
            for path in folder.rglob("student.safetensors")
        }
        return json.loads((folder / "comparison.json").read_text())["choices"], encoders

    assert chosen(out) == chosen(judged[1])


def test_choices_are_recorded_before_a_labelled_image_is_decoded(toy, tmp_path, monkeypatch):
    seen = {}

    def open_judge(store, *_, stop_if_asked, head):
        stop_if_asked()
        assert head is None
        seen.update(json.loads((store.folder / "comparison.json").read_text()))
        raise TrainingError("enough")

    monkeypatch.setattr(run_comparison, "open_judge", open_judge)
    out = tmp_path / "compared"
    with pytest.raises(TrainingError, match="enough"):
        compare(toy, out, NOISE, labels=True)
    assert seen["choices"][NOISE] == {"strength": 0.05, "reached": True}
    record = json.loads((out / "comparison.json").read_text())
    assert (record["status"], record["error"]) == ("failed", "enough")


def test_another_teacher_or_other_settings_are_refused(toy, judged):
    _, out = judged
    before = content_of(out)
    with pytest.raises(RunFolderError, match=r"is 0\.5 now"):
        compare(toy, out, NOISE, labels=True, held_out=0.5, resume=True)
    with pytest.raises(RunFolderError, match="holds another comparison"):
        compare(toy, out, NOISE, labels=True)
    assert content_of(out) == before


def test_curves_have_a_row_for_each_strength(toy, tmp_path):
    found = compare(toy, tmp_path / "out", NOISE, curves=True, seeds=1)
    rows = [row for row in found.rows if row.defence == NOISE]
    assert [row.value for row in rows] == [0.02, 0.05, 0.5, 2.0]
    assert [row.chosen for row in rows] == [False, True, False, False]
    cosines = [row.cosine for row in rows]
    assert cosines == sorted(cosines, reverse=True)
    assert len(found.chosen()) == 2


def test_features_that_turn_are_measured_behind_a_linear_map_as_well(toy, tmp_path):
    found = compare(toy, tmp_path / "out", TURNS, seeds=1, labels=True, head="knn", lasting=False)
    assert [row.defence for row in found.rows] == [
        "suspect",
        "default",
        TURNS,
        f"{TURNS} mapped back",
    ]
    plain, mapped = found.rows[2:]
    assert (plain.mapped, mapped.mapped) == (False, True)
    assert mapped.cosine > plain.cosine
    assert mapped.acc.total == plain.acc.total
    assert mapped.notes == ("the map is fitted on the clean images, without labels.",)
    assert len([*(tmp_path / "out").rglob("mapped/outcomes.npz")]) == 1


def test_without_the_rule_defences_have_their_own_settings(toy, tmp_path):
    found = compare(toy, tmp_path / "out", NOISE, stop_rule=False, seeds=1)
    row = found.row(NOISE)
    assert (row.strength, row.reached) == ("scale=0.5", None)
    assert row.cosine < found.row("default").cosine


def test_if_default_fails_there_is_no_bound(toy, tmp_path, monkeypatch):
    def fails(*_):
        raise TrainingError("no memory")

    with monkeypatch.context() as patch:
        patch.setattr(toy_defences, "moved", fails)
        with pytest.raises(TrainingError, match=r"default failed.*no memory.*stop_rule=False"):
            compare(toy, tmp_path / "out", NOISE)
    assert compare(toy, tmp_path / "out", NOISE, resume=True).rows


def test_ctrl_c_keeps_what_ended(toy, tmp_path, monkeypatch):
    out = tmp_path / "out"
    done = []

    def run_unit(inputs, unit, on_step):
        if len(done) == 3:
            signal.raise_signal(signal.SIGINT)
        done.append(unit)
        return defence_run.run_unit(inputs, unit, on_step)

    monkeypatch.setattr(compare_runs, "run_unit", run_unit)
    with pytest.raises(StoppedError, match="Stopped after 3 runs") as raised:
        compare(toy, out, NOISE)
    assert raised.value.exit_code == 130
    assert len([*out.rglob("run.json")]) == 3
    assert json.loads((out / "comparison.json").read_text())["status"] == "stopped"
    assert (read_progress(out).status, read_progress(out).step) == ("stopped", 3)
    monkeypatch.setattr(compare_runs, "run_unit", defence_run.run_unit)
    assert compare(toy, out, NOISE, resume=True).row(NOISE).seeds == 2


def test_the_head_in_the_suspect_file_judges_every_encoder_and_is_not_trained(toy, tmp_path):
    tensors = load_file(toy / "suspect.safetensors")
    width = build("tiny_resnet").spec.feature_width
    # Its bias sends every image to class 2, red.
    head = {"fc.weight": torch.zeros(3, width), "fc.bias": torch.tensor([0.0, 0.0, 1.0])}
    for name in ("suspect", "clean"):
        (tmp_path / name).mkdir()
        save_file({**tensors, **head}, tmp_path / name / "suspect.safetensors")
    reference = tmp_path / "clean" / "suspect.safetensors"
    options = {"labels": True, "head": "own", "seeds": 1, "lasting": False}
    labelled = {"train": toy / "train", "test": toy / "test", "reference": reference}
    (tmp_path / "suspect" / "images").symlink_to(toy / "images")
    found = compare(tmp_path / "suspect", tmp_path / "out", NOISE, **options, **labelled)
    assert [row.acc.share for row in found.rows] == [pytest.approx(1 / 3)] * len(found.rows)
    assert {row.asr.share for row in found.rows if row.asr} == {1.0}
    assert {row.asr_b.share for row in found.rows} == {1.0}
    assert "not trained" in found.settings["head"]


def test_the_head_of_a_file_judges_every_encoder_and_another_one_judges_again(toy, tmp_path):
    width = build("tiny_resnet").spec.feature_width
    for index, name in ((2, "red"), (0, "blue")):  # the class that each head always gives
        head = {"weight": torch.zeros(3, width), "bias": torch.eye(3)[index]}
        save_file(head, tmp_path / f"{name}.safetensors")
    options = {"labels": True, "seeds": 1, "lasting": False, "reference": toy / "clean.safetensors"}

    def found(name, **more):
        head = tmp_path / f"{name}.safetensors"
        return compare(toy, tmp_path / "out", NOISE, **options, head=head, **more)

    red = found("red")
    assert [row.acc.share for row in red.rows] == [pytest.approx(1 / 3)] * len(red.rows)
    assert {row.asr.share for row in red.rows if row.asr} == {1.0}
    assert {row.asr_b.share for row in red.rows} == {1.0}
    assert red.settings["head"].startswith("red.safetensors: weight in red.safetensors (SHA-256 ")
    # Outcomes that another head gave are not reused.
    assert {row.asr.share for row in found("blue", resume=True).rows if row.asr} == {0.0}


def test_a_suspect_file_without_a_head_is_refused_before_any_defence_runs(toy, tmp_path):
    with pytest.raises(UsageError, match="no linear classifier"):
        compare(toy, tmp_path / "out", NOISE, labels=True, head="own")
    assert not (tmp_path / "out").exists()
