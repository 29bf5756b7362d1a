"""``cds feedback`` and ``cds learn``: the groups that the commands of the learning loop register with."""

import typer

from cds.entrypoints.drift_commands import drift
from cds.entrypoints.federation_commands import federate_app
from cds.entrypoints.feedback_commands import export, list_feedback, settle, show_feedback
from cds.entrypoints.promotion_commands import models, promote, rollback, shadow_app
from cds.entrypoints.retrain_commands import retrain
from cds.entrypoints.suggest_commands import suggest

feedback_app = typer.Typer(no_args_is_help=True, help="What clinicians said about cases: list, settle, export.")
learn_app = typer.Typer(
    no_args_is_help=True, help="Retrain, compare, promote and roll back models; watch drift; learn together."
)

feedback_app.command("list")(list_feedback)
feedback_app.command("show")(show_feedback)
feedback_app.command("adjudicate")(settle)
feedback_app.command("export")(export)
learn_app.command("drift")(drift)
learn_app.command("suggest")(suggest)
learn_app.command("retrain")(retrain)
learn_app.command("models")(models)
learn_app.command("promote")(promote)
learn_app.command("rollback")(rollback)
learn_app.add_typer(shadow_app, name="shadow")
learn_app.add_typer(federate_app, name="federate")
