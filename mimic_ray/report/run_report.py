"""The plots and the model card of a run folder."""

from __future__ import annotations

from mimic_ray.report.model_card import read_evaluation, write_model_card
from mimic_ray.report.plots import plot_evaluation, plot_losses, plot_profile
from mimic_ray.store.checksums import write_sums
from mimic_ray.store.metrics_log import read_metrics
from mimic_ray.store.profile_file import read_profile
from mimic_ray.store.run_folder import RunFolder
from mimic_ray.store.run_record import RunRecord


def write_report(folder: RunFolder, record: RunRecord, address: str = "") -> None:
    """Draws the plots, writes README.md and then the checksums of all files.

    Can be repeated. `address` is the location of the run, if it is not this folder.
    """
    if folder.profile.exists():
        plot_profile(read_profile(folder.profile), folder.profile_plot)
    if rows := read_metrics(folder):
        plot_losses(rows, folder.loss_plot)
    evaluation = read_evaluation(folder)
    if evaluation and evaluation.rows:
        plot_evaluation(evaluation.rows, folder.evaluation_plot)
    write_model_card(folder, record, address)
    write_sums(folder.path)
