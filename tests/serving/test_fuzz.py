"""Whatever the OpenAPI document allows, and what it does not, is answered as it says."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = (
    not_a_server_error,
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)


@pytest.fixture(scope="module")
def operations(server):
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    return {found.ok().path: found.ok() for found in schema.get_all_operations()}


@pytest.mark.parametrize("path", ["/search", "/encode", "/explain", "/indexes", "/health"])
def test_every_request_has_an_answer_that_the_document_tells_of(operations, path):
    @settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=operations[path].as_strategy())
    def ask(case):
        case.call_and_validate(checks=CHECKS)

    ask()
