"""A connection to Ray, which is an optional extra: import this module only where a cluster is asked for."""

from __future__ import annotations

import logging
import socket
from typing import Any

from pellucid.distributed.workers import THREADS
from pellucid.errors import PellucidError

try:
    import ray
except ImportError:
    raise PellucidError("expected Ray for a cluster, got none installed; pip install 'pellucid[distributed]'") from None



def connect(address: str, *, cpus: int | None = None, memory: int = 2**27) -> None:
    """Connects to a cluster, or starts one on this machine.

    Args:
        address: ``"local"`` starts one; else that of a running one.
        cpus: Cores of a local cluster; None: the machine's.
        memory: Bytes of a local cluster's object store.

    Raises:
        PellucidError: if the cluster does not answer, or cannot be started.
    """
    options: dict[str, Any] = {"num_cpus": cpus, "include_dashboard": False,
                               "object_store_memory": memory} if address == "local" else {}
    try:
        _knock(address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, runtime_env={"env_vars": THREADS},
                 **options)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        text = (str(error).splitlines() or [""])[0]
        raise PellucidError(f"expected a Ray cluster at {address}, got an error ({type(error).__name__}: {text}); "
                            "start one with 'ray start --head', or use --ray local") from error


def amount(resource: str) -> float:
    """How much the cluster has now of a resource, e.g. ``"CPU"``."""
    resources: Any = ray.cluster_resources  # Ray has no types for it
    return float(resources().get(resource, 0))


def _knock(address: str) -> None:
    """Ray itself waits minutes for an address where nobody is."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
