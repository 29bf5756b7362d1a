"""``cds feedback`` and ``cds learn``: the groups that the commands of the learning loop register with."""

import typer

feedback_app = typer.Typer(no_args_is_help=True, help="What clinicians said about cases: list, settle, export.")
learn_app = typer.Typer(
    no_args_is_help=True, help="Retrain, compare, promote and roll back models; watch drift; learn together."
)
