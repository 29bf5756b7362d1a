"""SMART App Launch from an EHR: the form opens with the EHR's patient, and reads the record with the EHR's own token.

EHR launch of HL7 SMART App Launch 2.2: the EHR opens ``/launch?iss=...&launch=...``; its endpoints are read from
``iss``/.well-known/smart-configuration; the browser goes there and comes back with a code; the code is exchanged (PKCE,
S256) for a token and the logical id of the patient. Only listed servers are asked at all. The token stays here, sealed:
the browser holds a random cookie and the number of the launch, which opens nothing without it.
"""

import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field

import orjson
from pydantic import SecretStr
from starlette.concurrency import run_in_threadpool

from cds.errors import LaunchRefusedError, SettingsError
from cds.fhir_source import trusted_authorities
from cds.security.authorization_code import Begun, Pending, authorisation_address, challenge, code_of, digest, exchange
from cds.security.authorization_code import endpoints as endpoints_of
from cds.security.lockers import Lockers
from cds.security.pinning import named_by_requests, named_by_servers
from cds.settings import Settings
from cds.store.database import Database
from fhir_adapters.client.addresses import base_address
from fhir_adapters.client.auth import ASSERTION_TYPE, DEFAULT_LIFE_S, WELL_KNOWN, BackendServices
from fhir_adapters.client.fetch import READ_SCOPE_TYPES
from fhir_adapters.client.http import HttpClient
from fhir_adapters.client.keys import load_key
from fhir_adapters.client.media import IMAGE_SCOPE_TYPES
from fhir_adapters.client.retrying import RetryPolicy
from fhir_adapters.errors import ServerAddressError
from fhir_adapters.shapes import as_number, as_text

LONGEST_S = 8 * 3600.0
"""A launch is forgotten after a working day, however long its token lasts."""
CAPACITY = 1000
"""Launches at once; the one that would be forgotten first makes room."""
MAX_LAUNCH = 4096
LAUNCHED = "launched"
"""Kind of the lockers that launches lie in."""
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
SCOPE = " ".join(("launch", *(f"patient/{name}.rs" for name in (*READ_SCOPE_TYPES, *IMAGE_SCOPE_TYPES))))
"""What is asked for by default: the launch's patient, and read access to the types that are read."""
_AGAIN = "Open the form again from the EHR."


