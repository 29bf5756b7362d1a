"""The description against the service: schemathesis sends what it allows and forbids, and judges the answers."""

from collections.abc import Iterator
from typing import Any
from unittest import SkipTest

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.config import SchemathesisConfig

from cds.entrypoints.web import create_app
from cds.settings import Settings
from cds.store.opening import open_store
from tests.support.fakes import FakeParts, RememberingAuditTrail

EXAMPLES = 15
CONFIG = SchemathesisConfig.from_dict(
    {
        "request-timeout": 120,
        "checks": {
            # No schema can say what a radiograph or a cursor holds, nor which details a kind of feedback takes.
            "positive_data_acceptance": {"expected-statuses": ["2xx", "404", "409", "422"]},
        },
    }
)


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    chosen = Settings(
        data_dir=tmp_path_factory.mktemp("data"),
        audit_log=None,
        allowed_hosts=("*",),
        requests_per_minute=1_000_000,
        queue_limit=100_000,
    )
    store = open_store(chosen)
    app = create_app(chosen, FakeParts().engines(), RememberingAuditTrail(), store)
    loaded = schemathesis.openapi.from_asgi("/api/openapi.json", app, config=CONFIG)
    # CDS Hooks has a description of its own: the standard.
    yield loaded.exclude(path_regex="^/cds-services")
    store.close()


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_the_service_does_what_its_description_says(described: Any, mode: GenerationMode) -> None:
    tried = 0
    for found in described.get_all_operations():
        operation = found.ok()

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            phases=(Phase.explicit, Phase.generate),
            suppress_health_check=list(HealthCheck),
        )
        def judged(case: schemathesis.Case[Any]) -> None:
            case.call_and_validate()

        try:
            judged()
        except (Unsatisfiable, SkipTest):  # nothing can be wrong with a request that takes nothing
            continue
        tried += 1
    assert tried >= 10
