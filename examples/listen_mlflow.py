"""Runs in MLflow: learning curves while they train, and grades at their end.

    pip install mlflow
    vaebench run study.toml --plugin examples/listen_mlflow.py --listen mlflow:http://localhost:5000

The target is a tracking URI, as MLflow names servers, folders and databases; without one it is
$MLFLOW_TRACKING_URI, or what MLflow does without that.
"""

from msgspec import to_builtins

import vaebench as vb
from vaebench.config import by_place

EXPERIMENT = "vaebench"


@vb.listener
class mlflow:  # noqa: N801 - the name by which --listen chooses it
    """Logs each run to an experiment of MLflow."""

    def __init__(self, target):
        from mlflow import MlflowClient  # here, so that workers need no MLflow

        self.client = MlflowClient(tracking_uri=target or None)
        known = self.client.get_experiment_by_name(EXPERIMENT)
        self.experiment = (
            known.experiment_id if known else self.client.create_experiment(EXPERIMENT)
        )
        self.runs = {}

    def run_started(self, config):
        if config.id in self.runs:
            return  # its worker was lost, and it begins again
        name = f"{config.variant} seed {config.seed}"
        self.runs[config.id] = self.client.create_run(self.experiment, run_name=name).info.run_id
        for place, value in by_place(to_builtins(config)).items():
            self.client.log_param(self.runs[config.id], place, value)

    def curve_point(self, run, point):
        for name, value in point.items():
            if name != "step":
                self.client.log_metric(self.runs[run], name, value, step=int(point["step"]))

    def run_recorded(self, record):
        run = self.runs.pop(record.run, None)
        if run is None:
            return  # it failed before it was begun
        step = record.training.steps if record.training else 0
        for metric in record.metrics:
            if metric.value is not None:
                self.client.log_metric(run, metric.metric, metric.value, step=step)
        self.client.set_terminated(run, "FINISHED" if record.status == "done" else "FAILED")

    def close(self):
        for run in self.runs.values():  # those that were stopped
            self.client.set_terminated(run, "KILLED")
