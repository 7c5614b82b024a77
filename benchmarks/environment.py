"""Makes benchmarks/.environment: a virtual environment for each line of peers.txt, so that none disturbs another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
FOLDER = HERE / ".environment"
SECONDS = 300  # that an installation may take


def read_peers(text: str) -> dict[str, list[str]]:
    """Tell the requirements of each peer, in the order of the file."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return {
        name.strip(): requirements.split() for name, _, requirements in (line.partition(":") for line in lines if line)
    }


PEERS = read_peers((HERE / "peers.txt").read_text())
LIBRARIES = [name for name in PEERS if name != "servers"]


def python_of(name: str) -> str:
    """Say which interpreter runs this peer, which has been prepared before."""
    return str(FOLDER / name / "bin" / "python")


def prepare(name: str) -> str | None:
    """Make the peer's environment, when it is not there as pinned. Returns why it could not, or None."""
    done = FOLDER / name / "requirements.txt"
    wanted = " ".join([*PEERS[name], sys.version])
    if done.exists() and done.read_text() == wanted:
        return None
    print(f"environment of {name}: {' '.join(PEERS[name])}", file=sys.stderr, flush=True)
    try:
        venv.create(FOLDER / name, clear=True, with_pip=True)
        pip = [python_of(name), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        # Wheels only: what needs a compiler here is not what its users run.
        command = [*pip, "--only-binary=:all:", *PEERS[name]]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    if answer.returncode:
        return (answer.stderr.strip().splitlines() or ["pip failed"])[-1]
    done.write_text(wanted)
    return None


def variables() -> dict[str, str]:
    """Give the environment variables of every measured process: the checkout, and nothing from outside."""
    from_outside = ("proxy", "ssl_cert", "sslkeylog", "requests_ca", "curl_ca", "python", "netrc")
    kept = {name: value for name, value in os.environ.items() if not name.lower().startswith(from_outside)}
    kept = {name: value for name, value in kept.items() if not name.lower().endswith("_proxy")}
    return {
        **kept,
        "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
        "PYTHONHASHSEED": "0",  # without random hashing, two runs of one program take the same path
        "NETRC": os.devnull,
        "LC_ALL": "C.UTF-8",  # perf writes figures as the locale says
    }


def versions(python: str) -> dict[str, str]:
    """Tell what is installed beside an interpreter, and which hither the checkout has."""
    code = "import importlib.metadata as m, json; print(json.dumps({d.name: d.version for d in m.distributions()}))"
    answer = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    found = {name: version for name, version in json.loads(answer.stdout).items() if name not in ("pip", "setuptools")}
    own = (ROOT / "src" / "hither" / "_version.py").read_text().split('"')[-2]
    return {**found, "hither": f"{own} (checkout)"}
