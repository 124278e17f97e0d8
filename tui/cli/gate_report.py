"""What a gate says, in the forms that services for continuous integration read."""

from typing import Final
from xml.etree import ElementTree

from state.gate.judgement import Judgement
from state.plain_text import one_line, without_controls

#: GitHub's escaping of the text of a workflow command, the percent sign first.
_IN_TEXT: Final = {"%": "%25", "\r": "%0D", "\n": "%0A"}
#: The same of its properties.
_IN_PROPERTY: Final = {**_IN_TEXT, ":": "%3A", ",": "%2C"}


def sentences(judgement: Judgement) -> list[str]:
    """A line for a person for every reason and every note."""
    return [one_line(sentence) for sentence in (*judgement.reasons, *judgement.notes)]


def junit(judgement: Judgement) -> str:
    """JUnit XML: a test case for every operation of a method, or one with an error where nothing can be judged."""
    suite = ElementTree.Element("testsuite", name="ckpt-tui compare")
    for row in judgement.rows:
        case = ElementTree.SubElement(suite, "testcase", classname=without_controls(row.method), name=row.operation)
        if row.reasons:
            _result(case, "failure", row.reasons)
    if judgement.refusal:
        _result(
            ElementTree.SubElement(suite, "testcase", classname="ckpt-tui", name="compare"),
            "error",
            (judgement.refusal,),
        )
    for attribute, tag in (("tests", "testcase"), ("failures", "failure"), ("errors", "error")):
        suite.set(attribute, str(len(list(suite.iter(tag)))))
    if judgement.notes:
        ElementTree.SubElement(suite, "system-out").text = without_controls("\n".join(judgement.notes))
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    # References in the place of all other characters: right whatever standard output is encoded in.
    document: bytes = ElementTree.tostring(root, encoding="us-ascii", xml_declaration=True)
    return document.decode("ascii")


def _result(case: ElementTree.Element, tag: str, reasons: tuple[str, ...]) -> None:
    """One result a case, as readers of the format expect: the first reason as its message, all of them as its text."""
    ElementTree.SubElement(case, tag, message=without_controls(reasons[0])).text = without_controls("\n".join(reasons))


def github(judgement: Judgement) -> str:
    """Workflow commands of GitHub: an error for every reason, a warning for every note, a notice if all is well."""
    lines = [
        _annotation("error", f"{row.method} {row.operation}", why) for row in judgement.rows for why in row.reasons
    ]
    if judgement.refusal:
        lines.append(_annotation("error", "ckpt-tui compare", judgement.refusal))
    lines += [_annotation("warning", "ckpt-tui compare", note) for note in judgement.notes]
    if judgement.exit_status == 0:
        lines.append(_annotation("notice", "ckpt-tui compare", "Everything that run A measured passes."))
    return "\n".join(lines)


def _annotation(kind: str, title: str, text: str) -> str:
    return f"::{kind} title={_escaped(title, _IN_PROPERTY)}::{_escaped(text, _IN_TEXT)}"


def _escaped(text: str, signs: dict[str, str]) -> str:
    return "".join(signs.get(sign, sign) for sign in without_controls(text))
