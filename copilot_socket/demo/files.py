"""The output of the demo's crawlers: JSON lines, one file per page; and counting them."""

import json
import os
from collections.abc import Iterable
from pathlib import Path

from copilot_socket.demo.growth import Entity


def write_page(out: Path, entity_type: str, job_id: str, page: int, entities: Iterable[Entity]) -> Path:
    """Write ``<out>/<entity type>/<job>-<page>.jsonl`` atomically.

    The name contains the job, not the attempt: a page that is fetched again replaces the former file.
    """
    folder = out / entity_type
    folder.mkdir(parents=True, exist_ok=True)
    job = job_id.partition(".")[0]
    path = folder / f"{job}-{page:05}.jsonl"
    unfinished = folder / f"{job}-{page:05}.{os.getpid()}.part"
    with unfinished.open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(entity, ensure_ascii=False) + "\n" for entity in entities)
    unfinished.replace(path)
    return path


def identity(entity: Entity) -> str:
    """A unique key of an entity. (Groups and projects share ids; branches and releases have none.)"""
    links = entity.get("_links") or {}
    return str(entity.get("web_url") or links.get("self") or entity["id"])


def count(out: Path) -> dict[str, int]:
    """How many different entities of each type are in the files below *out*."""
    counts = {}
    for folder in sorted(path for path in out.iterdir() if path.is_dir()):
        seen: set[str] = set()
        for path in folder.glob("*.jsonl"):
            with path.open(encoding="utf-8") as lines:
                seen.update(identity(json.loads(line)) for line in lines)
        counts[folder.name] = len(seen)
    return counts
