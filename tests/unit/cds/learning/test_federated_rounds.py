"""Rounds without a network: the server's and the hospitals' own code, with the channel between them left out."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cds.learning.federated.transport import quiet_flower

quiet_flower()

from flwr.common import GetPropertiesIns  # noqa: E402

from cds.learning.federated.aggregation import bounded_shares  # noqa: E402
from cds.learning.federated.client import HospitalClient, HospitalPolicy  # noqa: E402
from cds.learning.federated.errors import ProtectionError, TooFewHospitalsError  # noqa: E402
from cds.learning.federated.identity import Identity, load_identity  # noqa: E402
from cds.learning.federated.learners.base import Learner  # noqa: E402
from cds.learning.federated.learners.choose import make_rules  # noqa: E402
from cds.learning.federated.learners.linear import LinearLearner, predict  # noqa: E402
from cds.learning.federated.learners.rows import Outcome, Rows, rows_of  # noqa: E402
from cds.learning.federated.learners.trees import TreeLearner  # noqa: E402
from cds.learning.federated.orders import Order  # noqa: E402
from cds.learning.federated.privacy import Steps, epsilon_of  # noqa: E402
from cds.learning.federated.server import RoundServer  # noqa: E402
from cds.learning.federated.settings import (  # noqa: E402
    Aggregation,
    FederationSettings,
    ModelKind,
    NoiseSettings,
    Strategy,
)
from cds.learning.federated.state import StateDamagedError  # noqa: E402
from cds.learning.federated.wire import Tensors, pack, read_sent, unpack  # noqa: E402
from tabular.cohort import build_cohort  # noqa: E402
from tests.support.federation import BadLearner, DirectProxy, scaled_update, survey_table  # noqa: E402

SETTINGS = FederationSettings(
    kind=ModelKind.RISK_LINEAR, rounds=3, min_hospitals=3, wait_s=0.0, learning={"steps": 5, "rate": 1.0}
)


@pytest.fixture(scope="module")
def tables() -> list[Rows]:
    return [rows_of(build_cohort(survey_table(300, seed, bmi_offset=seed)), Outcome.FRACTURE) for seed in range(5)]


class Town:
    """Hospitals and how to run a federation of them."""

    def __init__(self, folder: Path, tables: list[Rows]) -> None:
        self.folder, self.tables = folder, tables
        self.identities = [load_identity(folder / f"key{index}") for index in range(len(tables))]
        self.changes: dict[int, Callable[[Tensors], Tensors]] = {}
        self.answers: dict[int, Callable[[Any], Any]] = {}
        self.policies: dict[int, HospitalPolicy] = {}

    def allowed(self, count: int) -> dict[bytes, str]:
        return {one.public: f"hospital {index}" for index, one in enumerate(self.identities[:count])}

    def client(self, index: int) -> HospitalClient:
        def make(settings: FederationSettings) -> Learner:
            rows = self.tables[index]
            learner: Learner = (
                TreeLearner(rows, Outcome.FRACTURE, settings.learning)
                if settings.kind is ModelKind.RISK
                else LinearLearner(rows, Outcome.FRACTURE)
            )
            return BadLearner(learner, self.changes[index]) if index in self.changes else learner

        return HospitalClient(
            identity=self.identities[index],
            make_learner=make,
            out=self.folder / f"hospital{index}",
            policy=self.policies.get(index),
        )

    def run(
        self, settings: FederationSettings, *, hospitals: int = 3, allowed: dict[bytes, str] | None = None
    ) -> tuple[RoundServer, dict[str, Any]]:
        out = self.folder / "server"
        server = RoundServer(
            settings=settings,
            rules=make_rules(settings),
            out=out,
            allowed=self.allowed(hospitals) if allowed is None else allowed,
        )
        for index in range(hospitals):
            change = self.answers.get(index)
            server.client_manager().register(DirectProxy(f"c{index}", self.client(index), change=change))
        server.fit(1, None)
        return server, json.loads((out / "state.json").read_text())

    def weights(self) -> Tensors:
        state = json.loads((self.folder / "server" / "state.json").read_text())
        with np.load(self.folder / "server" / state["weights"]) as archive:
            return {name: archive[name] for name in archive.files}

    def loss(self) -> float:
        return LinearLearner(self.tables[4], Outcome.FRACTURE).loss(self.weights())


@pytest.fixture
def town(tmp_path: Path, tables: list[Rows]) -> Iterator[Town]:
    yield Town(tmp_path, tables)


def test_three_hospitals_learn_together(town: Town) -> None:
    server, state = town.run(SETTINGS)
    assert server.failure is None
    assert state["round"] == state["attempts"] == 3
    assert town.loss() < 0.6  # 0.693 at the start
    for entry in state["history"]:
        assert entry["contributed"] == {f"hospital {index}": town.tables[index].events.size for index in range(3)}
        assert not entry["refused"] and not entry["missing"] and not entry["lost"]
        assert set(entry["losses"]) == set(entry["contributed"])
    assert (town.folder / "server" / "risk-linear.npz").is_file()
    assert (town.folder / "hospital0" / "risk-linear.npz").is_file()


def test_trees_are_bagged(town: Town) -> None:
    trees = replace(SETTINGS, kind=ModelKind.RISK, learning={"trees": 2, "rate": 0.3})
    server, state = town.run(trees)
    assert server.failure is None
    assert state["history"][-1]["trees"] == 3 * 3 * 2
    learner = TreeLearner(town.tables[4], Outcome.FRACTURE, trees.learning)
    assert learner.loss(town.weights()) < 0.62


def test_fedprox_keeps_nearer_to_the_common_model(town: Town, tmp_path: Path, tables: list[Rows]) -> None:
    _, free = town.run(replace(SETTINGS, rounds=1))
    other = Town(tmp_path / "prox", tables)
    _, held = other.run(replace(SETTINGS, rounds=1, strategy=Strategy.FEDPROX, proximal_mu=1.0))
    assert sum(held["history"][0]["norms"].values()) < sum(free["history"][0]["norms"].values())


def test_a_hospital_that_drops_out_is_missed_and_may_come_back(town: Town) -> None:
    calls = iter([None, RuntimeError("gone"), None])

    def drop_out(answer: Any) -> Any:
        failure = next(calls)
        if failure is not None:
            raise failure
        return answer

    town.answers[3] = drop_out
    server, state = town.run(replace(SETTINGS, rounds=2), hospitals=4)
    assert server.failure is None
    assert [entry["missing"] for entry in state["history"]] == [[], ["hospital 3"]]


def test_too_few_answers_lose_the_round_and_leave_the_model(town: Town) -> None:
    def gone(answer: Any) -> Any:
        raise TimeoutError

    town.answers[2] = gone
    server, state = town.run(SETTINGS)
    assert isinstance(server.failure, TooFewHospitalsError)
    assert state["round"] == 0 and state["attempts"] == 1
    assert state["history"][0]["lost"]
    assert not any(array.any() for array in town.weights().values())


def test_a_restarted_server_goes_on(town: Town) -> None:
    town.run(replace(SETTINGS, rounds=2))
    before = town.weights()
    server, state = town.run(replace(SETTINGS, rounds=3))
    assert server.failure is None
    assert [entry["round"] for entry in state["history"]] == [1, 2, 3]
    assert any((town.weights()[name] != before[name]).any() for name in before)
    assert sorted(path.name for path in (town.folder / "server").glob("round-*")) == [
        "round-0002.npz",
        "round-0003.npz",
    ]


def test_other_settings_or_damaged_weights_do_not_go_on(town: Town) -> None:
    town.run(replace(SETTINGS, rounds=1))
    server, _ = town.run(replace(SETTINGS, rounds=2, most_share=0.4))
    assert isinstance(server.failure, StateDamagedError)
    path = town.folder / "server" / "round-0001.npz"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    server, _ = town.run(replace(SETTINGS, rounds=2))
    assert isinstance(server.failure, StateDamagedError)


def test_updates_that_are_not_finite_never_enter_the_model(town: Town) -> None:
    town.changes[3] = scaled_update(float("nan"))
    server, state = town.run(SETTINGS, hospitals=4)
    assert server.failure is None
    assert all(entry["refused"] == {"hospital 3": "not-finite"} for entry in state["history"])
    assert all(np.isfinite(array).all() for array in town.weights().values())


@pytest.mark.parametrize(
    "defence",
    [
        {"aggregation": Aggregation.MEDIAN},
        {"aggregation": Aggregation.TRIMMED_MEAN, "trim": 0.25},
        {"aggregation": Aggregation.KRUM, "min_hospitals": 5},
        {"clip_norm": 1.0},
    ],
)
def test_a_malicious_hospital_is_survived(town: Town, tmp_path: Path, tables: list[Rows], defence: Any) -> None:
    town.changes[0] = scaled_update(-50.0)
    undefended, _ = town.run(SETTINGS, hospitals=5)
    poisoned = town.loss()
    other = Town(tmp_path / "defended", tables)
    other.changes[0] = scaled_update(-50.0)
    defended, _ = other.run(replace(SETTINGS, **defence), hospitals=5)
    assert undefended.failure is None and defended.failure is None
    assert poisoned > 1.0
    assert other.loss() < 0.66


def test_who_is_not_on_the_list_is_sent_away(town: Town) -> None:
    server, state = town.run(SETTINGS, hospitals=4, allowed=town.allowed(3))
    assert server.failure is None
    assert all("hospital 3" not in entry["asked"] and len(entry["asked"]) == 3 for entry in state["history"])


@pytest.mark.parametrize("field", ["tensor", "count", "signature", "replay"])
def test_what_was_altered_on_the_way_is_refused(town: Town, field: str) -> None:
    kept: list[Any] = []

    def alter(answer: Any) -> Any:
        kept.append(answer)
        if field == "tensor":
            answer.parameters.tensors[1] = bytes(len(answer.parameters.tensors[1]))
        elif field == "count":
            answer.num_examples *= 100
        elif field == "signature":
            answer.metrics["signature"] = bytes(64)
        return kept[0] if field == "replay" else answer

    town.answers[3] = alter
    server, state = town.run(SETTINGS, hospitals=4)
    assert server.failure is None
    assert state["history"][-1]["refused"] == {"hospital 3": "signature"}


def test_secure_aggregation_gives_the_plain_mean(town: Town, tmp_path: Path, tables: list[Rows]) -> None:
    town.run(SETTINGS)
    other = Town(tmp_path / "masked", tables)
    server, state = other.run(replace(SETTINGS, secure_aggregation=True))
    assert server.failure is None
    for name, array in town.weights().items():
        assert np.abs(array - other.weights()[name]).max() < 1e-4
    assert "norms" not in state["history"][0]
    sent = [item for one in read_sent(other.folder / "hospital0" / "sent.jsonl") for item in one.items]
    assert {item.kind.value for item in sent} == {"header", "masked", "count", "key", "signature"}


def test_under_masks_a_drop_out_loses_the_round_and_the_next_one_counts(town: Town) -> None:
    failures = iter([TimeoutError(), None, None, None])

    def late(answer: Any) -> Any:
        failure = next(failures)
        if failure is not None:
            raise failure
        return answer

    town.answers[3] = late
    server, state = town.run(replace(SETTINGS, rounds=2, secure_aggregation=True), hospitals=4)
    assert server.failure is None
    assert [entry["lost"] for entry in state["history"]] == [True, False, False]
    assert state["attempts"] == 3
    assert town.loss() < 0.65


def test_a_hospital_masks_no_update_twice(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that asks again in other company, to take one sum from the other, gets nothing."""
    second = []
    fit = HospitalClient.fit

    def asked_twice(client: HospitalClient, ins: Any) -> Any:
        answer = fit(client, ins)
        second.append(fit(client, ins).status.message)
        return answer

    monkeypatch.setattr(HospitalClient, "fit", asked_twice)
    server, _ = town.run(replace(SETTINGS, rounds=1, secure_aggregation=True))
    assert server.failure is None
    assert second == ["cds.federation.protection"] * 3


