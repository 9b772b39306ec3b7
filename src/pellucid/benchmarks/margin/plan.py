"""A study's benchmark as jobs, and their results as one set of curves."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pellucid.benchmarks.code import code_digest
from pellucid.benchmarks.job import Job
from pellucid.benchmarks.margin.curves import Curves
from pellucid.benchmarks.margin.protocol import Measurement, Part, Protocol, protocols
from pellucid.benchmarks.store import Record
from pellucid.errors import UnknownNameError


class StudyPlan:
    """The parts of a benchmark as :class:`pellucid.benchmarks.runner.Plan`.

    Args:
        name: Of the benchmark, e.g. ``"margin-labels"``.
        preset: One of the protocol's.
        folder: ``--source-dir``.

    Raises:
        PellucidError: for unknown names, or data that are not there.
    """

    def __init__(self, name: str, preset: str, folder: Path | None) -> None:
        self.name, self.preset = name, preset
        self.protocol: Protocol = protocols[name]()
        if preset not in self.protocol.presets:
            raise UnknownNameError(f"preset of {name}", preset, self.protocol.presets)
        parts = self.protocol.parts(self.protocol.presets[preset])
        self.data = self.protocol.data_digest(sorted({data for part in parts for data in part.data}), folder)
        self.code = code_digest(type(self.protocol).__module__)
        self.jobs = [self._job(part, folder) for part in parts]

    def _job(self, part: Part, folder: Path | None) -> Job:
        identity = {"bench": self.name, "label": part.label, "options": part.options, "code": self.code,
                    "data": {name: self.data[name] for name in part.data}}
        key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]
        content = {**identity, "part_data": list(part.data), "folder": None if folder is None else str(folder)}
        return Job(key, f"{self.name}: {part.label}", content)

    def next(self, results: Mapping[str, Record]) -> list[Job]:
        """All parts: none needs another."""
        return self.jobs

    def curves(self, records: Mapping[str, Record], provenance: dict[str, Any]) -> Curves:
        """What the finished parts gave, in the order of the plan."""
        protocol = self.protocol
        done = [record for job in self.jobs if (record := records.get(job.key)) and record.result is not None]
        rows = [Measurement(**row) for record in done for row in (record.result or {})["rows"]]
        notes = [note for record in done for note in (record.result or {})["notes"]]
        pictures = {name: picture for record in done for name, picture in (record.result or {})["pictures"].items()}
        failed = [(job.label, records[job.key].reason or "") for job in self.jobs
                  if job.key in records and records[job.key].status == "failed"]
        return Curves(self.name, protocol.title, protocol.source, protocol.claim, protocol.axis, self.preset, rows,
                      pictures, list(dict.fromkeys(notes)), protocol.findings(rows) if rows else [], failed,
                      len(self.jobs), {name: list(xs) for name, xs in protocol.shown.items()}, dict(protocol.best),
                      provenance)


def execute(content: dict[str, Any]) -> dict[str, Any]:
    """Measures the part that a job holds."""
    protocol = protocols[content["bench"]]()
    part = Part(content["label"], tuple(content["part_data"]), content["options"])
    return protocol.measure(part, None if content["folder"] is None else Path(content["folder"])).document()
