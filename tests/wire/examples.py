"""A minimal and a full valid message of each type that crawlers send."""

from typing import Any

Json = dict[str, Any]

ENVELOPE: Json = {"timestamp": "2026-01-02T03:04:05.678Z"}
JOB: Json = {"jobId": "01JABC.1.x"}
RESUME: Json = {"lastEntityId": "17", "currentPage": 3, "entityType": "issue", "own": [1, {"a": None}]}
DISCOVERED: Json = {
    "job_type": "crawl_group",
    "entity_id": "7",
    "namespace_path": "top/sub",
    "entity_name": "Sub",
}
ENTITY: Json = {"id": 7, "name": "Sub", "path": "top/sub"}

_MINIMAL: dict[str, tuple[Json, Json | None]] = {
    "hello": ({}, {"crawlerId": "c"}),
    "heartbeat": ({}, {"activeJobs": 0, "totalProcessed": 0, "systemStatus": "idle"}),
    "job_request": ({}, None),
    "job_started": (JOB, None),
    "job_progress": (JOB, {"stage": "fetching", "entityType": "issue", "processed": 0}),
    "job_completed": (JOB, {"success": True, "finalCounts": {}}),
    "job_failed": (JOB, {"error": "", "isRecoverable": False}),
    "job_released": (JOB, {}),
    "jobs_discovered": (JOB, {"discovered_jobs": []}),
    "discovery": ({}, {"entityType": "group", "entities": []}),
    "token_refresh_request": (JOB, None),
    "rate_limit": ({}, {"remaining": 0}),
}

_FULL: dict[str, Json] = {
    "hello": {
        "crawlerId": "c" * 128,
        "version": "1.2",
        "token": "secret",
        "maxJobs": 5,
        "entityTypes": ["issue", "commit"],
        "assignments": ["01JABC.1.x"],
        "capabilities": ["ack", "commands", "more"],
    },
    "heartbeat": {
        "activeJobs": 2,
        "totalProcessed": 2**53,
        "systemStatus": "crawling",
        "memoryUsage": {"rss": 12.5},
        "uptime": 3.25,
    },
    "job_request": {"limit": 3},
    "job_started": {"entityType": "issue", "entityId": "42"},
    "job_progress": {
        "stage": "discovering",
        "entityType": "issue",
        "processed": 10,
        "total": 20,
        "message": "half {way} é",
        "resumeState": RESUME,
        "itemCounts": {"issue": 10, "note": 2.5},
        "currentPage": 2,
        "processingRate": 1.5,
        "estimatedTimeRemaining": 9,
        "items": [{"id": 1}, None, 3],
    },
    "job_completed": {
        "success": False,
        "finalCounts": {"issue": 20},
        "message": "done",
        "outputFiles": ["/tmp/a.jsonl"],
    },
    "job_failed": {
        "error": "it broke",
        "errorType": "Timeout",
        "isRecoverable": True,
        "resumeState": RESUME,
        "partialCounts": {"issue": 4},
        "stackTrace": "at line 1\nat line 2",
        "context": {"url": "x"},
        "cause": "not_found",
    },
    "job_released": {
        "reason": "rate_limited",
        "resumeState": RESUME,
        "retryAfter": 1500.5,
        "message": "later",
    },
    "jobs_discovered": {
        "discovered_jobs": [{**DISCOVERED, "priority": -3, "estimated_size": {"issues": 12}}],
        "discovery_summary": {"total_users": 1, "total_groups": 2, "total_projects": 3, "hierarchy_depth": 4},
    },
    "discovery": {
        "entityType": "project",
        "entities": [
            {**ENTITY, "parentId": 3},
            {"id": "gid://gitlab/Group/8", "name": "", "path": "p", "parentId": "7"},
        ],
    },
    "token_refresh_request": {
        "current_token_expired": True,
        "last_successful_request": "GET /groups",
        "error_details": "401",
    },
    "rate_limit": {
        "accountId": "acct",
        "gitlabUrl": "https://gitlab.test",
        "name": "throttle_authenticated_api",
        "limit": 2000,
        "remaining": 1500,
        "resetAt": "2026-01-02T03:05:00Z",
        "retryAfter": 0,
    },
}


def minimal(type_: str) -> Json:
    """Nothing that can be left out."""
    envelope, data = _MINIMAL[type_]
    message = {"type": type_, **ENVELOPE, **envelope}
    return message if data is None else {**message, "data": data}


def full(type_: str) -> Json:
    """Every field there is, and one that is not."""
    return {"type": type_, **ENVELOPE, **JOB, "id": "m-1", "data": {**_FULL[type_], "unknown": 1}, "unknown": {}}


def with_data(type_: str, **fields: Any) -> Json:
    """The minimal message with other *fields* in its data."""
    message = minimal(type_)
    return {**message, "data": {**message.get("data", {}), **fields}}


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every place in *value*: container and key."""
    found: list[tuple[Any, Any]] = []
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in inside:
        found += [(value, key), *places(inner)]
    return found


NASTY: list[Any] = [
    None, True, False, 0, 1, -1, 5.0, 5.5, 1e300, -0.0, 2**53, 2**53 + 1, -(2**53) - 1, 2**31, 10_001,
    "", "x", "é\n", "\x00", "a\x00b", "x" * 65, "x" * 129, "x" * 256, "é" * 1025, "x" * 2049, "x" * 65_537,
    [], [None], ["x"], [""], [1], {}, {"a": 1}, {"a": "x"}, {"a": None}, {"currentPage": "x"},
    "idle", "fetching", "node",
]  # fmt: skip
"""Values that belong nowhere, or only in some places."""
