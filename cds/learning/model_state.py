"""``state.json`` of the model store: which model is in use, which was before, and who decided."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

SCHEMA: Final = "fracture-cds.models/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of the history."""

    action: str
    """``adopt``, ``promote``, ``refuse``, ``rollback``, ``shadow_start`` or ``shadow_stop``."""
    kind: str
    model_id: str | None
    """The model that the action is about; None for the shipped one."""
    when: str
    """ISO 8601, UTC."""
    by: str
    """Who decided, as given."""
    why: str
    report: str | None = None
    """File of the change report."""
    before: str | None = None
    """The model in use before; None for the shipped one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KindState:
    """One kind of model."""

    line: tuple[str | None, ...] = (None,)
    """The models in use one after the other, the last one now; None is the shipped model. A roll-back takes the last
    one off."""
    shadow: str | None = None
    """The model that runs silently beside the current one."""
    shadow_since: str | None = None
    """ISO 8601, UTC."""

    @property
    def current(self) -> str | None:
        """The model in use; None is the shipped one."""
        return self.line[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptModel:
    """A model folder in the store."""

    files: Mapping[str, str]
    """Path inside the folder to SHA-256."""
    adopted: str
    """ISO 8601, UTC."""
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Everything that ``state.json`` holds."""

    generation: int = 0
    """Goes up by one with every change."""
    kinds: Mapping[str, KindState] = field(default_factory=dict)
    models: Mapping[str, Mapping[str, KeptModel]] = field(default_factory=dict)
    """Kind to model id to what is kept."""
    looks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """SHA-256 of a locked set to the ids of the candidates that it has decided on, each once."""
    history: tuple[Event, ...] = ()

    def of(self, kind: str) -> KindState:
        """One kind; the shipped model where nothing was decided yet."""
        return self.kinds.get(kind, KindState())

    def with_kind(self, kind: str, state: KindState) -> "State":
        """The same with one kind changed."""
        return replace(self, kinds={**self.kinds, kind: state})

    def with_event(self, event: Event) -> "State":
        """The same with one line more."""
        return replace(self, history=(*self.history, event))


def to_json(state: State) -> bytes:
    """The file's content."""
    return (json.dumps({"schema": SCHEMA, **asdict(state)}, indent=1, sort_keys=True) + "\n").encode()


def from_json(content: bytes) -> State:
    """The state of a file.

    Raises:
        ValueError: the content is no such file.
    """
    try:
        document: dict[str, Any] = json.loads(content)
        if document["schema"] != SCHEMA:
            raise ValueError("another schema")
        kinds = {
            name: KindState(line=tuple(one["line"]), shadow=one["shadow"], shadow_since=one["shadow_since"])
            for name, one in document["kinds"].items()
        }
        if not all(one.line for one in kinds.values()):
            raise ValueError("a kind without a model")
        return State(
            generation=int(document["generation"]),
            kinds=kinds,
            models={
                kind: {model: KeptModel(**entry) for model, entry in kept.items()}
                for kind, kept in document["models"].items()
            },
            looks={digest: tuple(map(str, ids)) for digest, ids in document["looks"].items()},
            history=tuple(Event(**one) for one in document["history"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{type(error).__name__} in the state") from None
