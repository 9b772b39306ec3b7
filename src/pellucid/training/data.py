"""The data of a training, by a hash."""

from __future__ import annotations

import hashlib

from pellucid.clouds import PointClouds


def data_digest(clouds: PointClouds) -> str:
    """Short hash of the data that a run sees."""
    content = hashlib.sha256()
    for name in sorted(clouds.names):
        content.update(name.encode() + clouds[name].cpu().contiguous().view(-1).numpy().tobytes())
    if clouds.partner is not None:
        content.update(data_digest(clouds.partner).encode())
    return content.hexdigest()[:16]