@pytest.mark.parametrize("server_delta", [1e-5, 0.99])
def test_noise_is_counted_and_the_budget_holds(town: Town, server_delta: float) -> None:
    """At the hospital's own delta: at 0.99 any number of rounds would cost nothing."""
    noise = NoiseSettings(clip_norm=1.0, noise_multiplier=1.0, delta=server_delta)
    town.policies[0] = HospitalPolicy(least_noise=0.5, most_epsilon=8.0)
    server, state = town.run(replace(SETTINGS, noise=noise, rounds=40, most_failed_rounds=1))
    assert isinstance(server.failure, TooFewHospitalsError)  # hospital 0 stopped when its budget was spent
    assert state["history"][-1]["refused"] == {"hospital 0": "declined:cds.federation.budget"}
    assert 0 < state["round"] < 40
    spent = [Steps(**row) for row in json.loads((town.folder / "hospital0" / "privacy.json").read_text())]
    assert epsilon_of(spent, 1e-5) <= 8.0 < epsilon_of([*spent, spent[-1]], 1e-5)
    items = [item.kind.value for one in read_sent(town.folder / "hospital0" / "sent.jsonl") for item in one.items]
    assert "metric" not in items


@pytest.mark.parametrize(
    "policy", [HospitalPolicy(require_masking=True, peers={b"k" * 32: "known"}), HospitalPolicy(least_noise=1.0)]
)
def test_a_hospital_sends_nothing_with_less_protection_than_it_wants(town: Town, policy: HospitalPolicy) -> None:
    town.policies[3] = policy
    server, state = town.run(SETTINGS, hospitals=4)
    assert server.failure is None
    assert state["history"][0]["refused"] == {"hospital 3": "declined:cds.federation.protection"}
    kinds = {item.kind.value for one in read_sent(town.folder / "hospital3" / "sent.jsonl") for item in one.items}
    assert kinds == {"key", "signature", "status"}


