"""A hospital's side: it trains, protects, lists and sends.

The client sends nothing but the messages that `wire` describes, each written to ``sent.jsonl`` before it leaves. It
counts its examples itself, refuses rounds with less protection than it insists on, and tells the server in one word,
never with an error's text, why it has no update.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flwr.client import Client
from flwr.common import (
    Code,
    EvaluateIns,
    EvaluateRes,
    FitIns,
    FitRes,
    GetPropertiesIns,
    GetPropertiesRes,
    Parameters,
    Status,
    serde,
)
from flwr.proto.transport_pb2 import ClientMessage, Reason

from cds.errors import CdsError
from cds.learning.federated import wire
from cds.learning.federated.errors import ProtectionError
from cds.learning.federated.identity import Identity, is_signed, statement
from cds.learning.federated.learners.base import Learner
from cds.learning.federated.masking import RoundKey, make_round_key, mask
from cds.learning.federated.orders import Order, mask_statement, member_shares, round_statement
from cds.learning.federated.privacy import Accountant
from cds.learning.federated.settings import FederationSettings
from cds.learning.federated.wire import Item, Kind, SentLog, SentMessage, Tensors

Notice = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class HospitalPolicy:
    """What this hospital insists on, whatever the server asks."""

    require_masking: bool = False
    least_noise: float | None = None
    """Least noise multiplier; None asks for no noise."""
    most_epsilon: float | None = None
    """Spent in all, at `delta`; needs `least_noise`."""
    delta: float = 1e-5
    """At which this hospital counts epsilon, 0..1, whatever the server's; well below one over its patients."""
    least_members: int = 3
    """Fewest hospitals with examples among which an update may be masked."""
    most_own_share: float = 0.8
    """Largest weight of this hospital in a masked sum, 0..1: with more, the sum is nearly its plain update."""
    peers: Mapping[bytes, str] = field(default_factory=dict)
    """Allowed keys of the others under masking; where they are empty, the server may have made the others up."""

    def __post_init__(self) -> None:
        """Refuse a policy that would protect nothing.

        Raises:
            ProtectionError: masking is required without `peers`, epsilon limited without noise, or delta out of range.
        """
        if self.require_masking and not self.peers:
            raise ProtectionError(
                "masking among hospitals that the server may have made up protects nothing",
                remedy="Name the other hospitals with --peers.",
            )
        if self.most_epsilon is not None and self.least_noise is None:
            raise ProtectionError("without noise epsilon has no bound", remedy="Give --least-noise too.")
        if not 0 < self.delta < 1:
            raise ProtectionError("delta must be between 0 and 1", remedy="Take 1e-5, say.")


