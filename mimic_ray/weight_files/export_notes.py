"""What a weight file has besides the encoder, and what became of it in an export."""

from __future__ import annotations

from mimic_ray.base.text import plain
from mimic_ray.weight_files.contents import Contents
from mimic_ray.weight_files.located_weights import KeyMatch


def export_notes(match: KeyMatch, contents: Contents, all_copies: bool) -> list[str]:
    """Sentences for the user: what the file would run, what its export lacks, and which copies of
    the encoder have the new weights."""
    notes = [f"{contents.finding()} None of it was run."] if contents.finding() else []
    notes += contents.losses()
    if copies := ", ".join(map(plain, match.also_fits)):
        group = ".".join(match.group) or "the top level of the file"
        location = plain(f"{group}, keys {match.prefix}*")
        fate = (
            "have the same weights in the export"
            if all_copies
            else "are unchanged in the export (changed with --all-copies or all_copies=True)"
        )
        notes.append(f"The encoder at {location} was purified. Its other copies {fate}: {copies}.")
    return notes
