"""``cds learn federate``: several hospitals learn one model; see `cds.learning.federated` on what that protects."""

from pathlib import Path
from typing import Annotated

import typer

from cds.entrypoints.console import failures_explained
from cds.learning.federated.settings import ModelKind

federate_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Learn one model with other hospitals; no image, row or identifier leaves this one.",
)

ConfigOption = Annotated[
    Path,
    typer.Option(
        "--config",
        exists=True,
        dir_okay=False,
        help="YAML of the federation's settings, such as 'kind: risk' and 'rounds: 20', one a line.",
    ),
]
StartOption = Annotated[
    Path | None,
    typer.Option("--start-from", exists=True, file_okay=False, help="Detector: release that the network begins with."),
]


@federate_app.command("server")
def server(
    config: ConfigOption,
    out: Annotated[Path, typer.Option("--out", file_okay=False, help="Folder for the state and the final model.")],
    listen: Annotated[str, typer.Option(help="HOST:PORT to listen on.")] = "127.0.0.1:8443",
    allow: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Public keys of the hospitals, one a line.")
    ] = None,
    tls_ca: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="PEM of the authority.")] = None,
    tls_certificate: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="PEM of this server's certificate.")
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="PEM of this server's private key.")
    ] = None,
    start_from: StartOption = None,
) -> None:
    """Coordinate a federation: its rounds go on from --out after a restart."""
    with failures_explained():
        from cds.learning.federated.identity import read_allowed
        from cds.learning.federated.learners.choose import complete, make_rules
        from cds.learning.federated.settings import read_settings
        from cds.learning.federated.transport import ServerTls, check_server, quiet_flower, serve

        given = (tls_ca, tls_certificate, tls_key)
        if any(given) and not all(given):
            raise typer.BadParameter("give --tls-ca, --tls-certificate and --tls-key together")
        tls = None
        if tls_ca and tls_certificate and tls_key:
            tls = ServerTls(ca=tls_ca, certificate=tls_certificate, key=tls_key)
        check_server(listen, tls=tls, has_allow_list=allow is not None)
        allowed = None if allow is None else read_allowed(allow)
        settings = complete(read_settings(config), start_from=start_from)
        rules = make_rules(settings, start_from=start_from)
        quiet_flower()
        from cds.learning.federated.server import RoundServer

        rounds = RoundServer(settings=settings, rules=rules, out=out, allowed=allowed, notice=_note)
        serve(listen, rounds, tls=tls)
        if rounds.failure is not None:
            raise rounds.failure


@federate_app.command("client")
def client(
    server: Annotated[str, typer.Option("--server", help="HOST:PORT of the federation's server.")],
    data: Annotated[Path, typer.Option(exists=True, help="This hospital's table, or folder of radiographs.")],
    kind: Annotated[ModelKind, typer.Option(help="What is learnt; another wish of the server is refused.")],
    out: Annotated[
        Path, typer.Option("--out", file_okay=False, help="Folder for sent.jsonl, key, spent epsilon, final model.")
    ],
    key: Annotated[
        Path | None, typer.Option(dir_okay=False, help="This hospital's key; made if missing. OUT/key by default.")
    ] = None,
    tls_ca: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="PEM that the server is known by.")
    ] = None,
    split_list: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Detector: list of 'cds data split'.")
    ] = None,
    part: Annotated[str, typer.Option(help="Detector: part of the list to learn from.")] = "train",
    require_masking: Annotated[
        bool, typer.Option("--require-masking", help="Send nothing without secure aggregation among --peers.")
    ] = False,
    peers: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Public keys of the others, for masking.")
    ] = None,
    least_members: Annotated[int, typer.Option(min=3, help="Fewest hospitals to mask an update among.")] = 3,
    least_noise: Annotated[
        float | None, typer.Option(min=0, help="Send nothing under a smaller noise multiplier.")
    ] = None,
    most_epsilon: Annotated[float | None, typer.Option(min=0, help="Epsilon that may be spent in all.")] = None,
    delta: Annotated[float, typer.Option(min=1e-12, max=0.01, help="Delta at which epsilon is reckoned.")] = 1e-5,
    patience_s: Annotated[float, typer.Option(min=0, help="Seconds to look for a server that is away.")] = 600.0,
    start_from: StartOption = None,
) -> None:
    """Take part as a hospital; what is sent is listed in OUT/sent.jsonl."""
    with failures_explained():
        from cds.learning.federated.errors import ProtectionError, ServerLostError
        from cds.learning.federated.identity import load_identity, read_allowed
        from cds.learning.federated.learners.base import Learner
        from cds.learning.federated.learners.choose import HospitalData, make_learner
        from cds.learning.federated.settings import FederationSettings
        from cds.learning.federated.transport import check_client, join, quiet_flower

        check_client(server, ca=tls_ca)
        if most_epsilon is not None and least_noise is None:
            raise typer.BadParameter("--most-epsilon needs --least-noise: without noise nothing is bounded")
        identity = load_identity(key or out / "key")
        where = HospitalData(data=data, split_list=split_list, part=part, start_from=start_from, keep=out)
        quiet_flower()
        from cds.learning.federated.client import HospitalClient, HospitalPolicy

        def learner(settings: FederationSettings) -> Learner:
            if settings.kind is not kind:
                raise ProtectionError("the server wants to learn something else", remedy="Ask the coordinator.")
            return make_learner(settings, where)

        policy = HospitalPolicy(
            require_masking=require_masking,
            least_noise=least_noise,
            most_epsilon=most_epsilon,
            delta=delta,
            least_members=least_members,
            peers={} if peers is None else read_allowed(peers),
        )
        hospital = HospitalClient(identity=identity, make_learner=learner, out=out, policy=policy, notice=_note)
        _note(f"this hospital's public key: {identity.public.hex()}")
        join(server, hospital, ca=tls_ca, patience_s=patience_s, done=lambda: hospital.finished)
        if not hospital.finished:
            raise ServerLostError(
                "the server sent this hospital away before the end",
                remedy="Have the public key put on the server's allow-list, and see its log.",
            )


@federate_app.command("simulate")
def simulate(
    config: ConfigOption,
    data: Annotated[Path, typer.Option(exists=True, help="One data set, dealt to the hospitals by cycle or id block.")],
    out: Annotated[Path, typer.Option("--out", file_okay=False, help="Folder for everything.")],
    hospitals: Annotated[int, typer.Option(min=2, max=50, help="How many hospitals.")] = 3,
    timeout_s: Annotated[float, typer.Option(min=1, help="End everything after so many seconds.")] = 3600.0,
) -> None:
    """Try a federation on this machine: every hospital is a process of its own."""
    with failures_explained():
        from cds.learning.federated import simulation
        from cds.learning.federated.settings import read_settings
        from cds.learning.federated.wire import read_sent, totals

        settings = read_settings(config)
        dealt = simulation.divide(data, settings.kind, hospitals, out)
        folder = simulation.simulate(settings, dealt, out, timeout_s=timeout_s)
        _note(f"the common model and the history lie in {folder}")
        for one in dealt:
            sums = totals(read_sent(out / one.name / "sent.jsonl"))
            _note(f"{one.name} sent {', '.join(f'{kind} {count} bytes' for kind, count in sums.items())}")


def _note(line: str) -> None:
    typer.echo(line)
