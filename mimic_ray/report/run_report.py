"""The plots, tables and the model card of a run folder."""

from __future__ import annotations

from mimic_ray.method.losses.weighted_terms import surely_reads_no_tap
from mimic_ray.report.model_card import read_evaluation, write_model_card
from mimic_ray.report.plots import plot_evaluation, plot_losses, plot_profile
from mimic_ray.report.table_files import write_tables
from mimic_ray.report.tables import evaluation_table, profile_table
from mimic_ray.store.checksums import write_sums
from mimic_ray.store.metrics_log import read_metrics
from mimic_ray.store.profile_file import read_profile
from mimic_ray.store.recipe_file import load_recipe
from mimic_ray.store.run_folder import RunFolder
from mimic_ray.store.run_record import RunRecord


def write_report(folder: RunFolder, record: RunRecord, address: str = "") -> None:
    """Draws the plots, writes tables, README.md and then the checksums of all files.

    Can be repeated. `address` is the location of the run, if it is not this folder.
    """
    if folder.profile.exists():
        profile = read_profile(folder.profile)
        weights = not surely_reads_no_tap(load_recipe(str(folder.recipe)).loss)
        plot_profile(profile, folder.profile_plot)
        write_tables(folder.path, folder.profile.stem, profile_table(profile, weights=weights))
    if rows := read_metrics(folder):
        plot_losses(rows, folder.loss_plot)
    evaluation = read_evaluation(folder)
    if evaluation and evaluation.rows:
        plot_evaluation(evaluation.rows, folder.evaluation_plot)
        write_tables(folder.path, folder.evaluation.stem, evaluation_table(evaluation.rows))
    write_model_card(folder, record, address)
    write_sums(folder.path)
