"""mimic-ray demo: attack, purify and evaluate a small encoder."""

from __future__ import annotations

from pathlib import Path

from rich.text import Text

from mimic_ray.cli import console


def command() -> None:
    """Attack, purify and evaluate a small encoder in about three minutes, without any download.

    Creates the folder mimic-ray-demo and checks the results against the expected ones.
    """
    from mimic_ray.report.run_scan_text import scan_around
    from mimic_ray.report.tables import evaluation_table
    from mimic_ray.workflows.demo import check_results, demo

    folder = _new_folder()
    with console.progress() as on_progress:
        made = demo(folder, on_progress, console.note)
    purified = f"{made.steps} steps on clean images; trigger unknown"
    for name, line in scan_around(made.scan, purified):
        console.out.print(f"  {name:<11}  {line}", soft_wrap=True)
    console.out.print(evaluation_table(made.evaluation.rows))
    for result in check_results(made.evaluation):
        console.out.print(Text.assemble("  ", ("ok", "green"), f"  {result}"), soft_wrap=True)
    console.out.print(f"\n{made.seconds:.0f} s. The run: {made.run}", soft_wrap=True)
    console.out.print(f"  model card  {made.run / 'README.md'}", soft_wrap=True)
    console.out.print(f"  plots       {made.run}/*.png", soft_wrap=True)
    console.out.print(
        "Next, your own encoder: "
        "mimic-ray purify --encoder NAME --teacher FILE --data IMAGES --out RUN",
        soft_wrap=True,
    )


def _new_folder() -> Path:
    """mimic-ray-demo, with a number if it exists, so that earlier results are not overwritten."""
    number, folder = 1, Path("mimic-ray-demo")
    while folder.exists():
        number += 1
        folder = Path(f"mimic-ray-demo-{number}")
    return folder
