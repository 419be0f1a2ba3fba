"""The harness passes what is right, and fails whatever is not."""

import json
import xml.etree.ElementTree as ElementTree

import pytest

from sim.harness import Bench, context
from sim.harness.discovery import Job, bench_names, jobs, load
from sim.harness.execute import Options, execute
from sim.harness.present import table, write_figures, write_junit
from sim.harness.worker import execute_apart


def _job(module: str, variant: str) -> Job:
    return Job(f"harness/{module}", f"tests.harness.benches.{module}", variant)


@pytest.mark.parametrize("variant", ["packet", "frame"])
def test_passes(variant, tmp_path):
    outcome = execute(_job("good", variant), Options(seed=7))
    assert outcome.passed, outcome.report()
    assert [case.name for case in outcome.cases] == ["passes_everything", "runs_at_full_rate"]
    (record,) = outcome.records
    assert (record.frames, record.bytes, record.cycles) == (1, 800, 100)
    assert record.value == pytest.approx(6.4) and record.of_limit == pytest.approx(1.0)
    assert record.clock_mhz == 100
    write_figures(tmp_path / "figures.json", [outcome])
    (figure,) = json.loads((tmp_path / "figures.json").read_text())
    assert set(figure) == {"name", "value", "unit", "limit", "of_limit", "gts", "clock_mhz"}
    assert table([outcome]).row_count == 2


def test_combinational_logic():
    outcome = execute(_job("traps", ""), Options())
    assert outcome.passed, outcome.report()


@pytest.mark.parametrize(
    "variant, broken",
    {
        "changes": "payload changed before ready",
        "falls": "valid fell before ready",
        "hole": "a beat before the last has empty lanes",
        "error": "error before the last beat",
        "long": "a packet beyond 9728 bytes",
        "length": "meta.length is 15, the frame has 16 bytes",
        "meta": "meta changed within a frame",
    }.items(),
)
def test_broken_rule(variant, broken):
    outcome = execute(_job("bad", variant), Options())
    assert not outcome.passed
    assert broken in outcome.report()


@pytest.mark.parametrize(
    "module, variant, error",
    [
        ("broken", "impossible", "this design is impossible"),
        ("broken", "crash", "top ended with status -6"),
        ("broken", "skipped", "No test was run"),
        ("hang", "", "No end after 10 s"),
    ],
)
def test_no_result(module, variant, error, tmp_path):
    outcome = execute(_job(module, variant), Options())
    assert not outcome.passed
    assert error in outcome.report()
    write_junit(tmp_path / "results.xml", [outcome])
    (suite,) = ElementTree.parse(tmp_path / "results.xml").getroot()
    assert suite.get("errors") == "1"
    assert error in suite.find("testcase/error").text


def test_processes_of_their_own():
    job = _job("dies", "")
    outcome = execute_apart(job, Options(seed=5))
    assert not outcome.passed and outcome.job == job
    assert "The worker ended with status 3" in outcome.report()
    outcome = execute_apart(_job("nowhere", ""), Options(seed=5))
    assert "No module named" in outcome.error


def test_import_error():
    outcome = execute(Job("harness/nowhere", "tests.harness.benches.nowhere"), Options())
    assert not outcome.passed
    assert "No module named" in outcome.error


def test_wrong_declarations():
    with pytest.raises(ValueError, match=r"^Tier is one of fast, slow, bench, not 'often'$"):
        Bench(dut=object, tier="often")
    with pytest.raises(ValueError, match=r"^A bench has at least one variant$"):
        Bench(dut={})
    with pytest.raises(TypeError, match=r"^tests\.harness has no BENCH = Bench\(\.\.\.\)$"):
        load("tests.harness")
    with pytest.raises(LookupError, match=r"^No bench is called 'nowhere'"):
        jobs(["nowhere"])


def test_every_bench_can_be_imported():
    for name in bench_names():
        load(f"sim.{name.replace('/', '.')}.bench")


def test_generators_are_independent(monkeypatch):
    monkeypatch.setenv("NITER_SEED", "3")
    assert context.rng("a").random() == context.rng("a").random()
    assert context.rng("a").random() != context.rng("b").random()
