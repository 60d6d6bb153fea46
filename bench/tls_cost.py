"""What probes in a TLS library cost the programs that use it, and the agent that keeps them in step with processes.

    sudo .venv/bin/python -m bench.tls_cost [--rounds 5]

This process encrypts between two ends in its own memory: each round is timed in turn without probes, with probes while
the process is not watched, and while it is. Then programs are started, and the time is taken that the agent's thread
spends on the files they map. Needs root and BCC. Run it on an idle machine: everything else counts, too.
"""

import argparse
import os
import ssl
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from agent.kernel.source import KernelSource
from agent.tls.watcher import TlsWatcher

CALLS = 40_000
STARTS = 200
TEXT = b"GET /item HTTP/1.1\r\nHost: here\r\n\r\n"


def ends() -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """A client and a server that have shaken hands."""
    with tempfile.TemporaryDirectory() as folder:
        key, certificate = Path(folder, "key"), Path(folder, "certificate")
        words = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=here"
        command = [*words.split(), "-keyout", str(key), "-out", str(certificate)]
        subprocess.run(command, check=True, capture_output=True)
        accepting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        accepting.load_cert_chain(certificate, key)
    asking = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    asking.check_hostname, asking.verify_mode = False, ssl.CERT_NONE
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = asking.wrap_bio(back, there)
    server = accepting.wrap_bio(there, back, server_side=True)
    done = 0
    while done < 2:  # noqa: PLR2004 # both ends
        done = 0
        for end in (client, server):
            try:
                end.do_handshake()
                done += 1
            except ssl.SSLWantReadError:
                pass
    return client, server


def call_ns(client: ssl.SSLObject, server: ssl.SSLObject) -> float:
    """Of a write and its read, the mean of one call."""
    begin = time.perf_counter_ns()
    for _ in range(CALLS):
        client.write(TEXT)
        server.read(4096)
    return (time.perf_counter_ns() - begin) / CALLS / 2


def used_ns(watcher: TlsWatcher) -> int:
    """What the watcher's thread has used of the processor."""
    return int(Path(f"/proc/self/task/{watcher._thread.native_id}/schedstat").read_text().split()[0])  # noqa: SLF001 # measured from outside


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    client, server = ends()
    times: dict[str, list[float]] = {"no probes": [], "probes, not watched": [], "probes, watched": []}
    for _ in range(rounds):
        times["no probes"].append(call_ns(client, server))
        with KernelSource.open(only_processes=()) as source:
            watcher = TlsWatcher(source.loaded.programs, maps=source.loaded.maps)
            watcher.start()
            while not watcher.reviews:
                time.sleep(0.01)
            times["probes, not watched"].append(call_ns(client, server))
            source.choose(os.getpid())
            times["probes, watched"].append(call_ns(client, server))
            watcher.close()
    for name, found in times.items():
        print(f"{name:22} {statistics.median(found):8.0f} ns a call")
    with KernelSource.open(only_processes=()) as source:
        watcher = TlsWatcher(source.loaded.programs, maps=source.loaded.maps)
        begin = time.perf_counter()
        watcher.start()
        while not watcher.reviews:
            time.sleep(0.01)
        print(f"first look at every process: {time.perf_counter() - begin:.2f} s")
        before = used_ns(watcher)
        for _ in range(STARTS):
            subprocess.run(["/bin/true"], check=True)
        print(f"a program that starts: {(used_ns(watcher) - before) / STARTS / 1e3:.0f} us of the agent")
        files = len(watcher.attached)
        begin = time.perf_counter()
        watcher.close()
        print(f"taking the probes off {files} files: {time.perf_counter() - begin:.2f} s")


if __name__ == "__main__":
    main()
