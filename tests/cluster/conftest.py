"""A real Ray cluster on this machine, and a real S3 server."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from helpers.environment import free_ports
from helpers.weights import random_weights
from span_keras.ambient import installed
from span_keras.network.config import SpanConfig

collect_ignore_glob = [] if installed("pyarrow") else ["test_*.py"]
"""Without the extra "bulk" there is nothing to test, as where Ray has no wheels."""

MARK, NODE = "SPAN_TEST_CLUSTER", "SPAN_TEST_NODE"
"""Variables by whose values the processes of a cluster, and of one of its nodes, are known."""


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    """The file of a network small enough to run anywhere."""
    from span_keras.checkpoints import save_weights

    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_weights(random_weights(SpanConfig(scale=2, channels=4, blocks=1)), path)
    return path


class Cluster:
    """Nodes of one CPU each on this machine, whose processes all carry a mark. There is one, until others join."""

    def __init__(self, folder: str, environment: dict[str, str]):
        ray = {
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_worker_niceness": "0",  # tests beside it must not starve it
            "RAY_health_check_period_ms": "500",  # a node that has gone is missed soon
            "RAY_TMPDIR": folder,  # where ``auto`` looks for it
        }
        self.environment = {**os.environ, **environment, **ray, MARK: folder}
        port, client_port = free_ports(2)
        self.address = f"127.0.0.1:{port}"
        self.nodes = []
        head = ["--head", f"--port={port}", "--node-ip-address=127.0.0.1", "--include-dashboard=false", "--no-monitor"]
        self._start(*head, f"--ray-client-server-port={client_port}")

    def join(self) -> int:
        """Start one more node, and return its number."""
        cached = next(Path(self.environment[MARK]).glob("ray/session_2*/node_ip_address.json"))
        head = cached.read_bytes()
        self._start(f"--address={self.address}", f"--node-ip-address=127.0.0.{len(self.nodes) + 1}")
        # A driver attaches to the node of this address, with which it ends. On one machine the last node wrote its own.
        cached.write_bytes(head)
        return len(self.nodes) - 1

    def _start(self, *arguments: str) -> None:
        common = ["--num-cpus=1", "--object-store-memory=80000000", "--disable-usage-stats", "--block"]
        common.append("--include-log-monitor=false")  # no driver here shows what workers print
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", *arguments, *common]
        log = Path(self.environment[MARK], f"node-{len(self.nodes)}.log")
        environment = {**self.environment, NODE: str(len(self.nodes))}
        with log.open("wb") as output:
            node = subprocess.Popen(command, env=environment, stdout=output, stderr=output, start_new_session=True)
        self.nodes.append(node)
        deadline = time.monotonic() + 120
        while b"Ray runtime started" not in log.read_bytes():
            assert node.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)

    def processes(self, title: str = "", node: int | None = None) -> list[int]:
        """Processes of all nodes, or of one, and of drivers, whose command line begins so."""
        found, marks = [], [f"{MARK}={self.environment[MARK]}"] + ([] if node is None else [f"{NODE}={node}"])
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                environment = (folder / "environ").read_bytes().split(b"\0")
                if all(mark.encode() in environment for mark in marks) and (folder / "cmdline").read_bytes().startswith(
                    title.encode()
                ):
                    found.append(int(folder.name))
            except OSError:  # it has ended meanwhile, or is somebody else's
                continue
        return found

    def kill(self, title: str = "", node: int | None = None) -> int:
        """Kill such processes, and return how many there were."""
        found = self.processes(title, node)
        for process in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        return len(found)

    def end(self) -> None:
        """End every process, whatever state it is in."""
        for _ in range(3):
            self.kill()
        for node in self.nodes:
            node.wait()


@pytest.fixture(scope="session")
def store():
    """The environment in which s3:// leads to a server on this machine, with a bucket ``photos``."""
    pytest.importorskip("moto.server")
    boto3 = pytest.importorskip("boto3")
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environment = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    client = boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        aws_access_key_id="test",
        aws_secret_access_key="test",
        region_name="us-east-1",
    )
    client.create_bucket(Bucket="photos")
    yield environment, client
    server.stop()


@pytest.fixture(scope="session")
def google_store():
    """The environment in which gs:// leads to a server on this machine, with a bucket ``photos``."""
    server_of = pytest.importorskip("gcp_storage_emulator.server").create_server
    (port,) = free_ports(1)
    server = server_of("127.0.0.1", port, in_memory=True, default_bucket="photos")
    server.start()
    yield {"CLOUD_STORAGE_EMULATOR_ENDPOINT": f"http://127.0.0.1:{port}"}
    server.stop()


@pytest.fixture(scope="session")
def cluster(store):
    """A cluster of one node, every process of which is ended with the tests."""
    pytest.importorskip("ray.data")
    if sys.platform != "linux":
        pytest.skip("finds the processes to end in /proc")
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as folder:  # sockets: short
        made = Cluster(folder, store[0])
        try:
            yield made
        finally:
            made.end()
