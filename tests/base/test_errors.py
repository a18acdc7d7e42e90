"""How an error names a parameter, in Python and on the command line."""

import pickle

import pytest

from mimic_ray.base import errors
from mimic_ray.base.errors import DiskFullError, MimicError, StoppedError, UsageError, option


def test_an_option_with_a_value_is_spelt_for_python_and_the_command_line():
    error = UsageError(f"{option('cpus_per_worker', 4)} is too many.")
    assert str(error) == "cpus_per_worker=4 is too many."
    assert error.for_command_line() == "--cpus-per-worker 4 is too many."


def test_an_option_without_a_value_is_separate_from_the_next_word():
    error = UsageError(f"Set {option('workers')} or {option('settings')}.")
    assert str(error) == "Set workers= or settings=."
    assert error.for_command_line() == "Set --workers or --set."


def test_a_flag_has_a_value_in_python_only():
    error = MimicError(f"Use {option('resume', True)}; not {option('out', 'Truest')}.")
    assert str(error) == "Use resume=True; not out=Truest."
    assert error.for_command_line() == "Use --resume; not --out Truest."
    error = MimicError(f"Use {option('stop_rule', False)}.")
    assert (str(error), error.for_command_line()) == ("Use stop_rule=False.", "Use --no-stop-rule.")


def test_a_disk_error_keeps_problem_and_advice_in_a_pickle():
    error = pickle.loads(pickle.dumps(DiskFullError("Disk full.", "Free some space.")))
    assert (error.problem, error.advice) == ("Disk full.", "Free some space.")
    assert str(error) == "Disk full. Free some space."


def test_the_marks_survive_a_pickle():
    error = pickle.loads(pickle.dumps(StoppedError(f"Continue with {option('resume')}.", 15)))
    assert error.for_command_line() == "Continue with --resume."
    assert error.exit_code == 143


@pytest.mark.parametrize("kind", [k for k in vars(errors).values() if isinstance(k, type)])
def test_every_error_has_an_exit_code(kind):
    assert issubclass(kind, MimicError) or kind.__module__ != errors.__name__
    if issubclass(kind, UsageError):
        assert kind.exit_code == 2


@pytest.mark.parametrize(
    ("kind", "family"),
    [
        (errors.MissingCheckpointError, errors.CheckpointError),
        (errors.WrongEncoderError, errors.CheckpointError),
        (errors.MissingDataError, errors.DataError),
        (errors.MissingObjectError, errors.StorageError),
        (errors.WrongFolderError, errors.RunFolderError),
    ],
)
def test_an_error_that_another_command_avoids_is_a_usage_error_of_its_family(kind, family):
    error = pickle.loads(pickle.dumps(kind(f"Set another {option('out')}.")))
    assert isinstance(error, family)
    assert (type(error), error.exit_code) == (kind, 2)
    assert error.for_command_line() == "Set another --out."
    assert family("").exit_code == 1
