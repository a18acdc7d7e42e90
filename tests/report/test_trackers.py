"""Where the curves of a run go, with stand-ins of the same interface as MLflow and W&B.

The calls are those of MLflow's `MlflowClient` and of `wandb.init`, `Run.log` and `Run.finish`, as
their documentation has them; `test_mlflow_itself` runs where MLflow is installed.
"""

from __future__ import annotations

import os
import sys
import threading
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace

import pytest

from mimic_ray.base.errors import StoppedError, UnknownNameError, UsageError
from mimic_ray.base.progress import Progress
from mimic_ray.report import trackers
from mimic_ray.report.trackers import check_trackers, tracked

SETTINGS = {"training.steps": 3, "views.kind": "simclr"}


def steps(*numbers):
    for step in numbers:
        row = {"step": step, "loss": 1 / step, "learning_rate": 0.1}
        yield Progress("distil", step, 3, row, 100.0, 0.25)


def track(folder, names=(), numbers=(1, 2, 3), step=0, error=None):
    """The progress that was passed on, and the notes."""
    seen, notes = [], []
    with tracked(seen.append, folder, step, "run-1", SETTINGS, names, notes) as on_progress:
        on_progress(Progress("decode", 1, 1))
        for progress in steps(*numbers):
            on_progress(progress)
        if error:
            raise error
    return seen, notes


def scalars(folder) -> dict[str, list[tuple[int, float]]]:
    """Curve -> its points, as TensorBoard reads them from all event files."""
    from tensorboardX.proto.event_pb2 import Event

    found: dict[str, list[tuple[int, float]]] = {}
    for file in sorted(folder.glob("events.out.tfevents.*")):
        content = file.read_bytes()
        while content:
            length = int.from_bytes(content[:8], "little")
            event = Event.FromString(content[12 : 12 + length])
            content = content[12 + length + 4 :]
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def test_tensorboard_has_a_curve_for_each_term_and_for_the_speed(tmp_path):
    seen, notes = track(tmp_path)
    assert notes == []
    assert [progress.phase for progress in seen] == ["decode", "distil", "distil", "distil"]
    found = scalars(tmp_path)
    assert set(found) == {"loss", "learning_rate", "images_per_s", "data_wait"}
    assert found["loss"] == [(1, 1.0), (2, 0.5), (3, pytest.approx(1 / 3))]
    assert found["data_wait"] == [(step, 0.25) for step in (1, 2, 3)]


def test_a_resumed_run_replaces_the_points_after_its_last_commit(tmp_path):
    from tensorboardX.proto.event_pb2 import Event, SessionLog

    track(tmp_path, numbers=(1, 2, 3))
    track(tmp_path, numbers=(3,), step=2)
    first, second = sorted(tmp_path.iterdir())
    assert first.name.startswith("events.out.tfevents.")
    content = second.read_bytes()
    events = []
    while content:
        length = int.from_bytes(content[:8], "little")
        events.append(Event.FromString(content[12 : 12 + length]))
        content = content[12 + length + 4 :]
    assert events[0].file_version == "brain.Event:2"
    assert (events[1].step, events[1].session_log.status) == (3, SessionLog.START)


def test_a_full_disk_ends_the_curves_and_not_the_run(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tensorboardX.record_writer.RecordWriter.write", fail)
    seen, notes = track(tmp_path)
    assert len(seen) == 4
    assert len(notes) == 1
    assert notes[0].startswith("TensorBoard was not used to the end: OSError")


class FakeClient:
    """The part of MlflowClient that is used."""

    def __init__(self):
        self.calls = world = FakeClient.world
        world.append(("client",))

    def get_experiment_by_name(self, _name):
        return None

    def create_experiment(self, name):
        self.calls.append(("experiment", name))
        return "7"

    def create_run(self, experiment_id, run_name):
        self.calls.append(("run", experiment_id, run_name))
        return SimpleNamespace(info=SimpleNamespace(run_id="r1"))

    def log_param(self, run_id, key, value):
        self.calls.append(("param", run_id, key, value))

    def log_batch(self, run_id, metrics):
        self.calls.append(("batch", run_id, [(m.key, m.value, m.step) for m in metrics]))

    def set_terminated(self, run_id, status):
        assert os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] == "true"
        self.calls.append(("end", run_id, status))