@pytest.mark.parametrize(
    "policy",
    [{"require_masking": True}, {"most_epsilon": 1.0}, {"most_epsilon": 1.0, "least_noise": 1.0, "delta": 1.0}],
)
def test_a_policy_that_protects_nothing_is_refused(policy: Any) -> None:
    with pytest.raises(ProtectionError):
        HospitalPolicy(**policy)


def without_the_others(order: Order) -> Order:
    """The others' counts made nothing of."""
    return replace(order, members=tuple(replace(one, count=min(1, number)) for number, one in enumerate(order.members)))


@pytest.mark.parametrize(
    "forge",
    [
        without_the_others,
        lambda order: replace(order, settings=replace(order.settings, most_share=1.0)),
        lambda order: replace(order, settings=replace(order.settings, learning={"steps": 1, "rate": 1e-6})),
    ],
)
def test_the_server_cannot_weigh_members_as_it_likes(
    town: Town, monkeypatch: pytest.MonkeyPatch, forge: Callable[[Order], Order]
) -> None:
    honest = RoundServer._orders

    def orders(server: RoundServer, *given: Any) -> dict[Any, Order]:
        return {one: forge(order) for one, order in honest(server, *given).items()}

    monkeypatch.setattr(RoundServer, "_orders", orders)
    server, state = town.run(replace(SETTINGS, secure_aggregation=True, most_failed_rounds=1))
    assert isinstance(server.failure, TooFewHospitalsError)
    declined = "declined:cds.federation.protection"
    assert state["history"][0]["refused"] == {f"hospital {index}": declined for index in range(3)}


