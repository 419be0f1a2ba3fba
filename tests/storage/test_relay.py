"""2,000 random overlapping requests over a bad relay; ``make soak`` has 100,000."""

import os

from sim.storage.aoe.relay import run

REQUESTS = 2000


def test_nothing_is_lost_and_nothing_is_wrong():
    for line in run(REQUESTS, int(os.environ.get("NITER_SEED", "1"))):
        print(line)
