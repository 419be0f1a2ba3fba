"""One run in an interpreter of its own, so that elaboration leaves nothing behind.

Multiprocessing would do the same, but needs a shared memory device, which a chroot may lack.
"""

import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

from .discovery import BUILD, Job
from .execute import Options, Outcome, execute

__all__ = ["execute_apart"]


def execute_apart(job: Job, options: Options) -> Outcome:
    """``execute`` in another process; one that dies is a failed run."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "outcome")
        process = subprocess.run(
            [sys.executable, "-m", "sim.harness.worker", str(path)],
            input=pickle.dumps((job, options)),
            # Amaranth walks through sets: without it the same design is another text each time.
            env={**os.environ, "PYTHONHASHSEED": "0"},
        )
        if process.returncode:
            error = f"The worker ended with status {process.returncode}"
            return Outcome(job, BUILD, options.seed, (), (), error, 0.0)
        return pickle.loads(path.read_bytes())


if __name__ == "__main__":
    outcome = execute(*pickle.load(sys.stdin.buffer))
    Path(sys.argv[1]).write_bytes(pickle.dumps(outcome))
