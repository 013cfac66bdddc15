"""Runs in Weights & Biases: learning curves while they train, and grades as their summary.

pip install wandb
vaebench run study.toml --plugin examples/listen_wandb.py --listen wandb:my-project
"""

from msgspec import to_builtins

import vaebench as vb


@vb.listener
class wandb:  # noqa: N801 - the name by which --listen chooses it
    """Logs each run to a project of Weights & Biases."""

    def __init__(self, target):
        import wandb as package  # here, so that workers need no wandb

        self.package, self.project, self.runs = package, target or "vaebench", {}

    def run_started(self, config):
        if config.id not in self.runs:  # else its worker was lost, and it begins again
            self.runs[config.id] = self.package.init(
                project=self.project,
                id=config.id,
                name=f"{config.variant} seed {config.seed}",
                group=config.variant,
                config=to_builtins(config),
                reinit="create_new",  # runs of a stack train side by side
                resume="allow",
            )

    def curve_point(self, run, point):
        values = {name: value for name, value in point.items() if name != "step"}
        self.runs[run].log(values, step=int(point["step"]))

    def run_recorded(self, record):
        run = self.runs.pop(record.run, None)
        if run is None:
            return  # it failed before it was begun
        grades = {m.metric: m.value for m in record.metrics if m.value is not None}
        run.summary.update({"status": record.status, **grades})
        run.finish(exit_code=0 if record.status == "done" else 1)

    def close(self):
        for run in self.runs.values():  # those that were stopped
            run.finish(exit_code=1)
