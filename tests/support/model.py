"""A model of a job that reports change one at a time, as a reference for folding and the store."""

from typing import Any

import attrs

from copilot_socket.core.folding import Change, Verdict
from copilot_socket.core.reports import Body, Completed, Failed, Incomplete, Progressed, Refused, Started


@attrs.frozen
class Model:
    """The stored state of one attempt."""

    started: bool = False
    progress: dict[str, Any] = attrs.field(factory=dict)
    resume_state: bytes | None = None
    ending: type | None = None
    lost: bool = False
    """Whether a discovery was refused, and its crawler did not receive the error."""


def report(model: Model, body: Body) -> tuple[Model, Verdict]:
    """Apply one report; return the new state and the verdict."""
    if model.ending is not None:
        ended_by = Completed if model.ending is Incomplete else model.ending
        return model, Verdict.STORED if type(body) is ended_by else Verdict.STALE
    match body:
        case Started():
            return attrs.evolve(model, started=True), Verdict.STORED
        case Progressed():
            return _merge(model, body.progress, body.resume_state), Verdict.STORED
        case Completed():
            ending = Incomplete if model.lost else Completed
            return attrs.evolve(_merge(model, body.progress, None), ending=ending), Verdict.STORED
        case Refused():
            return attrs.evolve(model, lost=model.lost or not body.known), Verdict.STORED
        case Failed():
            return attrs.evolve(_merge(model, body.progress, body.resume_state), ending=Failed), Verdict.STORED


def change(model: Model, change: Change) -> Model:
    """Apply a folded change, as the store does."""
    merged = _merge(model, change.progress, change.resume_state)
    ending = None if change.ending is None else type(change.ending)
    return attrs.evolve(
        merged,
        started=model.started or change.started,
        ending=Incomplete if ending is Completed and model.lost else ending,
        lost=model.lost or not all(each.known for each in change.refused),
    )


def _merge(model: Model, progress: dict[str, Any], resume_state: bytes | None) -> Model:
    return attrs.evolve(
        model,
        progress={**model.progress, **progress},
        resume_state=model.resume_state if resume_state is None else resume_state,
    )
