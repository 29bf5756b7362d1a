import contextlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cds.learning.federated.errors import InsecureChannelError, SettingsRefusedError, WireError
from cds.learning.federated.identity import KeyFileError, load_identity, read_allowed, statement
from cds.learning.federated.orders import Member, Order
from cds.learning.federated.settings import Aggregation, FederationSettings, ModelKind, NoiseSettings, read_settings
from cds.learning.federated.transport import ServerTls, check_client, check_server, is_loopback, quiet_flower
from cds.learning.federated.wire import Item, Kind, SentLog, SentMessage, items_of, pack, read_sent, totals, unpack

TENSORS = st.dictionaries(
    st.from_regex(r"[a-z._0-9]{1,20}", fullmatch=True),
    st.sampled_from(["float32", "int16", "int32", "uint8", "uint32"]).flatmap(
        lambda kind: arrays.arrays(kind, arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    ),
    max_size=4,
)


@settings(deadline=None, max_examples=25)
@given(TENSORS)
def test_tensors_travel_as_they_are(tensors: dict[str, np.ndarray]) -> None:
    blocks = pack(tensors)
    back = unpack(blocks)
    assert list(back) == list(tensors)
    for name, array in tensors.items():
        assert back[name].dtype == array.dtype and back[name].shape == array.shape
        assert back[name].tobytes() == array.tobytes()
    assert sum(item.bytes for item in items_of(tensors, blocks, Kind.WEIGHTS)) == sum(map(len, blocks))


@pytest.mark.parametrize(
    "blocks",
    [
        [],
        [b"not json"],
        [b"{}", b""],
        [b'[{"name":"a","shape":[2],"dtype":"float32"}]'],
        [b'[{"name":"a","shape":[2],"dtype":"float32"}]', b"1234567"],
        [b'[{"name":"a","shape":[-2],"dtype":"float32"}]', b""],
        [b'[{"name":"a","shape":[1],"dtype":"object"}]', b"12345678"],
        [b'[{"name":"../a","shape":[1],"dtype":"uint8"}]', b"1"],
        [b'[{"name":"a","shape":[1],"dtype":"uint8"},{"name":"a","shape":[1],"dtype":"uint8"}]', b"1", b"1"],
        [b'[{"name":"a","shape":[99999999999],"dtype":"uint8"}]', b"1"],
    ],
)
def test_other_bytes_are_refused(blocks: list[bytes]) -> None:
    with pytest.raises(WireError):
        unpack(blocks)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.binary(max_size=60), max_size=4))
def test_no_bytes_crash_the_reader(blocks: list[bytes]) -> None:
    with contextlib.suppress(WireError):
        unpack(blocks)


def test_a_pickle_cannot_travel() -> None:
    with pytest.raises(WireError):
        pack({"a": np.array([object()])})


def test_the_list_can_be_read_again(tmp_path: Path) -> None:
    item = Item(kind=Kind.WEIGHTS, name="w", bytes=8, sha256="0" * 64, shape=(2,), dtype="float32")
    message = SentMessage(round=1, message="update", items=(item,), message_bytes=30)
    log = SentLog(tmp_path / "sent.jsonl")
    log.write(message)
    log.write(message)
    assert read_sent(log.path) == [message, message]
    assert totals(read_sent(log.path)) == {"envelope": 44, "weights": 16}


def test_what_cannot_be_listed_is_not_sent(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WireError):
        SentLog(tmp_path / "file" / "sent.jsonl").write(
            SentMessage(round=1, message="update", items=(), message_bytes=0)
        )


def test_orders_travel_as_they_are() -> None:
    order = Order(
        task="update",
        run="abc",
        round=3,
        nonce=b"123",
        settings=FederationSettings(
            kind=ModelKind.RISK_LINEAR,
            aggregation=Aggregation.MEDIAN,
            noise=NoiseSettings(clip_norm=1, noise_multiplier=2),
            learning={"steps": 3},
        ),
        members=(Member(key=b"k" * 32, round_key=b"r" * 32, count=7, signature=b"s" * 64),),
    )
    assert Order.from_config(order.to_config()) == order


@pytest.mark.parametrize("config", [{}, {"order": "x"}, {"order": "{}"}, {"order": 1}, {"order": json.dumps([1])}])
def test_other_orders_are_refused(config: dict[str, object]) -> None:
    with pytest.raises(WireError):
        Order.from_config(config)


