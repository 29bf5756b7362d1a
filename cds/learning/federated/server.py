"""The rounds: who takes part, what is refused, what becomes of it.

One round
---------
1. Every connected program proves who it is (``hello``); unknown keys are sent away. The round waits for enough.
2. Under secure aggregation the members exchange keys of the round, each signed with the hospital's count, from which
   every member computes its own weight.
3. All are given the common model and asked for an update. Who drops out, or is later than the timeout, misses the
   round; the others do not wait longer.
4. Each answer must be signed over this very request, of the model's shape, finite and within its bounds, or it is
   refused. With fewer good answers than `min_hospitals` the round is lost and the model stays as it was.
5. The updates are combined, the state is written, the next round begins.

After a restart the server goes on where the state says; hospitals come back by themselves.
"""

import secrets
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flwr.common import Code, EvaluateIns, FitIns, FitRes, GetPropertiesIns, Parameters, ReconnectIns
from flwr.server import Server, SimpleClientManager
from flwr.server.client_proxy import ClientProxy
from flwr.server.history import History

from cds.learning.federated import wire
from cds.learning.federated.aggregation import Contribution
from cds.learning.federated.errors import FederationError, TooFewHospitalsError, UpdateRefusedError, WireError
from cds.learning.federated.identity import fingerprint, is_signed, statement
from cds.learning.federated.learners.base import Applied, Rules
from cds.learning.federated.masking import unmask_sum
from cds.learning.federated.orders import Member, Order, member_shares
from cds.learning.federated.settings import FederationSettings
from cds.learning.federated.state import FederationState, load_or_begin, save
from cds.learning.federated.wire import Tensors

HELLO_TIMEOUT_S = 120.0
"""For short questions; a hospital reads its data at the first of them."""
POLL_S = 0.1
LARGEST_LOSS = 100.0
"""A reported loss above this is left out of the history's mean."""


