"""The campaign in short: every strategy under strikes, judged by what the targets did. `make soak` runs it for long."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.soak_flows import FLOWS
from tests.kit.seeds import repeatable, seeds

pytestmark = [pytest.mark.xdist_group("private servers"), pytest.mark.timeout(400)]

PROJECT = Path(__file__).resolve().parents[2]
MINUTES = "0.3"
FLOW_NAMES = [flow.name for flow in FLOWS]


@pytest.mark.parametrize("seed", seeds(1))
def test_under_strikes_each_order_takes_effect_once_and_in_order_in_every_target(seed: int, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    options = ["--minutes", MINUTES, "--seed", str(seed), "--rate", "6", "--drain", "240", "--report", str(report)]
    options += ["--flows", ",".join(FLOW_NAMES)]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OUTBOX_")}
    with repeatable(seed):
        campaign = subprocess.run(
            [sys.executable, "-m", "sandbox.soak", *options],
            cwd=PROJECT,
            env=inherited,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=380,
            check=False,
        )
        assert campaign.returncode == 0, campaign.stdout
        content = json.loads(report.read_text())
        assert content["is_clean"]
        assert [flow["flow"] for flow in content["flows"] if flow["verdict"]["effects"]] == FLOW_NAMES
        assert any("kill -9" in strike for strike in content["strikes"])
