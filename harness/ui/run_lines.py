"""Say where a run stands in plain lines, for a file, a pipe or a terminal that cannot redraw: one for each validation,
one a minute, one at the end."""

from __future__ import annotations

from harness.ui import run_status
from harness.ui.run_status import Status

EVERY_S = 60.0


class RunLines:
    """The lines of one run, as they become due."""

    def __init__(self, now_s: float) -> None:
        self.said_s = now_s
        self.last_step = -1
        self.ended = False

    def due(self, status: Status, now_s: float) -> list[str]:
        """Return the lines that are due now; now_s: of any clock that runs on."""
        new = [point for point in status.state.curve if point.step > self.last_step]
        lines = []
        for point in new:
            self.last_step = point.step
            latest = point is new[-1]
            time = [] if point.train_time_s is None else [f"train_time {run_status.number(point.train_time_s, 1)} s"]
            rest = self._rest(status) if latest else []
            total = status.state.total_steps
            step = f"step {point.step}" if total is None else f"step {point.step}/{total}"
            loss = [part.replace(f" at step {point.step}", "") for part in run_status.loss_parts(status, point)[:1]]
            lines.append(_line(status, [step, *loss, *run_status.loss_parts(status, point)[1:], *time, *rest]))
        if not lines and status.ended is None and now_s - self.said_s >= EVERY_S:
            step_now = run_status.step_text(status.state)
            lines.append(_line(status, [status.phase, *([step_now] if step_now else []), *self._rest(status)]))
        if status.ended is not None and not self.ended:
            self.ended = True
            lines.append(_line(status, [status.ended, *_left(status), *run_status.cost_parts(status)]))
        if lines:
            self.said_s = now_s
        return lines

    def _rest(self, status: Status) -> list[str]:
        pace = [part for part in run_status.pace_parts(status.state) if not part.startswith("train_time")]
        left = _left(status) if status.ended is None else []
        return [*pace, *left, *run_status.gpu_parts(status.state.gpus), *run_status.cost_parts(status)]


def _left(status: Status) -> list[str]:
    parts = run_status.left_parts(status)
    return [f"left {', '.join(parts)}"] if parts else []


def _line(status: Status, parts: list[str]) -> str:
    return "  ".join([status.title, *parts])
