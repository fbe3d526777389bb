"""Alerts and queries as Prometheus itself reads them: by promtool, of Debian's package prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.integration.daemon import REPOSITORY
from tests.integration.parts import Tool, run
from tests.unit.deploy.monitoring import NAMES, queries_of_the_board

if TYPE_CHECKING:
    from pathlib import Path
    from subprocess import CompletedProcess

PROMTOOL = Tool("promtool", "PUSHD_TEST_PROMTOOL", required=True)
PROMETHEUS = REPOSITORY / "deploy" / "prometheus"


def promtool(*arguments: str | Path) -> CompletedProcess[str]:
    return run(PROMTOOL.find(), *arguments)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The rules and their tests, to be spoilt."""
    for name in ("alerts.yml", "alerts_test.yml"):
        (tmp_path / name).write_text((PROMETHEUS / name).read_text())
    return tmp_path


def test_prometheus_takes_the_configuration_and_the_rules() -> None:
    said = promtool("check", "config", PROMETHEUS / "prometheus.yml")
    assert said.returncode == 0, said.stdout + said.stderr
    assert f"{len(NAMES)} rules found" in said.stdout


def test_alerts_fire_when_something_is_wrong_and_not_otherwise() -> None:
    said = promtool("test", "rules", PROMETHEUS / "alerts_test.yml")
    assert said.returncode == 0, said.stdout + said.stderr


@pytest.mark.parametrize("expression", ["vector(0) > 1", "vector(1)"], ids=["never", "always"])
@pytest.mark.parametrize("name", NAMES)
def test_the_tests_would_notice_an_alert_that_fires_never_or_always(name: str, expression: str, copied: Path) -> None:
    rules: dict[str, Any] = yaml.safe_load((copied / "alerts.yml").read_text())
    (rule,) = [rule for rule in rules["groups"][0]["rules"] if rule["alert"] == name]
    rule["expr"] = expression
    (copied / "alerts.yml").write_text(yaml.safe_dump(rules))
    assert promtool("test", "rules", copied / "alerts_test.yml").returncode == 1


def test_every_query_of_the_dashboard_is_one(tmp_path: Path) -> None:
    told = {"$__rate_interval": "5m", "$instance": ".*", "$registry": ".*"}
    rules = []
    for number, query in enumerate(queries_of_the_board()):
        for variable, value in told.items():
            query = query.replace(variable, value)  # noqa: PLW2901 (one after the other)
        rules.append({"record": f"query:{number}", "expr": query})
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "board", "rules": rules}]}))
    said = promtool("check", "rules", tmp_path / "rules.yml")
    assert said.returncode == 0, said.stdout + said.stderr
    assert f"{len(rules)} rules found" in said.stdout
