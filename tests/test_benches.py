"""Every fast bench, as a test."""

import pytest

from sim.harness import seed
from sim.harness.discovery import jobs
from sim.harness.execute import Options, execute


@pytest.mark.parametrize("job", [job for job in jobs(()) if job.tier == "fast"], ids=str)
def test_bench(job):
    outcome = execute(job, Options(seed=seed()))
    assert outcome.passed, outcome.report()