@pytest.fixture
def mlflow(monkeypatch):
    FakeClient.world = []
    module, entities = ModuleType("mlflow"), ModuleType("mlflow.entities")
    module.MlflowClient = FakeClient
    entities.Metric = lambda key, value, timestamp, step: SimpleNamespace(
        key=key, value=value, step=step
    )
    monkeypatch.setitem(sys.modules, "mlflow", module)
    monkeypatch.setitem(sys.modules, "mlflow.entities", entities)
    return FakeClient.world


def test_mlflow_gets_settings_and_all_steps_in_one_request(tmp_path, mlflow):
    track(tmp_path, ["mlflow"])
    assert mlflow[:3] == [("client",), ("experiment", "mimic-ray"), ("run", "7", "run-1")]
    assert mlflow[3:5] == [("param", "r1", key, value) for key, value in SETTINGS.items()]
    (batch, end) = mlflow[5:]
    assert batch[:2] == ("batch", "r1")
    assert [point for point in batch[2] if point[0] == "loss"] == [
        ("loss", 1.0, 1),
        ("loss", 0.5, 2),
        ("loss", 1 / 3, 3),
    ]
    assert end == ("end", "r1", "FINISHED")
    assert "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT" not in os.environ


@pytest.mark.parametrize(
    ("error", "status"), [(StoppedError("stopped"), "KILLED"), (ValueError("bad"), "FAILED")]
)
def test_a_run_that_ends_otherwise_says_so(tmp_path, mlflow, error, status):
    with pytest.raises(type(error)):
        track(tmp_path, ["mlflow"], error=error)
    assert mlflow[-1] == ("end", "r1", status)


@pytest.mark.usefixtures("mlflow")
def test_a_tracker_that_fails_is_noted_once_and_the_run_goes_on(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(trackers, "_SEND_EVERY_S", 0.0)
    monkeypatch.setattr(FakeClient, "log_batch", fail)
    seen, notes = track(tmp_path, ["mlflow"])
    assert len(seen) == 4
    assert notes == ["mlflow was not used to the end: ConnectionError: no route to host"]
    assert len(scalars(tmp_path)["loss"]) == 3


@pytest.mark.usefixtures("mlflow")
def test_a_server_that_does_not_answer_delays_no_step(tmp_path, monkeypatch):
    answer = threading.Event()
    monkeypatch.setattr(trackers, "_CLOSE_S", 0.05)
    monkeypatch.setattr(FakeClient, "get_experiment_by_name", lambda *_: answer.wait())
    seen, notes = track(tmp_path, ["mlflow"])
    assert len(seen) == 4
    assert notes == ["mlflow was not used to the end: TimeoutError: it has not answered for 0.05 s"]
    answer.set()


def test_wandb_gets_settings_steps_and_the_end(tmp_path, monkeypatch):
    calls = []
    run = SimpleNamespace(
        log=lambda values, step: calls.append((step, values["loss"])),
        finish=lambda exit_code: calls.append(exit_code),
    )
    module = ModuleType("wandb")
    module.init = lambda **given: calls.append(given) or run
    monkeypatch.setitem(sys.modules, "wandb", module)
    track(tmp_path, ["wandb"])
    assert calls[0] == {"project": "mimic-ray", "name": "run-1", "config": SETTINGS}
    assert calls[1:] == [(1, 1.0), (2, 0.5), (3, 1 / 3), 0]


def test_unknown_and_missing_trackers_are_refused(monkeypatch):
    with pytest.raises(UnknownNameError, match="mlflow"):
        check_trackers(["mlfow"])
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="pip install wandb"):
        check_trackers(["wandb"])
    check_trackers([])


@pytest.mark.skipif(find_spec("mlflow") is None, reason="MLflow is not installed")
def test_mlflow_itself(tmp_path, monkeypatch):
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/runs.db")
    _, notes = track(tmp_path / "run", ["mlflow"])
    assert notes == []
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("mimic-ray")
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.info.run_name, run.info.status) == ("run-1", "FINISHED")
    assert run.data.params == {"training.steps": "3", "views.kind": "simclr"}
    assert [m.value for m in client.get_metric_history(run.info.run_id, "loss")] == [1, 0.5, 1 / 3]
