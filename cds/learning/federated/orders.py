"""What the server asks of a hospital: one JSON text beside the weights."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cds.learning.federated.errors import WireError
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
    signature: bytes
    """Of the long-lived key over the round's key."""


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
    share: float = 1.0
    """Weight of this hospital; used under secure aggregation only."""
    members: tuple[Member, ...] = field(default=())

    def to_config(self) -> dict[str, Any]:
        """Flower's configuration."""
        text = json.dumps(
            {
                "task": self.task,
                "run": self.run,
                "round": self.round,
                "nonce": self.nonce.hex(),
                "settings": self.settings.to_json(),
                "share": self.share,
                "members": [[one.key.hex(), one.round_key.hex(), one.signature.hex()] for one in self.members],
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
                share=float(content["share"]),
                members=tuple(
                    Member(key=bytes.fromhex(a), round_key=bytes.fromhex(b), signature=bytes.fromhex(c))
                    for a, b, c in content["members"]
                ),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise WireError(
                "the server's request cannot be read", remedy="Run the same version of the program everywhere."
            ) from error
