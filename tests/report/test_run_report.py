from PIL import Image

from mimic_ray.base.files import write_json
from mimic_ray.report.run_report import write_report
from mimic_ray.store.checksums import check_sums


def test_a_run_folder_gets_plots_a_card_and_the_checksums_of_all(folder, record):
    write_report(folder, record)
    for plot in (folder.profile_plot, folder.loss_plot):
        with Image.open(plot) as image:
            assert image.format == "PNG"
    assert (folder.path / "README.md").exists()
    check_sums(folder.path)


def test_every_figure_has_three_formats_and_every_table_too(folder, record, evaluation):
    write_json(folder.evaluation, evaluation.to_json())
    write_report(folder, record)
    names = {path.name for path in folder.path.iterdir()}
    for name in ("profile", "loss", "evaluation"):
        assert {f"{name}.{end}" for end in ("png", "pdf", "svg")} <= names, name
    for name in ("profile", "evaluation"):
        assert {f"{name}.{end}" for end in ("csv", "tex", "md")} <= names, name
    # The loss of this recipe reads no tap, so a weight would have had no effect.
    assert "weight" not in (folder.path / "profile.csv").read_text()


def test_a_run_without_metrics_and_profile_only_gets_a_card(folder, record):
    folder.profile.unlink()
    for metrics in folder.path.glob("metrics.*"):
        metrics.unlink()
    write_report(folder, record)
    assert (folder.path / "README.md").exists()
    assert not folder.profile_plot.exists()
    assert not folder.loss_plot.exists()


def test_a_report_can_be_written_again(folder, record):
    write_report(folder, record)
    first = (folder.path / "README.md").read_text()
    write_report(folder, record)
    assert (folder.path / "README.md").read_text() == first
    check_sums(folder.path)
