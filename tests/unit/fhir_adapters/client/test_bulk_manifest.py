"""Any manifest either reads or raises our error, and never leads to an address that must not be asked."""

import asyncio
import json
from typing import Any

import httpx
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fhir_adapters.client.answers import Reply
from fhir_adapters.client.bulk_manifest import Manifest, read_manifest
from fhir_adapters.errors import FhirServerError
from tests.support.bulk_double import BulkServer
from tests.support.fhir_double import BASE, client

ADDRESSES = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        [f"{BASE}/files/p", "files/p", "//files.example/p", "http://ehr.example/fhir/p", "https://files.example:0x1/p"]
    ),
    st.sampled_from(["https://127.0.0.1/p", "https://[::1]/p", "https://[fe80::1]/p", "http://0.0.0.0", "data:,x"]),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FILE = JSON | st.fixed_dictionaries(
    {}, optional={"type": st.sampled_from(["Patient", "Claim", "../x"]) | JSON, "url": ADDRESSES | JSON, "count": JSON}
)
MANIFEST = JSON | st.fixed_dictionaries(
    {"output": st.lists(FILE, max_size=4) | JSON},
    optional={
        "error": st.lists(FILE, max_size=3) | JSON,
        "deleted": JSON,
        "transactionTime": JSON,
        "requiresAccessToken": JSON,
        "link": st.lists(st.fixed_dictionaries({"relation": st.just("next"), "url": ADDRESSES | JSON}), max_size=2)
        | JSON,
        "resourceType": JSON,
    },
)


@settings(max_examples=80, deadline=None)
@given(MANIFEST)
@example({"output": [{"type": "Patient", "url": "https://files.example/\udc80"}]})
def test_any_manifest(value: Any) -> None:
    def reply(told: Any) -> Reply:
        # Text may hold half a surrogate pair, which the wire can carry as an escape only.
        answer = httpx.Response(200, content=json.dumps(told), headers={"content-type": "application/json"})
        return Reply(status=200, headers=answer.headers, body=answer.content, url=BASE, label="a page")

    async def more(url: str) -> Reply:
        assert url.startswith("https://ehr.example/")
        return reply({"output": []})

    async def go() -> Manifest:
        async with client(BulkServer()) as fhir:
            return await read_manifest(fhir, reply(value), frozenset({"Patient"}), more)

    try:
        manifest = asyncio.run(go())
    except FhirServerError as error:
        assert error.remedy
        return
    for file in manifest.files:
        url = httpx.URL(file.url)
        assert url.scheme == "https" and url.host not in {"127.0.0.1", "::1", "fe80::1", "0.0.0.0", "localhost"}
        assert file.type in {"Patient", "OperationOutcome"}
