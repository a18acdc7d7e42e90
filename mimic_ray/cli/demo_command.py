"""mimic-ray demo: attack, purify and evaluate before your eyes."""

from __future__ import annotations

from pathlib import Path

from mimic_ray.cli import console


def command() -> None:
    """Attack, purify and evaluate a real encoder: no option, no download, about three minutes.

    Makes a new folder mimic-ray-demo here and checks what it measured against what it promises.
    """
    from mimic_ray.report.tables import evaluation_table
    from mimic_ray.workflows.demo import check_promises, demo

    folder = _new_folder()
    with console.progress() as on_progress:
        made = demo(folder, on_progress, console.note)
    console.out.print(evaluation_table(made.evaluation.rows))
    for promise in check_promises(made.evaluation):
        console.out.print(f"  [green]ok[/]  {promise}", soft_wrap=True)
    console.out.print(f"\n{made.seconds:.0f} s. The run: {made.run}", soft_wrap=True)
    console.out.print(f"  model card  {made.run / 'README.md'}", soft_wrap=True)
    console.out.print(f"  plots       {made.run}/*.png", soft_wrap=True)
    console.out.print(
        "Next, your own: mimic-ray purify --encoder NAME --teacher CKPT --data IMAGES --out RUN"
    )


def _new_folder() -> Path:
    """mimic-ray-demo, or the first free number of it: an earlier result is never overwritten."""
    number, folder = 1, Path("mimic-ray-demo")
    while folder.exists():
        number += 1
        folder = Path(f"mimic-ray-demo-{number}")
    return folder
