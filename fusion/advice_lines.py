"""One line of safety advice, written the same way everywhere."""

from fusion.results import Advice, AdviceAction
from fusion.statements import Writer


def safety_line(
    writer: Writer,
    action: AdviceAction,
    agent: str,
    rule: str,
    text: str,
    evidence: tuple[str, ...],
    record: tuple[str, ...],
) -> Advice:
    """A safety line; unverified evidence is named in its words.

    Args:
        writer: checks the evidence.
        action: what is asked for.
        agent: what it is about, for instance ``calcium``.
        rule: name of the rule after ``safety.``.
        text: the sentence, without patient identifiers.
        evidence: identifiers in the evidence base.
        record: what triggered the rule.
    """
    return Advice(
        action=action, agent=agent, statement=writer.warn(f"safety.{rule}", text, evidence=evidence, record=record)
    )
