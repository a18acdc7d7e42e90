"""Invalid input of every kind: one sentence on stderr, exit code 1 or 2, and no files left."""

from __future__ import annotations

import re

import pytest

from tests.cli.toy_images import run


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIMIC_RAY_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def refused(capsys):
    """Runs a command line that must fail with one sentence that contains each of `words`."""

    def check(arguments, *words, code=None):
        ended = run(arguments)
        stderr = capsys.readouterr().err
        assert ended == code if code else ended in (1, 2), stderr
        # What fails once the cost is known says the cost first.
        stderr = re.sub(r"\ACost here: .*\n", "", stderr)
        assert stderr.startswith("error: "), stderr
        assert "Traceback" not in stderr
        assert "fault of mimic-ray" not in stderr, stderr
        assert stderr.count("\n") == 1, stderr
        for word in words:
            assert str(word) in stderr, f"{word!r} is not in: {stderr}"
        return stderr

    return check


@pytest.fixture
def purify_refused(refused, purify_arguments, tmp_path):
    """`mimic-ray purify` with additional options; it must not leave a run folder."""

    def check(options, *words, code=None, local=True):
        out = tmp_path / "folder" / "run"
        where = ["--local"] if local else []
        # The last of a repeated option counts.
        sentence = refused(purify_arguments(out, *where, *map(str, options)), *words, code=code)
        assert not out.exists()
        assert not out.parent.exists() or not [*out.parent.iterdir()]
        return sentence

    return check