@pytest.mark.parametrize(
    "text",
    [
        "kind: risk\nsecure_aggregation: true",
        "kind: risk\nnoise: {clip_norm: 1, noise_multiplier: 1}",
        "kind: risk\naggregation: median",
        "kind: risk-linear\nsecure_aggregation: true\naggregation: median",
        "kind: risk-linear\nsecure_aggregation: true\nclip_norm: 1.0",
        "kind: risk-linear\nsecure_aggregation: true\nmin_hospitals: 2",
        "kind: risk-linear\naggregation: krum\nmin_hospitals: 3",
        "kind: risk-linear\nrounds: 0",
        "kind: risk-linear\nmin_hospitals: 1",
        "kind: risk-linear\nnoise: {clip_norm: 1, noise_multiplier: 0}",
        "kind: risk-linear\nnoise: {clip_norm: 1, noise_multiplier: .nan}",
        "kind: risk-linear\nnoise: {clip_norm: .inf, noise_multiplier: 1}",
        "kind: risk-linear\nclip_norm: -1",
        "kind: risk-linear\ntrim: 0.5",
        "kind: other",
        "rounds: 3",
        "kind: risk\nunknown: 1",
        "- a list",
        "kind: [",
    ],
)
def test_settings_that_contradict_themselves_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "f.yaml").write_text(text)
    with pytest.raises(SettingsRefusedError):
        read_settings(tmp_path / "f.yaml")


def test_settings_are_read(tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_text("kind: risk\nrounds: 4\nlearning: {trees: 2}")
    read = read_settings(tmp_path / "f.yaml")
    assert (read.kind, read.rounds, read.learning) == (ModelKind.RISK, 4, {"trees": 2})


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("127.0.0.1:1", True),
        ("127.8.0.1:1", True),
        ("localhost:1", True),
        ("[::1]:1", True),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        ("10.0.0.1:1", False),
        ("hospital.example:1", False),
        ("127.0.0.1.example:1", False),
    ],
)
def test_only_loopback_may_be_in_the_clear(tmp_path: Path, address: str, loopback: bool) -> None:
    tls = ServerTls(ca=tmp_path, certificate=tmp_path, key=tmp_path)
    assert is_loopback(address) is loopback
    check_server(address, tls=tls, has_allow_list=True)
    check_client(address, ca=tmp_path)
    if loopback:
        check_server(address, tls=None, has_allow_list=False)
        check_client(address, ca=None)
        return
    for protected, listed in ((None, True), (tls, False), (None, False)):
        with pytest.raises(InsecureChannelError):
            check_server(address, tls=protected, has_allow_list=listed)
    with pytest.raises(InsecureChannelError):
        check_client(address, ca=None)


@pytest.mark.parametrize("address", ["", "host", "host:", ":8", "host:x"])
def test_an_address_has_host_and_port(address: str) -> None:
    with pytest.raises(SettingsRefusedError):
        is_loopback(address)


@pytest.mark.parametrize("second", [f"{'cd' * 32} North", f"{'ab' * 32} South"])
def test_an_allow_list_names_every_hospital_once(tmp_path: Path, second: str) -> None:
    (tmp_path / "allowed").write_text(f"{'ab' * 32} North\n{second}\n")
    with pytest.raises(KeyFileError, match="twice"):
        read_allowed(tmp_path / "allowed")


def test_allow_list(tmp_path: Path) -> None:
    key = load_identity(tmp_path / "key").public
    (tmp_path / "allowed").write_text(f"# hospitals\n{key.hex()} North\n\n{'ab' * 32}\n")
    allowed = read_allowed(tmp_path / "allowed")
    assert allowed[key] == "North" and len(allowed) == 2
    (tmp_path / "allowed").write_text("abcd North")
    with pytest.raises(KeyFileError):
        read_allowed(tmp_path / "allowed")
    (tmp_path / "key").write_text("nonsense")
    with pytest.raises(KeyFileError):
        load_identity(tmp_path / "key")


def test_flower_reports_to_nobody_and_writes_nothing_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("FLWR_HOME", str(tmp_path / "flower"))
    quiet_flower()
    from flwr.supercore.telemetry import EventType, event

    assert event(EventType.START_CLIENT_ENTER).result(timeout=10) == "disabled"
    assert list(tmp_path.iterdir()) == []


def test_no_two_statements_read_alike() -> None:
    first = statement("a", run="b", round_number=1, nonce=b"", parts=[b"12", b"3"])
    assert first != statement("a", run="b", round_number=1, nonce=b"", parts=[b"1", b"23"])
    assert first != statement("ab", run="", round_number=1, nonce=b"", parts=[b"12", b"3"])
