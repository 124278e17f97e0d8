"""The judgement of a gate for services of continuous integration."""

import json
from pathlib import Path
from xml.etree import ElementTree

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from state.export.files import write_export
from state.gate.judgement import Judgement, Row
from tests.tui.cli.test_gate import WRONG, broken, measured, there
from tests.tui.cli.test_main import ckpt_tui
from tui.cli.gate_report import github, junit, sentences

FOUND = Judgement(
    (Row("pytorch", "save"), Row("a,b:c", "load", ("50 % <slower>\r\nand \x1b[31mred", "lost & gone"))),
    notes=("a\nnote",),
)
REFUSED = Judgement(refusal="nothing: do.")
TEXT = st.text(st.characters(exclude_categories=()))  # surrogates and control characters, too


def test_junit_has_a_case_for_each_row_with_one_failure_and_clean_text() -> None:
    (suite,) = ElementTree.fromstring(junit(FOUND))
    assert {name: suite.get(name) for name in ("tests", "failures", "errors")} == {
        "tests": "2",
        "failures": "1",
        "errors": "0",
    }
    good, bad = suite.iter("testcase")
    assert (good.get("classname"), good.get("name"), len(good)) == ("pytorch", "save", 0)
    (failure,) = bad
    assert failure.get("message") == "50 % <slower>\r\nand [31mred"
    assert (failure.text or "").splitlines() == ["50 % <slower>", "and [31mred", "lost & gone"]
    assert suite.findtext("system-out") == "a\nnote"


def test_junit_has_an_error_where_nothing_can_be_judged() -> None:
    (suite,) = ElementTree.fromstring(junit(REFUSED))
    assert (suite.get("tests"), suite.get("errors")) == ("1", "1")
    assert suite.find("testcase/error[@message='nothing: do.']") is not None


def test_github_gets_a_command_a_line_with_its_own_escaping() -> None:
    assert github(FOUND).split("\n") == [
        "::error title=a%2Cb%3Ac load::50 %25 <slower>%0D%0Aand [31mred",
        "::error title=a%2Cb%3Ac load::lost & gone",
        "::warning title=ckpt-tui compare::a%0Anote",
    ]
    assert github(REFUSED) == "::error title=ckpt-tui compare::nothing: do."
    assert (
        github(Judgement((Row("pytorch", "save"),)))
        == "::notice title=ckpt-tui compare::Everything that run A measured passes."
    )


@given(TEXT, TEXT, TEXT)
def test_no_text_breaks_a_form(method: str, reason: str, note: str) -> None:
    judgement = Judgement((Row(method, "save", (reason,)),), notes=(note,))
    assert len(list(ElementTree.fromstring(junit(judgement)).iter("failure"))) == 1
    assert [line[:2] for line in github(judgement).split("\n")] == ["::", "::"]
    assert all(len(sentence.splitlines()) <= 1 for sentence in sentences(judgement))


def test_the_command_writes_each_form_and_its_status_is_that_of_the_gate(tmp_path: Path) -> None:
    runs = {"a": measured(), "wrong": broken(measured(), "pytorch", "load", WRONG, 2), "there": there(hostname="there")}
    for name, run in runs.items():
        write_export(msgspec.structs.replace(run, run_id=name), tmp_path / f"{name}.json")

    def told(after: str, form: str) -> tuple[int, str]:
        paths = (tmp_path / "a.json", tmp_path / f"{after}.json")
        result = ckpt_tui("compare", *paths, "--fail-if-slower", "10%", "--format", form)
        return result.returncode, result.stdout

    status, text = told("wrong", "junit")
    assert (status, ElementTree.fromstring(text)[0].get("failures")) == (1, "1")
    status, text = told("wrong", "github")
    assert (status, text.count("::error title=pytorch load::pytorch load failed in B")) == (1, 1)
    status, text = told("wrong", "json")
    gate = json.loads(text)["gate"]
    assert (status, gate["exit_status"], len(gate["reasons"]), gate["fail_if_slower"]) == (1, 1, 1, 0.1)
    status, text = told("there", "junit")
    assert (status, ElementTree.fromstring(text)[0].get("errors")) == (2, "1")
    status, text = told("there", "json")
    assert (status, json.loads(text)["gate"]["exit_status"]) == (2, 2)
