"""The contract against the code: paths, fields, codes and limits are the same in both."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import fields
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import msgspec
import pytest
import schemathesis
import yaml

from pushd.api.credentials import MAX_CREDENTIALS, MAX_LIFE, MAX_SECRET, Given, login_name, read_credential
from pushd.api.documents import encode, event_document
from pushd.api.fields import read_fields
from pushd.api.problems import STATUS, problem
from pushd.api.submission import read_submission
from pushd.errors import Code, OffsetError, RequestError
from pushd.job import (
    Delivery,
    DeliveryState,
    Failure,
    Job,
    JobSpec,
    JobState,
    Retain,
    Spooled,
    Tags,
    Transfer,
    TransferState,
    Try,
    Validate,
    Verify,
)
from pushd.principal import Principal, Role
from pushd.telemetry.events import CATALOGUE, STREAM_BOOKMARK, TRANSFER_PROGRESS, Event, Level
from pushd.work import Check, SpoolEntry, SpoolFile
from tests.fakes.jobs import NOON, FakeJobs
from tests.fakes.spool import FakeSpool

if TYPE_CHECKING:
    from collections.abc import Iterator

    import aiohttp
    from aiohttp import web

    from tests.fakes.logins import FakeLogins

TEXT = files("pushd.api").joinpath("openapi.yaml").read_text("utf-8")
CONTRACT: dict[str, Any] = yaml.safe_load(TEXT)
SCHEMAS: dict[str, Any] = CONTRACT["components"]["schemas"]
METHODS = {"get", "post", "patch", "delete", "put", "head", "options", "trace"}
DIGEST = f"sha256:{'ab' * 32}"
SPEC = JobSpec(source="oci:/x", destinations=("a.b/c:1", "d.e/f:1"), labels={"build": "1"})


def fits(name: str, document: bytes | object) -> None:
    """Fail unless a document is as the schema of this name says."""
    value = json.loads(document) if isinstance(document, bytes) else document
    validator = jsonschema_rs.Draft202012Validator(
        {"$ref": f"#/components/schemas/{name}", "components": CONTRACT["components"]}, validate_formats=True
    )
    assert [str(error) for error in validator.iter_errors(value)] == []


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in CONTRACT["paths"].items():
        for method, operation in item.items():
            if method in METHODS:
                yield method.upper(), path, operation


def resolved(node: Any) -> Any:
    while "$ref" in node and len(node) == 1:
        target = CONTRACT
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


def enumerated(name: str) -> set[str]:
    return set(SCHEMAS[name]["enum"])


# ---------------------------------------------------------------------------------------------- the document itself


def test_it_is_openapi_3_1() -> None:
    assert CONTRACT["openapi"].startswith("3.1.")
    schemathesis.openapi.from_dict(CONTRACT).validate()


def test_every_reference_leads_somewhere_and_every_component_is_led_to() -> None:
    used: set[str] = set()

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if "$ref" in node:
                target = CONTRACT
                for part in node["$ref"].removeprefix("#/").split("/"):
                    target = target[part]
                used.add(node["$ref"])
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(CONTRACT)
    there = {f"#/components/{kind}/{name}" for kind, items in CONTRACT["components"].items() for name in items}
    # An event is a line of a stream, which OpenAPI 3.1 has no way to say but in words.
    assert there - used == {"#/components/schemas/Event"}


def test_no_operation_shares_its_id() -> None:
    ids = [operation["operationId"] for _, _, operation in operations()]

    assert len(ids) == len(set(ids))


def test_every_example_is_one() -> None:
    for name in ("Job", "Plan", "Diagnosis", "StoredLogin"):
        fits(name, CONTRACT["components"]["examples"][name]["value"])
    for example in CONTRACT["components"]["requestBodies"]["Submission"]["content"]["application/json"][
        "examples"
    ].values():
        fits("Submission", example["value"])
        read_submission(json.dumps(example["value"]).encode(), now=NOON)
    for path, method in (
        ("/v1/logins/{name}", "put"),
        ("/v1/jobs/{id}/retry", "post"),
        ("/v1/registries/{registry}/diagnose", "post"),
    ):
        content = CONTRACT["paths"][path][method]["requestBody"]["content"]["application/json"]
        for example in content["examples"].values():
            fits(content["schema"]["$ref"].rpartition("/")[2], example["value"])
    lines = resolved(CONTRACT["paths"]["/v1/events"]["get"]["responses"]["200"])["content"]["application/x-ndjson"]
    for line in lines["example"].splitlines():
        fits("Event", json.loads(line))
    for response in CONTRACT["components"]["responses"].values():
        for content in response["content"].values():
            for example in content.get("examples", {}).values():
                fits(content["schema"]["$ref"].rpartition("/")[2], resolved(example)["value"])


# ------------------------------------------------------------------------------------------------------- its paths


def test_it_has_every_route_there_is_and_no_other(app: web.Application) -> None:
    served = {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.method != "*"
    }

    assert {(method, path) for method, path, _ in operations()} == served


def test_every_parameter_of_a_path_is_described() -> None:
    for path, item in CONTRACT["paths"].items():
        named = {
            parameter["name"] for parameter in map(resolved, item.get("parameters", [])) if parameter["in"] == "path"
        }
        assert {part[1:-1] for part in path.split("/") if part.startswith("{")} == named


@pytest.mark.parametrize(("method", "path", "operation"), list(operations()), ids=lambda value: str(value)[:40])
def test_what_may_go_wrong_anywhere_is_told_everywhere(method: str, path: str, operation: dict[str, Any]) -> None:
    answers = operation["responses"]
    expected = {"400", "403", "500"}
    if path != "/v1/openapi.yaml":
        expected |= {"503"}
    if "{id}" in path:
        expected |= {"404"}
    if "requestBody" in operation and not path.endswith("/files/{name}"):
        expected |= {"413"}

    assert expected <= answers.keys()
    for status, answer in answers.items():
        content = resolved(answer).get("content", {})
        if int(status) >= 400:
            assert content.keys() == {"application/problem+json"}
    assert "401" not in answers


# --------------------------------------------------------------------------------------------------- names and words


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Job", Job),
        ("Delivery", Delivery),
        ("Transfer", Transfer),
        ("Failure", Failure),
        ("Try", Try),
        ("Check", Check),
        ("SpoolEntry", SpoolEntry),
        ("SpoolFile", SpoolFile),
    ],
)
def test_a_document_has_the_fields_of_the_value_it_shows(name: str, kind: type) -> None:
    names = {field.name for field in fields(kind)}

    assert SCHEMAS[name]["properties"].keys() == names
    assert set(SCHEMAS[name]["required"]) == names


@pytest.mark.parametrize(
    ("name", "kind", "beside"), [("Submission", JobSpec, {"credentials"}), ("Spooled", Spooled, set())]
)
def test_a_request_has_the_fields_that_are_read(name: str, kind: type, beside: set[str]) -> None:
    assert SCHEMAS[name]["properties"].keys() == {field.name for field in fields(kind)} | beside


def test_a_credential_has_the_fields_that_are_read_and_those_that_are_secret_are_said_to_be() -> None:
    forms = [form["properties"] for form in SCHEMAS["Credential"]["oneOf"]]

    assert {name for form in forms for name in form} == set(Given.__struct_fields__)
    for form in forms:
        secret = {name: resolved(form[name]) for name in form if name not in ("registry", "expires_in")}
        assert all(schema["writeOnly"] for schema in secret.values())
        assert all(schema["format"] == "password" for name, schema in secret.items() if name != "username")
    shown = SCHEMAS["Login"]["properties"].keys() | SCHEMAS["StoredLogin"]["allOf"][1]["properties"].keys()
    assert shown.isdisjoint({"username", "password", "identity_token", "registry_token"})


@pytest.mark.parametrize(
    ("fields_of_it", "good"),
    [
        ({"username": "u", "password": "p"}, True),
        ({"username": "Zoë $robot", "password": "p: ü\t"}, True),
        ({"username": "a:b", "identity_token": "t"}, True),
        ({"identity_token": "t", "expires_in": 0.5}, True),
        ({"registry_token": "t" * MAX_SECRET, "expires_in": MAX_LIFE}, True),
        ({"password": "p" * MAX_SECRET, "username": "u" * 255}, True),
        ({}, False),
        ({"username": "u"}, False),
        ({"username": None, "password": "p"}, False),
        ({"username": "u", "password": "p", "registry_token": "t"}, False),
        ({"username": "a:b", "password": "p"}, False),
        ({"username": "a\x7f", "password": "p"}, False),
        ({"username": "u" * 256, "password": "p"}, False),
        ({"username": "u", "password": ""}, False),
        ({"username": "u", "password": "p\n"}, False),
        ({"username": "u", "password": "p\x00"}, False),
        ({"username": "u", "password": "p" * (MAX_SECRET + 1)}, False),
        ({"registry_token": "a b"}, False),
        ({"registry_token": "t" * (MAX_SECRET + 1)}, False),
        ({"registry_token": "t", "expires_in": 0}, False),
        ({"registry_token": "t", "expires_in": MAX_LIFE + 1}, False),
        ({"registry_token": "t", "auth": "x"}, False),
    ],
)
def test_a_credential_fits_where_it_is_taken_and_nowhere_else(fields_of_it: dict[str, Any], good: bool) -> None:
    document = {"registry": "a.b", **fields_of_it}
    expected = nullcontext() if good else pytest.raises(AssertionError)
    with expected:
        fits("Credential", document)
    with nullcontext() if good else pytest.raises(RequestError):
        read = read_fields(json.dumps(document).encode(), msgspec.json.Decoder(Given))
        read_credential(read, source="login", now=NOON)


def test_the_limits_of_credentials_are_those_of_the_code() -> None:
    assert SCHEMAS["Credentials"]["maxItems"] == MAX_CREDENTIALS
    assert SCHEMAS["Secret"]["maxLength"] == MAX_SECRET
    assert SCHEMAS["CredentialLife"]["maximum"] == MAX_LIFE


@pytest.mark.parametrize("name", ["a", "work:1", "x" * 128, "auto", "daemon", "anonymous", "", "-a", "x" * 129, "a b"])
def test_a_login_has_a_name_where_the_contract_says_so(name: str) -> None:
    if jsonschema_rs.is_valid(SCHEMAS["LoginName"], name):
        assert login_name(name) == name
    else:
        with pytest.raises(RequestError):
            login_name(name)


def test_the_words_are_those_of_the_code() -> None:
    assert enumerated("Code") == set(Code)
    assert enumerated("JobState") == set(JobState)
    assert set(SCHEMAS["Delivery"]["properties"]["state"]["enum"]) == set(DeliveryState)
    assert set(SCHEMAS["Transfer"]["properties"]["state"]["enum"]) == set(TransferState)
    assert set(SCHEMAS["Submission"]["properties"]["verify"]["enum"]) == set(Verify)
    assert set(SCHEMAS["Submission"]["properties"]["retain"]["enum"]) == set(Retain)
    assert set(SCHEMAS["Job"]["properties"]["retain"]["enum"]) == set(Retain)
    assert set(SCHEMAS["Submission"]["properties"]["validate"]["enum"]) == set(Validate)
    assert set(SCHEMAS["Job"]["properties"]["validate"]["enum"]) == set(Validate)
    assert set(SCHEMAS["Submission"]["properties"]["tags"]["enum"]) == set(Tags)
    assert set(SCHEMAS["Job"]["properties"]["tags"]["enum"]) == set(Tags)
    assert set(SCHEMAS["Event"]["properties"]["level"]["enum"]) == set(Level)
    assert set(SCHEMAS["Status"]["properties"]["role"]["enum"]) == set(Role)


def test_every_event_a_reader_can_be_told_is_named() -> None:
    named = set(SCHEMAS["Event"]["properties"]["event"]["anyOf"][0]["enum"])

    assert {kind.name for kind in CATALOGUE.values() if kind.durable} <= named
    assert named <= CATALOGUE.keys()


def test_every_status_a_code_of_a_request_has_is_somewhere() -> None:
    told = {int(status) for _, _, operation in operations() for status in operation["responses"]}
    # A registry is spoken to by deliveries, and what it says is theirs; the others end the daemon before it serves.
    never = {Code.REQUEST_METHOD, Code.REQUEST_CANCELLED, Code.REQUEST_DEADLINE}

    assert {
        STATUS[code].value for code in Code if code.value.startswith(("request.", "source.")) and code not in never
    } <= told


# ---------------------------------------------------------------------------------------------------- what is answered


@pytest.mark.parametrize("state", JobState)
def test_a_job_in_any_state_fits(state: JobState) -> None:
    jobs = FakeJobs()
    jobs.add("a", SPEC)

    fits("Job", encode(jobs.end("a", state)))


def test_a_page_of_jobs_fits() -> None:
    jobs = [FakeJobs().add("a", SPEC)]

    fits("JobPage", encode({"jobs": jobs, "next": "a"}))
    fits("JobPage", encode({"jobs": [], "next": None}))


@pytest.mark.parametrize("kind", CATALOGUE.values(), ids=CATALOGUE)
def test_an_event_of_any_kind_fits(kind: Any) -> None:
    facts = dict.fromkeys(kind.fields, 1)

    fits("Event", event_document(Event(kind, NOON, job="a", delivery=1, fields=facts, seq=1 if kind.durable else None)))


def test_progress_and_bookmarks_fit() -> None:
    fits(
        "Event",
        event_document(
            Event(TRANSFER_PROGRESS, NOON, job="a", delivery=1, fields={"digest": "d", "done": 1, "size": 2})
        ),
    )
    fits("Event", event_document(Event(STREAM_BOOKMARK, NOON, seq=0, fields={"stream": "s"})))


@pytest.mark.parametrize("role", Role)
async def test_what_the_engine_tells_fits(role: Role) -> None:
    jobs = FakeJobs(paused={"c.d"})
    caller = Principal(uid=0, gids=frozenset(), role=role, paths=True)

    fits("Status", encode(await jobs.status(caller=caller)))
    fits("Plan", encode(await jobs.plan(SPEC, caller=caller)))
    fits("Diagnosis", encode(await jobs.diagnose("a.b", caller=caller)))
    if role is Role.ADMINISTRATOR:
        fits("Pausing", encode(await jobs.pause_registry("a.b", caller=caller)))
        fits("Pausing", encode(await jobs.resume_registry("a.b", caller=caller)))
        fits("Cancelling", encode(await jobs.cancel_registry("a.b", caller=caller)))


@pytest.mark.parametrize("verified", [True, False, None])
async def test_what_is_told_of_logins_fits(
    *, http: aiohttp.ClientSession, logins: FakeLogins, verified: bool | None
) -> None:
    logins.verified = verified
    for document in ({"registry": "a.b/c", "registry_token": "t"}, {"registry": "a.b", "identity_token": "t"}):
        async with http.put(f"/v1/logins/{len(document['registry'])}", json={**document, "expires_in": 60}) as response:
            fits("StoredLogin", await response.read())
    async with http.get("/v1/logins") as response:
        fits("LoginList", await response.read())


async def test_what_the_spool_tells_fits() -> None:
    spool = FakeSpool()
    entry = await spool.create(uid=0, size=10, ttl=None)

    async def pieces() -> Any:
        yield b"12345"

    fits("SpoolFile", encode(await spool.receive(entry.id, "a", uid=0, offset=0, pieces=pieces(), complete=True)))
    fits("SpoolEntry", encode(await spool.get(entry.id, uid=0)))


@pytest.mark.parametrize("code", Code)
def test_a_problem_of_any_code_fits(code: Code) -> None:
    fits("Problem", problem(RequestError(code, "subject", "is odd", hint="look")).body)
    fits("Problem", problem(OffsetError("a", 1)).body)
