"""Alerts and dashboard: every query asks for what the daemon exposes, and every alert leads to what to do about it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from pushd.telemetry.exposition import Metrics
from pushd.telemetry.metrics import Meter
from pushd.telemetry.standing import AtRegistry, Standing
from tests.unit.deploy.monitoring import BOARD, DEPLOY, NAMES, RULES, queries_of_the_board

OF_PROMETHEUS = {"up"}
_WORDS = {"and", "or", "unless", "on", "ignoring", "by", "without", "group_left", "group_right", "offset", "bool"}


def names(query: str) -> set[str]:
    """Give the metrics a PromQL expression asks for: what is neither function, label, number, duration nor keyword."""
    left = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\"[^\"]*\"|'[^']*'", " ", query)
    left = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", left)
    return {name for name in re.findall(r"(?<![\w.])[a-zA-Z_:][\w:]*(?!\s*\(|\w)", left) if name not in _WORDS}


@pytest.fixture
async def exposed() -> dict[str, set[str]]:
    """What the daemon exposes: the samples' names, and the labels of each, `le` and `quantile` left out."""

    async def stand() -> Standing:
        there = {"registry.example.com": AtRegistry(states={"queued": 1})}
        return Standing(registries=there, spool=0, database=0, free=0, refusing=(), streams=0)

    metrics = Metrics(Meter(["registry.example.com"]), stand)
    text = (await metrics.exposition(openmetrics=False)).decode()
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        found.setdefault(f"{family.name}_total" if family.type == "counter" else family.name, set())
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels.keys() - {"le"})
    return found


def test_the_names_in_a_query_are_told_from_all_else() -> None:
    query = 'sum by (le, job) (rate(a_total{x=~"b|c"}[5m])) / on (job) d > bool 0.5e3 unless (e_f offset 5m) == 1'
    assert names(query) == {"a_total", "d", "e_f"}


def test_every_alert_asks_for_what_the_daemon_exposes(exposed: dict[str, set[str]]) -> None:
    for rule in RULES:
        assert names(rule["expr"]) <= exposed.keys() | OF_PROMETHEUS, rule["alert"]


def test_every_panel_asks_for_what_the_daemon_exposes(exposed: dict[str, set[str]]) -> None:
    for query in queries_of_the_board():
        assert names(query) <= exposed.keys() | OF_PROMETHEUS, query
        assert names(query), query


def test_the_dashboard_shows_every_metric_there_is(exposed: dict[str, set[str]]) -> None:
    asked = {name for query in queries_of_the_board() for name in names(query)}
    hidden = {name for name in exposed if not any(name.startswith(re.sub("_bucket$", "", one)) for one in asked)}
    assert hidden <= {"pushd_process_max_fds", "pushd_process_virtual_memory_bytes"}


def test_labels_by_which_is_summed_are_those_the_metric_has(exposed: dict[str, set[str]]) -> None:
    begin_later = {"pushd_holds_total", "pushd_upload_interruptions_total", "pushd_last_success_timestamp_seconds"}
    for query in [*queries_of_the_board(), *(rule["expr"] for rule in RULES)]:
        for labels, metric in re.findall(r"by \(([^)]*)\) \((?:\w+\()?(pushd_\w+)", query):
            wanted = {label.strip() for label in labels.split(",")} - {"le", "job", "instance"}
            assert wanted <= exposed[metric] or metric in begin_later, query


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_every_alert_says_what_it_is_what_to_do_and_where_more_is_told(rule: dict[str, Any]) -> None:
    notes = rule["annotations"]
    assert set(notes) == {"summary", "description", "runbook"}
    assert rule["labels"]["severity"] in {"critical", "warning"}
    file, _, anchor = notes["runbook"].partition("#")
    headings = re.findall(r"^#+ (.+)$", (DEPLOY.parent / file).read_text(), re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert anchor == rule["alert"].lower()
    assert anchor in anchors


def test_the_guide_tells_of_no_alert_that_is_not_there() -> None:
    told = re.findall(r"^#+ (Pushd\w+)$", (DEPLOY / "OPERATIONS.md").read_text(), re.MULTILINE)
    assert told == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_alert_fires_in_a_test(name: str) -> None:
    tested = (DEPLOY / "prometheus/alerts_test.yml").read_text()
    assert f'alertname="{name}",alertstate="firing"' in tested or f"alertname: {name}\n        exp_alerts" in tested


def test_prometheus_scrapes_where_the_guide_has_the_daemon_listen() -> None:
    scraped = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
    (job,) = scraped["scrape_configs"]
    (target,) = job["static_configs"][0]["targets"]
    assert job["job_name"] == "pushd"
    assert job.get("metrics_path", "/metrics") == "/metrics"
    assert f'listen = "{target}"' in (DEPLOY / "OPERATIONS.md").read_text()
    assert scraped["rule_files"] == ["alerts.yml"]


def test_no_two_panels_lie_on_one_another_and_each_has_its_own_number() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24, panel["title"]
        assert not taken & cells, panel["title"]
        taken |= cells
    numbers = [panel["id"] for panel in BOARD["panels"]]
    assert len(numbers) == len(set(numbers))


def test_the_dashboard_is_of_no_prometheus_in_particular() -> None:
    sources = re.findall(r'"uid": "([^"]*)"', json.dumps(BOARD["panels"]))
    assert set(sources) == {"${datasource}"}
