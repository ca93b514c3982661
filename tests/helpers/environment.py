"""Where the repository lies, and the environment of other processes."""

import os
import random
import socket
from pathlib import Path

QUICK_JAX = {
    "KERAS_BACKEND": "jax",
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
    "--xla_cpu_use_fusion_emitters=false",
}
"""Environment of other processes that run JAX: compiling takes most of the time of networks so small."""

REPOSITORY = Path(__file__).parents[2]
SHARED = Path(os.environ.get("SPAN_SHARED", REPOSITORY.parent / "shared"))
NO_TENSORFLOW = Path(__file__).parent / "no_tensorflow"
"""Folder of the pytest plugin and module of that name: put it on ``PYTHONPATH``."""


def free_ports(count: int) -> list[int]:
    """Return ports for processes to listen on: below those that connections get, which might take one before."""
    ports = []
    for port in random.sample(range(20_000, 32_768), 100):
        try:
            socket.create_server(("localhost", port)).close()
        except OSError:
            continue
        ports.append(port)
        if len(ports) == count:
            break
    return ports
