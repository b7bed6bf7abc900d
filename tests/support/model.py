"""A job as its crawler's reports change it, one at a time: what folding and the store are held against."""

from typing import Any

import attrs

from copilot_socket.core.folding import Change, Verdict
from copilot_socket.core.reports import Body, Completed, Failed, Given, Progressed, Started


@attrs.frozen
class Model:
    """The stored side of one live try."""

    reported: bool = False
    started: bool = False
    progress: dict[str, Any] = attrs.field(factory=dict)
    resume_state: bytes | None = None
    ending: type | None = None


def report(model: Model, body: Body) -> tuple[Model, Verdict]:
    """Apply one report."""
    if model.ending is not None:
        return model, Verdict.STORED if type(body) is model.ending else Verdict.STALE
    if isinstance(body, Given):
        return model, Verdict.STORED
    model = attrs.evolve(model, reported=True)
    match body:
        case Started():
            return attrs.evolve(model, started=True), Verdict.STORED
        case Progressed():
            return _merge(model, body.progress, body.resume_state), Verdict.STORED
        case Completed():
            return attrs.evolve(_merge(model, body.progress, None), ending=Completed), Verdict.STORED
        case Failed():
            return attrs.evolve(_merge(model, body.progress, body.resume_state), ending=Failed), Verdict.STORED


def change(model: Model, change: Change) -> Model:
    """Apply a whole change at once, as the store does."""
    merged = _merge(model, change.progress, change.resume_state)
    return attrs.evolve(
        merged,
        reported=model.reported or change.reported,
        started=model.started or change.started,
        ending=None if change.ending is None else type(change.ending),
    )


def _merge(model: Model, progress: dict[str, Any], resume_state: bytes | None) -> Model:
    return attrs.evolve(
        model,
        progress={**model.progress, **progress},
        resume_state=model.resume_state if resume_state is None else resume_state,
    )
