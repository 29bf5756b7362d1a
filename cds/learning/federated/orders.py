"""What the server asks of a hospital: one JSON text beside the weights."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cds.learning.federated.aggregation import bounded_shares
from cds.learning.federated.errors import WireError
from cds.learning.federated.identity import statement
from cds.learning.federated.settings import FederationSettings

ORDER_KEY = "order"
"""Name of the text in Flower's configuration."""

LONGEST_ORDER = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One hospital of a round with secure aggregation."""

    key: bytes
    """Long-lived public key."""
    round_key: bytes
    """Public key of the round."""
    count: int
    """Examples, as the hospital counted them."""
    signature: bytes
    """Of the long-lived key over the round's key, the count and the settings: see `round_statement`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One request."""

    task: str
    """hello, keys, update or final."""
    run: str
    """Name of the federation."""
    round: int
    nonce: bytes
    """Fresh for every request; the answer's signature covers it."""
    settings: FederationSettings
    members: tuple[Member, ...] = field(default=())
    """Under secure aggregation only."""

    def to_config(self) -> dict[str, Any]:
        """Flower's configuration."""
        text = json.dumps(
            {
                "task": self.task,
                "run": self.run,
                "round": self.round,
                "nonce": self.nonce.hex(),
                "settings": self.settings.to_json(),
                "members": [
                    [one.key.hex(), one.round_key.hex(), one.count, one.signature.hex()] for one in self.members
                ],
            }
        )
        return {ORDER_KEY: text}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Order":
        """Inverse of `to_config`.

        Raises:
            WireError: it is no order.
            SettingsRefusedError: its settings contradict themselves.
        """
        text = config.get(ORDER_KEY)
        try:
            if not isinstance(text, str) or len(text) > LONGEST_ORDER:
                raise ValueError
            content = json.loads(text)
            return cls(
                task=str(content["task"]),
                run=str(content["run"]),
                round=int(content["round"]),
                nonce=bytes.fromhex(content["nonce"]),
                settings=FederationSettings.from_json(content["settings"]),
                members=tuple(
                    Member(key=bytes.fromhex(a), round_key=bytes.fromhex(b), count=int(c), signature=bytes.fromhex(d))
                    for a, b, c, d in content["members"]
                ),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise WireError(
                "the server's request cannot be read", remedy="Run the same version of the program everywhere."
            ) from error


def round_statement(order: Order, round_key: bytes, count: int) -> bytes:
    """What a hospital signs when it joins a masked round: its key and count, and the settings it was asked under."""
    parts = [round_key, b"%d" % count, _settings_bytes(order)]
    return statement("round-key", run=order.run, round_number=order.round, nonce=b"", parts=parts)


def mask_statement(order: Order, weights: Iterable[bytes]) -> bytes:
    """What the masks of a round are bound to: the settings, every member's key and count, and the common model.

    Hospitals that were told different things derive masks that do not cancel. Without this a server could give all
    but one hospital a model or settings under which their updates vanish, and read the one's update off the sum
    (Pasquini, Francati and Ateniese, CCS 2022).

    Args:
        order: with its members.
        weights: the common model as it arrived.
    """
    members = [part for one in order.members for part in (one.key, one.round_key, b"%d" % one.count)]
    parts = [_settings_bytes(order), b"%d" % len(order.members), *members, *weights]
    return statement("mask", run=order.run, round_number=order.round, nonce=b"", parts=parts)


def member_shares(order: Order) -> dict[bytes, float]:
    """Weight of each member in the masked sum, by key; everybody computes them from the same signed counts."""
    shares = bounded_shares(
        {one.key.hex(): one.count for one in order.members},
        most_examples=order.settings.most_examples,
        most_share=order.settings.most_share,
    )
    return {one.key: shares[one.key.hex()] for one in order.members}


def _settings_bytes(order: Order) -> bytes:
    return json.dumps(order.settings.to_json(), sort_keys=True).encode()
