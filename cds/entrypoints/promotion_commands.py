"""``cds learn models | promote | rollback | shadow``: which model answers here, who decided it, and the way back."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cds.entrypoints.console import failures_explained
from cds.errors import ExitCode
from cds.learning.model_kinds import SHIPPED, ModelKind, Question

if TYPE_CHECKING:  # at run time it would load the database, which --help need not wait for
    from cds.learning.models import ModelStore
    from cds.learning.promotion import Decision
    from cds.learning.shadow_list import Agreement
    from cds.settings import Settings

shadow_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="A candidate that answers every radiograph silently beside the current model.",
)


def _question(word: str) -> Question:
    try:
        return Question.of(word)
    except ValueError:
        raise typer.BadParameter(f"{word!r} is none of {', '.join(Question)}.") from None


KindOption = Annotated[
    Question,
    typer.Option(
        "--kind",
        parser=_question,
        metavar=f"[{'|'.join(Question)}]",
        help="Which kind of model; fracture-type is the heads of a detector that stays as it is.",
    ),
]
ByOption = Annotated[str, typer.Option("--by", help="Who decides; stands in the history and in the report.")]
HISTORY_SHOWN = 10


def models(
    history: Annotated[int, typer.Option("--history", min=0, help="Lines of history to show.")] = HISTORY_SHOWN,
) -> None:
    """The models in use, those kept, and what was decided."""
    with failures_explained():
        from cds.learning.models import chosen_folder
        from cds.learning.promotion import model_name

        settings, store = _opened()
        state = store.state()
        for kind in ModelKind:
            typer.echo(f"{kind.value}: {model_name(kind, chosen_folder(kind, settings, store))}")
            if _setting_wins(kind, settings):
                typer.echo(f"  FRACTURE_CDS_{kind.value.upper()}_DIR names it and wins over what is promoted here")
            shadow = state.of(kind).shadow
            if shadow is not None:
                typer.echo(f"  shadow since {state.of(kind).shadow_since}: {shadow}")
            for model_id, kept in sorted(state.models.get(kind, {}).items()):
                typer.echo(f"  kept: {model_id} (since {kept.adopted}, by {kept.by})")
        for event in state.history[-history:] if history else ():
            what = event.model_id or SHIPPED
            typer.echo(f"{event.when}  {event.action} {event.kind} {what}, by {event.by}: {event.why or 'no reason'}")


def promote(
    candidate: Annotated[Path, typer.Argument(help="The candidate's weights folder, with provenance.json.")],
    kind: KindOption,
    locked: Annotated[
        Path,
        typer.Option(
            "--locked",
            help="Set that neither model learned from. detector: FracAtlas' layout, or images.csv with boxes.csv;"
            " fracture-type: images.csv with type; risk: survey CSV; healing: table of outcomes, or an export;"
            " bone-age: Parquet.",
        ),
    ],
    by: ByOption,
    locked_types: Annotated[
        Path | None,
        typer.Option("--locked-types", help="Detector: a further set, images.csv with type, that judges the heads."),
    ] = None,
    split: Annotated[str, typer.Option(help="Split of that set, or 'all'.")] = "all",
    split_list: Annotated[Path | None, typer.Option(help="CSV file of `cds data split` that names the split.")] = None,
    margins: Annotated[Path | None, typer.Option(help="YAML file of margins; the defaults without.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for a copy of the change report.")] = None,
    reason: Annotated[str | None, typer.Option(help="Why; what the provenance says without.")] = None,
    rounds: Annotated[int, typer.Option(min=200, help="Bootstrap draws.")] = 1000,
    labels_checked: Annotated[
        bool,
        typer.Option("--labels-checked", help="You looked at the labels of a suspicious round, and they are right."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Decide and report, and change nothing.")] = False,
) -> None:
    """Compare a candidate with the model in use; use it from now on if nothing falls beyond its margin.

    Ends with exit code 10 where the gate refuses. Running services take the change up with their next case.
    """
    with failures_explained():
        from cds.learning.promotion import decide

        settings, store = _opened()
        decision = decide(
            store,
            settings,
            kind,
            candidate,
            locked,
            by=by,
            locked_types=locked_types,
            split=split,
            split_list=split_list,
            margins=margins,
            why=reason,
            dry_run=dry_run,
            labels_checked=labels_checked,
            rounds=rounds,
            out=out,
            report=lambda line: typer.echo(line, err=True),
        )
        _tell(decision, kind.kind)
        if not decision.verdict.promoted:
            raise typer.Exit(int(ExitCode.REFUSED))


def rollback(
    kind: KindOption,
    by: ByOption,
    reason: Annotated[str, typer.Option("--reason", help="Why; stands in the history.")],
) -> None:
    """Use the model that was in use before, one step back; running services follow with their next case."""
    with failures_explained():
        from cds.learning.promotion import model_name

        settings, store = _opened()
        model = kind.kind
        store.rollback(model, by=by, why=reason)
        typer.echo(f"{model.value}: {model_name(model, store.current(model))}")
        if _setting_wins(model, settings):
            typer.echo(f"FRACTURE_CDS_{model.value.upper()}_DIR is set and wins: services keep that one.", err=True)


@shadow_app.command("start")
def shadow_start(
    candidate: Annotated[str, typer.Argument(help="Weights folder, or the id of a kept model.")],
    by: ByOption,
) -> None:
    """Let a detector run silently beside the current one; its answers reach nobody."""
    with failures_explained():
        _, store = _opened()
        folder = Path(candidate)
        kind = ModelKind.DETECTOR
        model_id = store.adopt(kind, folder, by=by, why="shadow") if folder.is_dir() else candidate
        store.set_shadow(kind, model_id, by=by)
        typer.echo(f"shadow: {model_id}")


@shadow_app.command("stop")
def shadow_stop(by: ByOption) -> None:
    """End it; what was found stays until its cases are erased."""
    with failures_explained():
        _, store = _opened()
        store.set_shadow(ModelKind.DETECTOR, None, by=by)
        typer.echo("no shadow runs")


@shadow_app.command("list")
def shadow_list(
    model: Annotated[str | None, typer.Option("--model", help="Of this shadow; the running one without.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="Cases to list.")] = 20,
) -> None:
    """How often the shadow differs, and the cases on which it differs most: the ones worth a second read."""
    with failures_explained():
        from cds.learning.shadow_list import agreement_of
        from cds.store.opening import open_store

        settings, models = _opened()
        wanted = model or models.state().of(ModelKind.DETECTOR).shadow
        if wanted is None:
            typer.echo("No shadow runs; `cds learn shadow start MODEL` starts one, and --model lists an earlier one.")
            return
        store = open_store(settings)
        try:
            _show(agreement_of(store.database, wanted, limit=limit))
        finally:
            store.close()


def _opened() -> "tuple[Settings, ModelStore]":
    from cds.bootstrap import load_settings
    from cds.learning.models import model_store

    settings = load_settings()
    return settings, model_store(settings)


def _setting_wins(kind: ModelKind, settings: "Settings") -> bool:
    from cds.learning.model_kinds import own_folder

    return own_folder(kind, settings) is not None or not settings.follow_models


def _tell(decision: "Decision", kind: ModelKind) -> None:
    from cds.learning.change_report import STANDING_WORDS, figure
    from cds.learning.gate import METRIC_WORDS

    verdict = decision.verdict
    for one in verdict.differences:
        typer.echo(
            f"{METRIC_WORDS.get(one.metric, one.metric)}: {figure(one.current)} -> {figure(one.candidate)}, gain"
            f" {figure(one.gain, signed=True)} ({figure(one.low, signed=True)} to {figure(one.high, signed=True)}),"
            f" margin {figure(one.margin)}: {STANDING_WORDS[one.standing]}"
        )
    for line in (*verdict.reasons, *verdict.notes):
        typer.echo(f"- {line}")
    typer.echo(f"report: {decision.report}")
    if decision.in_use:
        typer.echo(f"promoted: {verdict.candidate_id} answers from the next case on")
    else:
        typer.echo(f"{'would pass' if verdict.promoted else 'refused'}: {verdict.current_id} stays in use")
    if decision.overruled_by_setting:
        typer.echo(f"FRACTURE_CDS_{kind.value.upper()}_DIR is set and wins: services keep that one.", err=True)


def _show(found: "Agreement") -> None:
    if not found.cases:
        typer.echo(f"The shadow has answered no case yet; {found.errors} errors.")
        return
    typer.echo(
        f"{found.model_id}: differs on {found.disagreements} of {found.cases} radiographs, {100 * found.rate:.1f} %"
        f" (95 % interval {100 * found.low:.1f} to {100 * found.high:.1f} %); {found.errors} errors"
    )
    for one in found.hardest:
        boxes = "-" if one.box_iou is None else f"{one.box_iou:.2f}"
        typer.echo(
            f"{one.hardness:.2f}  {one.case_id}  {one.current_call} {_share(one.current_probability)} ->"
            f" {one.candidate_call} {_share(one.candidate_probability)}, boxes IoU {boxes}"
        )


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f} %"
