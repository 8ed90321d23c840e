"""What the tests with real servers share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit.cli import Cli


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)