def test_masks_do_not_cancel_among_hospitals_that_were_given_different_models(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit, victim = HospitalClient.fit, town.identities[0].public

    def other_model(client: HospitalClient, ins: Any) -> Any:
        if client._identity.public != victim:
            given = {name: array + 1 for name, array in unpack(ins.parameters.tensors).items()}
            ins = replace(ins, parameters=replace(ins.parameters, tensors=pack(given)))
        return fit(client, ins)

    monkeypatch.setattr(HospitalClient, "fit", other_model)
    _, state = town.run(replace(SETTINGS, rounds=1, secure_aggregation=True))
    assert state["history"][0]["sum_norm"] > 100  # of random words; an update's is below 10


def test_a_hospital_does_not_dominate_a_masked_sum(town: Town) -> None:
    town.policies[0] = HospitalPolicy(most_own_share=0.3)
    _, state = town.run(replace(SETTINGS, secure_aggregation=True, most_failed_rounds=1))
    assert state["history"][0]["refused"] == {"hospital 0": "declined:cds.federation.protection"}


def test_hospitals_that_know_one_another_learn_under_required_masks(town: Town) -> None:
    for index in range(3):
        town.policies[index] = HospitalPolicy(require_masking=True, peers=town.allowed(3))
    server, state = town.run(replace(SETTINGS, rounds=1, secure_aggregation=True))
    assert server.failure is None
    counts = {f"hospital {index}": town.tables[index].events.size for index in range(3)}
    wanted = bounded_shares(counts, most_examples=SETTINGS.most_examples, most_share=SETTINGS.most_share)
    assert state["history"][0]["shares"] == pytest.approx(wanted, abs=1e-4)


def test_data_are_read_at_the_first_request(tmp_path: Path, tables: list[Rows]) -> None:
    read: list[FederationSettings] = []

    def make(settings: FederationSettings) -> Learner:
        read.append(settings)
        return LinearLearner(tables[0], Outcome.FRACTURE)

    client = HospitalClient(identity=load_identity(tmp_path / "key"), make_learner=make, out=tmp_path)
    assert not read
    order = Order(task="hello", run="", round=0, nonce=b"1", settings=SETTINGS)
    for _ in range(2):
        client.get_properties(GetPropertiesIns(order.to_config()))
    assert read == [SETTINGS]


def test_masking_among_strangers_is_refused(town: Town) -> None:
    town.policies[0] = HospitalPolicy(peers={town.identities[1].public: "known"})
    server, state = town.run(replace(SETTINGS, secure_aggregation=True, most_failed_rounds=1))
    assert isinstance(server.failure, TooFewHospitalsError)
    assert state["history"][0]["refused"] == {"hospital 0": "declined:cds.federation.protection"}


def test_every_answer_is_listed_before_it_leaves(town: Town) -> None:
    town.run(replace(SETTINGS, rounds=2))
    messages = read_sent(town.folder / "hospital1" / "sent.jsonl")
    assert [one.message for one in messages] == ["hello", "update", "update", "final", "goodbye"]
    assert all(0 <= one.envelope_bytes < 250 for one in messages)
    weights = [item for item in messages[1].items if item.kind.value == "weights"]
    assert {item.name: item.shape for item in weights} == {"weights": (22,), "intercept": (1,)}


def test_an_unknown_error_tells_the_server_nothing(town: Town) -> None:
    def leak(_: Tensors) -> Tensors:
        raise RuntimeError("patient 12345 has a fracture")

    town.changes[3] = leak
    _, state = town.run(replace(SETTINGS, rounds=1), hospitals=4)
    assert state["history"][0]["refused"] == {"hospital 3": "declined:cds.federation.internal"}
    assert "12345" not in json.dumps(state)
    assert "12345" not in (town.folder / "hospital3" / "sent.jsonl").read_text()


def test_one_key_counts_once(town: Town) -> None:
    """A program that connects twice under one key has one vote."""
    out = town.folder / "server"
    server = RoundServer(settings=replace(SETTINGS, rounds=1), rules=make_rules(SETTINGS), out=out, allowed=None)
    for cid, index in enumerate([0, 1, 2, 2, 2]):
        server.client_manager().register(DirectProxy(f"c{cid}", town.client(index)))
    server.fit(1, None)
    state = json.loads((out / "state.json").read_text())
    assert len(state["history"][0]["contributed"]) == 3


def test_the_common_model_ranks_strangers(town: Town) -> None:
    town.run(SETTINGS)
    rows = town.tables[4]
    scores = predict(town.weights(), rows.matrix, Outcome.FRACTURE)
    assert scores[rows.events == 1].mean() > scores[rows.events == 0].mean() + 0.1


def test_identities_are_stable_and_private(tmp_path: Path) -> None:
    first: Identity = load_identity(tmp_path / "a" / "key")
    assert load_identity(tmp_path / "a" / "key").public == first.public
    assert (tmp_path / "a" / "key").stat().st_mode & 0o077 == 0