@dataclass(frozen=True, slots=True, kw_only=True)
class Launched:
    """A patient whom an EHR opened the form for."""

    id: str
    """Number of the launch, as the page's address shows it."""
    server: str
    """``iss``, as it is listed."""
    patient_id: str = field(repr=False)
    """Logical id on that server."""
    token: SecretStr
    ends: float
    """Seconds since 1970."""
    actor: str
    """Who opened it."""
    browser: str = field(repr=False)
    """Digest of the browser's cookie."""

    def settings(self, own: Settings) -> Settings:
        """The settings of a client that carries the token of this launch, and none of this program's own."""
        return own.model_copy(
            update={
                "fhir_server": self.server,
                "fhir_token": self.token,
                "fhir_token_file": None,
                "fhir_client_id": None,
                "fhir_key_file": None,
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Launching:
    server: str
    token_endpoint: str
    redirect: str
    actor: str


class SmartLaunches:
    """Launches under way, and those that succeeded."""

    def __init__(
        self, settings: Settings, *, lockers: Lockers | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        """Prepare.

        Args:
            settings: client id, key, allowed servers.
            lockers: where launches lie; None for this process only.
            clock: seconds since 1970.

        Raises:
            SettingsError: a listed server is no usable address, or the client has no id.
            ClientAuthError: the key cannot be used.
        """
        if settings.smart_client_id is None:
            raise SettingsError("SMART App Launch has no client id.", remedy="Set FRACTURE_CDS_SMART_CLIENT_ID.")
        try:
            self._servers = {str(base_address(one, credentials=True)): one for one in settings.smart_issuers}
        except ServerAddressError as error:
            raise SettingsError(
                "A server that may launch the form has an address that cannot be used.",
                remedy="Give https addresses in FRACTURE_CDS_SMART_ISSUERS.",
            ) from error
        self._settings = settings
        self._client_id = settings.smart_client_id
        key = settings.smart_key_file
        self._signer = None if key is None else BackendServices(self._client_id, load_key(key))
        self._clock = clock
        self._lockers = lockers or Lockers(clock=clock)
        self._pending = Pending(_Launching, kind="launching", lockers=self._lockers, clock=clock)

    async def begin(self, query: Mapping[str, str], *, redirect: str, actor: str, browser: str) -> str:
        """Where the browser goes to be let in by the EHR.

        Args:
            query: ``iss`` and ``launch`` as the EHR gave them.
            redirect: our address that it comes back to.
            actor: who launches.
            browser: cookie of the browser.

        Raises:
            LaunchRefusedError: the server is not listed, or cannot launch.
            FhirError: it does not answer.
            StoreError: the launch cannot be kept.
        """
        server, launch = self._listed(query.get("iss", "")), query.get("launch", "")
        if not 1 <= len(launch) <= MAX_LAUNCH or not launch.isprintable():
            raise LaunchRefusedError("The launch carries no launch parameter.", remedy=_AGAIN)
        async with self._http(server) as http:
            found = (await http.get(WELL_KNOWN, accept="application/json", anonymous=True)).json()
        authorise, token = endpoints_of(found)
        what = _Launching(server=server, token_endpoint=token, redirect=redirect, actor=actor)
        state, verifier = await run_in_threadpool(self._pending.begin, what, browser=browser)
        return authorisation_address(
            authorise,
            {
                "response_type": "code",
                "client_id": self._client_id,
                "redirect_uri": redirect,
                "launch": launch,
                "scope": self._settings.smart_scope or SCOPE,
                "state": state,
                "aud": server,
                "code_challenge": challenge(verifier),
                "code_challenge_method": "S256",
            },
        )

    async def finish(self, query: Mapping[str, str], *, actor: str, browser: str) -> Launched:
        """The patient of a launch, once the EHR sent the browser back.

        Args:
            query: ``code`` and ``state``, or ``error``.
            actor: who launched.
            browser: cookie of the browser.

        Raises:
            LaunchRefusedError: the launch was not begun here by this browser, or the EHR refuses it.
            FhirError: the EHR does not answer.
            StoreError: the store does not answer.
        """
        begun = await run_in_threadpool(self._pending.take, query.get("state", ""), browser=browser)
        code = code_of(query)
        if begun.what.actor != actor:
            raise LaunchRefusedError("Somebody else began this launch.", remedy=_AGAIN)
        async with self._http(begun.what.server) as http:
            answer = await exchange(http, begun.what.token_endpoint, self._form(begun, code))
        patient_id = as_text(answer.get("patient")) or ""
        if _ID.fullmatch(patient_id) is None:
            raise LaunchRefusedError(
                "The EHR launched the form without a patient.", remedy="Open it from a patient's chart."
            )
        life_s = min(as_number(answer.get("expires_in")) or DEFAULT_LIFE_S, LONGEST_S)
        launched = Launched(
            id=secrets.token_urlsafe(12),
            server=begun.what.server,
            patient_id=patient_id,
            token=SecretStr(str(answer["access_token"])),
            ends=self._clock() + life_s,
            actor=actor,
            browser=begun.browser,
        )
        await run_in_threadpool(self._keep, launched, browser)
        return launched

    def find(self, launch_id: str, *, actor: str, browser: str) -> Launched:
        """A launch that succeeded, for the person and the browser that made it.

        Raises:
            LaunchRefusedError: there is none, or its token has ended.
            StoreError: the store does not answer.
        """
        content = self._lockers.look(LAUNCHED, _secret(launch_id, browser))
        found = None if content is None else _launched(content)
        if found is None or found.actor != actor or found.browser != digest(browser):
            raise LaunchRefusedError("There is no such launch.", remedy=_AGAIN)
        if found.ends <= self._clock():
            raise LaunchRefusedError("The EHR's permission to read this patient has ended.", remedy=_AGAIN)
        return found

    def _listed(self, given: str) -> str:
        try:
            found = self._servers.get(str(base_address(given)))
        except ServerAddressError:
            found = None
        if found is None:
            raise LaunchRefusedError(
                "The server that launches the form is not listed here.",
                remedy="Ask the administrator to list it in FRACTURE_CDS_SMART_ISSUERS.",
            )
        return found

    def _form(self, begun: Begun[_Launching], code: str) -> dict[str, str]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": begun.what.redirect,
            "code_verifier": begun.verifier,
        }
        if self._signer is None:
            return form | {"client_id": self._client_id}
        signed = self._signer.assertion(begun.what.token_endpoint)
        return form | {"client_assertion_type": ASSERTION_TYPE, "client_assertion": signed}

    def _http(self, server: str) -> HttpClient:
        """Asks one listed server, once: a code is good once."""
        verify, home = trusted_authorities(self._settings), base_address(server)
        away = named_by_servers(home.host, verify=verify)
        whole = str(home.copy_with(path="/"))  # its token endpoint need not lie below its base
        return HttpClient(
            server,
            timeout=self._settings.fhir_timeout_seconds,
            retries=RetryPolicy(attempts=1, failure_attempts=1, deadline_s=self._settings.fhir_timeout_seconds),
            verify=verify,
            transport=None if away is None else named_by_requests([whole], self._settings, verify=verify),
            elsewhere=away,
            max_body_bytes=1 << 20,
        )

    def _keep(self, launched: Launched, browser: str) -> None:
        content = orjson.dumps(asdict(launched) | {"token": launched.token.get_secret_value()})
        ends = self._clock() + LONGEST_S  # longer than its token, so that it can be said that this has ended
        secret = _secret(launched.id, browser)
        self._lockers.keep(LAUNCHED, secret, content, ends=ends, capacity=CAPACITY)


def _secret(launch_id: str, browser: str) -> str:
    """Opens a launch: the browser's cookie, since the number stands in an address."""
    return f"{launch_id}\0{browser}"


def _launched(content: bytes) -> Launched | None:
    try:
        found = orjson.loads(content)
        return Launched(**found | {"token": SecretStr(found["token"])})
    except (ValueError, TypeError, KeyError):  # another version of the program kept it
        return None


def build_launches(settings: Settings, database: Database | None = None) -> SmartLaunches | None:
    """What the settings ask for; None where no EHR launches the form.

    Args:
        settings: client id, key, allowed servers.
        database: holds the launches, sealed; None for this process only.

    Raises:
        SettingsError: a listed server is no usable address.
        ClientAuthError: the key cannot be used.
    """
    return None if settings.smart_client_id is None else SmartLaunches(settings, lockers=Lockers(database))