class HospitalClient(Client):
    """Answers the server's requests."""

    def __init__(
        self,
        *,
        identity: Identity,
        make_learner: Callable[[FederationSettings], Learner],
        out: Path,
        policy: HospitalPolicy | None = None,
        notice: Notice = lambda _: None,
    ) -> None:
        """Prepare; data are read at the server's first request (``hello``), and again where its settings change.

        Args:
            identity: this hospital's key.
            make_learner: reads the data for the server's settings.
            out: folder for ``sent.jsonl``, ``privacy.json`` and the final model.
            policy: what this hospital insists on.
            notice: receives one line per event, without patient data.
        """
        super().__init__()
        self._identity, self._make_learner, self._out = identity, make_learner, out
        self._policy = policy or HospitalPolicy()
        self._notice = notice
        self._log = SentLog(out / "sent.jsonl")
        self._accountant = Accountant(out / "privacy.json", limit=self._policy.most_epsilon)
        self._learner: tuple[FederationSettings, Learner] | None = None
        self._round_keys: dict[tuple[str, int], RoundKey] = {}
        self._masked: set[tuple[str, int]] = set()
        self.finished = False
        """Whether the final model has arrived."""

    def get_properties(self, ins: GetPropertiesIns) -> GetPropertiesRes:
        """Answer ``hello`` and ``keys``."""
        try:
            order = Order.from_config(ins.config)
            learner = self._learner_for(order)
            parts: list[bytes] = []
            properties: dict[str, Any] = {"key": self._identity.public}
            items = [Item(kind=Kind.KEY, name="key", bytes=len(self._identity.public))]
            if order.task == "keys":
                self._check_protection(order)
                # One key a round, whatever is asked: an update is never masked twice in different company.
                round_key = self._round_keys.setdefault((order.run, order.round), make_round_key())
                properties["round_key"] = round_key.public
                signed = round_statement(order, round_key.public, learner.examples)
                properties["round_signature"] = self._identity.sign(signed)
                properties["count"] = learner.examples
                parts += [round_key.public, b"%d" % learner.examples]
                items += [
                    Item(kind=Kind.KEY, name="round_key", bytes=len(round_key.public)),
                    Item(kind=Kind.SIGNATURE, name="round_signature", bytes=64),
                    # Flower's map of properties holds signed integers in zigzag form, twice the number.
                    Item(kind=Kind.COUNT, name="count", bytes=_varint(2 * learner.examples)),
                ]
            properties["signature"] = self._sign(order, parts)
            items.append(Item(kind=Kind.SIGNATURE, name="signature", bytes=64))
            answer = GetPropertiesRes(status=Status(Code.OK, ""), properties=properties)
            message = ClientMessage(get_properties_res=serde.get_properties_res_to_proto(answer))
            self._record(order.round, order.task, items, message)
            return answer
        except Exception as error:
            reason = self._reason(error)
            answer = GetPropertiesRes(status=Status(Code.GET_PROPERTIES_NOT_IMPLEMENTED, reason), properties={})
            message = ClientMessage(get_properties_res=serde.get_properties_res_to_proto(answer))
            self._record(0, "hello", [_status(reason)], message)
            return answer

    def fit(self, ins: FitIns) -> FitRes:
        """Answer ``update``."""
        number = 0
        try:
            order = Order.from_config(ins.config)
            number = order.round
            self._check_protection(order)
            learner = self._learner_for(order)
            weights = wire.unpack(ins.parameters.tensors)
            learner.check(weights)
            update, kind = self._protected_update(learner, weights, order, ins.parameters.tensors)
            blocks = wire.pack(update)
            metrics: dict[str, Any] = {"key": self._identity.public}
            items = [
                *wire.items_of(update, blocks, kind),
                Item(kind=Kind.COUNT, name="count", bytes=_varint(learner.examples)),
                Item(kind=Kind.KEY, name="key", bytes=len(self._identity.public)),
            ]
            if order.settings.noise is None and not order.settings.secure_aggregation:
                metrics["loss"] = learner.loss(weights)
                items.append(Item(kind=Kind.METRIC, name="loss", bytes=8))
            metrics["signature"] = self._sign(order, [b"%d" % learner.examples, *blocks])
            items.append(Item(kind=Kind.SIGNATURE, name="signature", bytes=64))
            answer = FitRes(
                status=Status(Code.OK, ""),
                parameters=Parameters(tensors=blocks, tensor_type=wire.TENSOR_TYPE),
                num_examples=learner.examples,
                metrics=metrics,
            )
            self._record(number, "update", items, ClientMessage(fit_res=serde.fit_res_to_proto(answer)))
            self._notice(f"round {number}: sent an update from {learner.examples} examples")
            return answer
        except Exception as error:
            reason = self._reason(error)
            answer = FitRes(
                status=Status(Code.FIT_NOT_IMPLEMENTED, reason),
                parameters=Parameters(tensors=[], tensor_type=wire.TENSOR_TYPE),
                num_examples=0,
                metrics={},
            )
            message = ClientMessage(fit_res=serde.fit_res_to_proto(answer))
            self._record(number, "update", [_status(reason)], message)
            return answer

    def evaluate(self, ins: EvaluateIns) -> EvaluateRes:
        """Answer ``final``: keep the common model; nothing of the data is measured or sent."""
        status, items, number = Status(Code.OK, ""), [], 0
        try:
            order = Order.from_config(ins.config)
            number = order.round
            learner = self._learner_for(order)
            weights = wire.unpack(ins.parameters.tensors)
            learner.check(weights)
            self._out.mkdir(parents=True, exist_ok=True)
            learner.keep(weights, self._out)
            self.finished = True
            self._notice("the final model has arrived")
        except Exception as error:
            status = Status(Code.EVALUATE_NOT_IMPLEMENTED, self._reason(error))
            items.append(_status(status.message))
        answer = EvaluateRes(status=status, loss=0.0, num_examples=0, metrics={})
        self._record(number, "final", items, ClientMessage(evaluate_res=serde.evaluate_res_to_proto(answer)))
        # Flower answers the server's goodbye by itself, so it is listed here, before it is sent.
        goodbye = ClientMessage(disconnect_res=ClientMessage.DisconnectRes(reason=Reason.ACK))
        self._record(number, "goodbye", [], goodbye)
        return answer

    def _protected_update(
        self, learner: Learner, weights: Tensors, order: Order, arrived: Sequence[bytes]
    ) -> tuple[Tensors, Kind]:
        """Train, with what noise and masks the order asks for; what noise spends is written down first.

        `arrived` is the common model's bytes, which the masks are bound to.
        """
        if order.settings.noise is not None:
            delta = self._policy.delta  # never the server's: epsilon at a large delta is nothing
            spent = self._accountant.spend(learner.noise_steps(order), delta)
            self._notice(f"round {order.round}: epsilon {spent:.3f} at delta {delta:g} for each {learner.noise_unit}")
        if not order.settings.secure_aggregation:
            return learner.learn(weights, order), learner.kind
        others, key = self._members(order)
        share = self._own_share(order, learner)
        place = (order.run, order.round)
        if place in self._masked:
            raise ProtectionError("an update is not masked twice", remedy="Let the server begin another round.")
        self._masked.add(place)
        update = learner.learn(weights, order)
        info = mask_statement(order, arrived)
        return mask(update, share=share, key=key, others=others, own=self._identity.public, info=info), Kind.MASKED

    def _own_share(self, order: Order, learner: Learner) -> float:
        """This hospital's weight, from the counts that the members signed; the server has no say in it."""
        share = member_shares(order)[self._identity.public]
        own = next(one.count for one in order.members if one.key == self._identity.public)
        if own != learner.examples or share > self._policy.most_own_share:
            raise ProtectionError(
                "the sum would be nearly this hospital's own update, or its count is not the one it signed",
                remedy="Lower most_share at the server, or wait for hospitals with more examples.",
            )
        return share

    def _members(self, order: Order) -> tuple[dict[bytes, bytes], RoundKey]:
        """The other members' keys of the round, each signed by its owner, and the own one."""
        key = self._round_keys.get((order.run, order.round))
        keys = {one.key: one.round_key for one in order.members}
        if key is None or keys.get(self._identity.public) != key.public:
            raise ProtectionError("this hospital is not a member of the round", remedy="Start the round anew.")
        learning = sum(one.count > 0 for one in order.members)
        if learning < max(3, self._policy.least_members) or len(keys) != len(order.members):
            raise ProtectionError("too few hospitals to mask an update among", remedy="Wait for more hospitals.")
        for one in order.members:
            known = one.key == self._identity.public or not self._policy.peers or one.key in self._policy.peers
            if not known or not is_signed(one.key, one.signature, round_statement(order, one.round_key, one.count)):
                raise ProtectionError(
                    "a member's key and count are not signed by an allowed hospital for these settings",
                    remedy="See --peers.",
                )
        return {one: public for one, public in keys.items() if one != self._identity.public}, key

    def _check_protection(self, order: Order) -> None:
        """Refuse a round that protects less than this hospital insists on."""
        policy, noise = self._policy, order.settings.noise
        if policy.require_masking and not order.settings.secure_aggregation:
            raise ProtectionError("the round has no secure aggregation", remedy="Set secure_aggregation at the server.")
        if policy.least_noise is not None and not (noise and noise.noise_multiplier >= policy.least_noise):
            raise ProtectionError("the round has too little noise", remedy="Raise noise_multiplier at the server.")

    def _learner_for(self, order: Order) -> Learner:
        if self._learner is None or self._learner[0] != order.settings:
            self._learner = (order.settings, self._make_learner(order.settings))
        return self._learner[1]

    def _sign(self, order: Order, parts: list[bytes]) -> bytes:
        return self._identity.sign(
            statement(order.task, run=order.run, round_number=order.round, nonce=order.nonce, parts=parts)
        )

    def _record(self, number: int, name: str, items: list[Item], message: Any) -> None:
        self._log.write(SentMessage(round=number, message=name, items=tuple(items), message_bytes=message.ByteSize()))

    def _reason(self, error: Exception) -> str:
        """One word for the server; the sentence stays here. An error of unknown kind is only named by its kind."""
        reason = error.code if isinstance(error, CdsError) else getattr(type(error), "code", "cds.federation.internal")
        sentence = str(error) if isinstance(error, CdsError) else type(error).__name__
        self._notice(f"no answer to the server's request: {sentence} [{reason}]")
        return str(reason)


def _status(reason: str) -> Item:
    return Item(kind=Kind.STATUS, name="status", bytes=len(reason.encode()))


def _varint(number: int) -> int:
    """Bytes that protobuf needs for a non-negative integer (7 bits a byte), none for zero."""
    return -(-number.bit_length() // 7)
