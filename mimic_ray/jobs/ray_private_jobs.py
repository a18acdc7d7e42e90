"""Ray's private parts that concern the job server: its routes, client, errors and responses.

See base/ray_version.py about releases of Ray. Each item has a test in
tests/jobs/test_ray_private_jobs.py that fails if Ray changes it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# Its routes besides those of the job client.
CLUSTER_HEALTH = "/api/gcs_healthz"
NODES, CLUSTER_METADATA = "/api/v0/nodes?limit=10000", "/api/v0/cluster_metadata"
CLUSTER_STATUS, NODE_SUMMARY = "/api/cluster_status", "/nodes?view=summary"

# Pattern in an error of the job client -> kind of error.
_JOB_ERRORS = {
    r"ray\[default\]": "not installed",
    r"status code (401|403)": "refused",
    r"status code 404": "no such job",
    r"already exists": "job exists",
    r"Version check returned": "no job server",
}
# The raylet's command line contains the command that starts Python.
_WORKER_COMMAND = "--python_worker_command="
# The type that Ray gives a node without a cluster file: "node_" and the node's id.
_UNDESCRIBED_NODE = re.compile(r"node_?[0-9a-f]{56}", re.IGNORECASE)


def job_error(error: Exception) -> str:
    """One of the values of `_JOB_ERRORS`, "no answer", or "" for any other error."""
    if type(error).__name__ == "AuthenticationError":
        return "refused"
    if isinstance(error, ImportError):
        return "not installed"
    if isinstance(error, OSError):  # the built-in ConnectionError and those of requests
        return "no answer"
    found = (kind for pattern, kind in _JOB_ERRORS.items() if re.search(pattern, str(error)))
    return next(found, "")


def job_submission_client(url: str, timeout_s: tuple[float, float]) -> Any:
    """Ray's JobSubmissionClient with timeouts to connect and to answer, which it does not have.

    Its method `get(path)` returns the JSON of another route, or None if the route does not exist;
    `cluster_answers()` takes about 3 s to find that the cluster behind the server is gone.
    """
    import logging

    from ray.job_submission import JobSubmissionClient

    # Ray logs each upload and the end of each log stream.
    for name in [name for name in logging.root.manager.loggerDict if name.startswith("ray.")]:
        logging.getLogger(name).setLevel(logging.WARNING)

    class Client(JobSubmissionClient):
        def _do_request(self, method: str, endpoint: str, **options: Any) -> Any:
            return super()._do_request(method, endpoint, **{"timeout": timeout_s, **options})

        def cluster_answers(self) -> bool:
            # The server asks with a timeout of 0.1 s, which a busy head may miss once.
            for _ in range(3):
                if self._do_request("GET", CLUSTER_HEALTH, timeout=(5, 5)).status_code != 503:
                    return True
            return False

        def get(self, path: str) -> Any:
            response = self._do_request("GET", path)
            return response.json() if response.status_code == 200 else None

    return Client(url)


def head_interpreter(summary: Mapping[str, Any]) -> str:
    """The Python that Ray uses on the head, from the response of NODE_SUMMARY; "" if unknown.

    The command line of a node appears some seconds after the node.
    """
    for node in (summary.get("data") or {}).get("summary") or []:
        if (node.get("raylet") or {}).get("isHeadNode"):
            for word in node.get("cmdline") or []:
                if word.startswith(_WORKER_COMMAND):
                    return str(word.removeprefix(_WORKER_COMMAND).split()[0])
    return ""


def has_autoscaler(status: Mapping[str, Any]) -> bool:
    """Whether more nodes may join, from the response of CLUSTER_STATUS.

    Every head sends an autoscaler report. Without an autoscaler, each node has a separate type.
    """
    report = status.get("autoscalerReport") or {}
    types = report.get("activeNodes") or {}
    return bool(report) and not (types and all(map(_UNDESCRIBED_NODE.fullmatch, types)))