@dataclass(frozen=True, slots=True)
class Hospital:
    """A connected hospital that has proved its key."""

    proxy: ClientProxy
    key: bytes
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What came back in a round."""

    contributions: tuple[Contribution, ...]
    losses: Mapping[str, float]
    refused: Mapping[str, str]
    """Hospital to reason."""
    missing: tuple[str, ...]
    """Dropped out, or too late."""


class RoundServer(Server):
    """Flower's server with rounds of its own."""

    def __init__(
        self,
        *,
        settings: FederationSettings,
        rules: Rules,
        out: Path,
        allowed: Mapping[bytes, str] | None = None,
        notice: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Prepare; nothing is read or written before `fit`.

        Args:
            settings: of the federation.
            rules: for its kind of model.
            out: folder of the state and the final model.
            allowed: keys that may take part, with names; None lets anyone in (loopback only).
            notice: receives one line per event.
        """
        super().__init__(client_manager=SimpleClientManager())
        self._settings, self._rules, self._out = settings, rules, out
        self._allowed, self._notice = allowed, notice
        self._known: dict[str, Hospital] = {}
        self.failure: FederationError | None = None
        """Why the rounds ended early."""

    def fit(self, num_rounds: int, timeout: float | None) -> tuple[History, float]:
        """All rounds that are still to do; Flower's own arguments are not used."""
        begun = time.monotonic()
        try:
            state = load_or_begin(self._out, self._settings, self._rules.initial())
            lost = 0
            while state.round < self._settings.rounds:
                lost = 0 if self._round(state) else lost + 1
                if lost >= self._settings.most_failed_rounds:
                    raise TooFewHospitalsError(
                        f"{lost} rounds in a row had too few good answers",
                        remedy="See the history in state.json, then start this command again: it goes on from there.",
                    )
            self._rules.keep(state.weights, self._out)
            self._hand_out(state)
        except FederationError as error:
            # Flower stops its channel only after an orderly return.
            self.failure = error
        return History(), time.monotonic() - begun

    def _round(self, state: FederationState) -> bool:
        """One attempt; whether the model went on."""
        begun = time.monotonic()
        hospitals = self._wait_for_hospitals()
        state.attempts += 1
        save(self._out, self._settings, state)
        entry: dict[str, Any] = {"attempt": state.attempts, "asked": [one.name for one in hospitals]}
        orders = self._orders(state, hospitals, entry)
        answers = self._ask(state, orders)
        entry |= {
            "contributed": {one.hospital: one.examples for one in answers.contributions},
            "losses": {name: round(loss, 5) for name, loss in answers.losses.items()},
            "refused": dict(answers.refused),
            "missing": list(answers.missing),
        }
        applied = self._apply(state.weights, answers, orders, entry)
        if applied is not None:
            state.weights, state.round = applied.weights, state.round + 1
            entry |= {"round": state.round, **applied.facts}
        entry |= {"lost": applied is None, "seconds": round(time.monotonic() - begun, 2)}
        state.history.append(entry)
        save(self._out, self._settings, state)
        done = f"round {state.round} of {self._settings.rounds}" if applied else "round lost"
        self._notice(
            f"{done}: {len(answers.contributions)} updates, refused {dict(answers.refused) or 'none'}, "
            f"missing {list(answers.missing) or 'none'}"
        )
        return applied is not None

    def _apply(
        self, weights: Tensors, answers: Answers, orders: Mapping[Hospital, Order], entry: dict[str, Any]
    ) -> Applied | None:
        """The model after the answers; None where they are too few."""
        if len(answers.contributions) < self._settings.min_hospitals:
            return None
        try:
            if not self._settings.secure_aggregation:
                return self._rules.apply(weights, answers.contributions)
            if len(answers.contributions) < len(orders):
                return None  # the masks of those who are missing cannot be removed
            total = unmask_sum([one.update for one in answers.contributions], weights)
            self._rules.check(total)
            # The updates were weighted in the hospitals: their sum is the mean already.
            whole = Contribution(hospital="sum", update=total, examples=1)
            applied = self._rules.apply(weights, [whole])
            shares = {one.name: round(member_shares(order)[one.key], 4) for one, order in orders.items()}
            return replace(applied, facts={"shares": shares, "sum_norm": applied.facts["norms"]["sum"]})
        except UpdateRefusedError as error:
            entry["not_applied"] = error.reason
            return None

    def _wait_for_hospitals(self) -> list[Hospital]:
        """Everybody who is connected and has proved its key, once they are enough.

        Raises:
            TooFewHospitalsError: they do not become enough in time.
        """
        end = time.monotonic() + self._settings.wait_s
        while True:
            self._greet()
            by_key = {one.key: one for one in self._known.values()}  # the newest connection of a key counts
            if len(by_key) >= self._settings.min_hospitals:
                return sorted(by_key.values(), key=lambda one: one.key)
            if time.monotonic() > end:
                raise TooFewHospitalsError(
                    f"{len(by_key)} of {self._settings.min_hospitals} hospitals came in {self._settings.wait_s:g} s",
                    remedy="Start the hospitals' clients, or raise wait_s; the state is kept.",
                )
            time.sleep(POLL_S)

    def _greet(self) -> None:
        """Ask newcomers who they are; forget those who left."""
        connected = dict(self.client_manager().all())
        self._known = {cid: one for cid, one in self._known.items() if cid in connected}
        fresh = {cid: proxy for cid, proxy in connected.items() if cid not in self._known}
        if not fresh:
            return
        with ThreadPoolExecutor(max_workers=len(fresh)) as pool:
            for cid, hospital in zip(fresh, pool.map(self._meet, fresh.values()), strict=True):
                if hospital is not None:
                    self._known[cid] = hospital

    def _meet(self, proxy: ClientProxy) -> Hospital | None:
        """Who is behind a connection; None for nobody who may take part, who is then sent away."""
        nonce = secrets.token_bytes(16)
        order = Order(task="hello", run="", round=0, nonce=nonce, settings=self._settings)
        try:
            answer = proxy.get_properties(GetPropertiesIns(order.to_config()), HELLO_TIMEOUT_S, 0)
            key, signature = answer.properties.get("key"), answer.properties.get("signature")
            if answer.status.code is Code.OK and isinstance(key, bytes) and isinstance(signature, bytes):
                signed = statement("hello", run="", round_number=0, nonce=nonce)
                if (self._allowed is None or key in self._allowed) and is_signed(key, signature, signed):
                    name = (self._allowed or {}).get(key, fingerprint(key))
                    self._notice(f"hospital {name} is here")
                    return Hospital(proxy, key, name)
            self._notice("a program that may not take part was sent away")
            proxy.reconnect(ReconnectIns(seconds=None), HELLO_TIMEOUT_S, None)
        except Exception as error:  # whatever a stranger's connection may raise
            self._notice(f"a connection was lost while greeting it ({type(error).__name__})")
        self.client_manager().unregister(proxy)
        return None

    def _orders(
        self, state: FederationState, hospitals: list[Hospital], entry: dict[str, Any]
    ) -> dict[Hospital, Order]:
        """What each hospital is asked; under secure aggregation after the exchange of keys."""
        plain = {one: self._order("update", state) for one in hospitals}
        if not self._settings.secure_aggregation:
            return plain
        members = {}
        with ThreadPoolExecutor(max_workers=len(hospitals)) as pool:
            asked = {one: pool.submit(self._round_key, one, self._order("keys", state)) for one in hospitals}
        for one, future in asked.items():
            try:
                members[one] = future.result()
            except Exception as error:
                entry.setdefault("without_key", {})[one.name] = type(error).__name__
                self._forget(one)
        listed = tuple(members[one] for one in sorted(members, key=lambda one: one.key))
        return {one: replace(plain[one], members=listed) for one in members}

    def _round_key(self, hospital: Hospital, order: Order) -> Member:
        answer = hospital.proxy.get_properties(GetPropertiesIns(order.to_config()), HELLO_TIMEOUT_S, 0)
        given = answer.properties
        public, signature, count = given.get("round_key"), given.get("round_signature"), given.get("count")
        whole = given.get("signature")
        if not (isinstance(public, bytes) and isinstance(signature, bytes) and isinstance(whole, bytes)):
            raise UpdateRefusedError("a hospital sent no key of the round", reason="no-key")
        if not isinstance(count, int) or count < 0:
            raise UpdateRefusedError("a hospital sent no count", reason="no-count")
        self._check_signature(hospital, order, whole, [public, b"%d" % count])
        return Member(key=hospital.key, round_key=public, count=count, signature=signature)

    def _ask(self, state: FederationState, orders: Mapping[Hospital, Order]) -> Answers:
        """Send the model to all at once and judge what comes back."""
        parameters = Parameters(tensors=wire.pack(state.weights), tensor_type=wire.TENSOR_TYPE)
        futures: dict[Hospital, Future[FitRes]] = {}
        with ThreadPoolExecutor(max_workers=max(1, len(orders))) as pool:
            for one, order in orders.items():
                ins = FitIns(parameters, order.to_config())
                futures[one] = pool.submit(one.proxy.fit, ins, self._settings.round_timeout_s, state.attempts)
        contributions: list[Contribution] = []
        losses: dict[str, float] = {}
        refused: dict[str, str] = {}
        missing: list[str] = []
        for one, future in futures.items():
            try:
                answer = future.result()
            except Exception:  # Flower's bridge raises whatever broke the stream
                missing.append(one.name)
                self._forget(one)
                continue
            try:
                contributions.append(self._judge(one, orders[one], answer))
                loss = answer.metrics.get("loss")
                if isinstance(loss, float) and 0 <= loss < LARGEST_LOSS:
                    losses[one.name] = loss
            except UpdateRefusedError as error:
                refused[one.name] = error.reason
            except WireError:
                refused[one.name] = "wire"
        return Answers(contributions=tuple(contributions), losses=losses, refused=refused, missing=tuple(missing))

    def _judge(self, hospital: Hospital, order: Order, answer: FitRes) -> Contribution:
        """A good answer as a contribution.

        Raises:
            UpdateRefusedError: it is not good.
            WireError: its bytes are not tensors.
        """
        if answer.status.code is not Code.OK:
            # The word is a stranger's: it is kept short and to letters.
            word = "".join(c for c in answer.status.message[:64] if c.isalnum() or c in "._-")
            raise UpdateRefusedError("the hospital has no update", reason=f"declined:{word}")
        signature = answer.metrics.get("signature")
        if not isinstance(signature, bytes):
            raise UpdateRefusedError("an update is not signed", reason="signature")
        blocks = answer.parameters.tensors
        self._check_signature(hospital, order, signature, [b"%d" % answer.num_examples, *blocks])
        if answer.num_examples < 1:
            raise UpdateRefusedError("an update was learnt from no example", reason="no-examples")
        update = wire.unpack(blocks)
        if not self._settings.secure_aggregation:
            self._rules.check(update)
        return Contribution(hospital=hospital.name, update=update, examples=answer.num_examples)

    @staticmethod
    def _check_signature(hospital: Hospital, order: Order, signature: bytes, parts: list[bytes]) -> None:
        signed = statement(order.task, run=order.run, round_number=order.round, nonce=order.nonce, parts=parts)
        if not is_signed(hospital.key, signature, signed):
            raise UpdateRefusedError("an update is not signed by the hospital it came from", reason="signature")

    def _hand_out(self, state: FederationState) -> None:
        """Give the final model to everybody who is there."""
        self._greet()
        parameters = Parameters(tensors=wire.pack(state.weights), tensor_type=wire.TENSOR_TYPE)
        order = self._order("final", state)
        with ThreadPoolExecutor(max_workers=max(1, len(self._known))) as pool:
            for one in self._known.values():
                pool.submit(one.proxy.evaluate, EvaluateIns(parameters, order.to_config()), HELLO_TIMEOUT_S, 0)

    def _order(self, task: str, state: FederationState) -> Order:
        return Order(
            task=task,
            run=state.run,
            round=state.attempts,
            nonce=secrets.token_bytes(16),
            settings=self._settings,
        )

    def _forget(self, hospital: Hospital) -> None:
        self._known = {cid: one for cid, one in self._known.items() if one is not hospital}
        self.client_manager().unregister(hospital.proxy)
