import msgspec
import pytest

from state.plan import Plan
from state.run.events import (
    CancelRun,
    ModelReady,
    StartRun,
    TrialFailed,
    TrialFinished,
    decode_command,
    decode_event,
    encode,
)
from state.run.records import Failure
from tests.state.factories import MODEL, load, save


@pytest.mark.parametrize(
    "event",
    [ModelReady(MODEL, 1.5), TrialFinished(1, save(1.0)), TrialFinished(2, load(1.0)), TrialFailed(3, Failure("x\ny"))],
)
def test_an_event_is_one_line_and_comes_back_as_itself(event: ModelReady | TrialFinished | TrialFailed) -> None:
    line = encode(event)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert decode_event(line) == event


@pytest.mark.parametrize("command", [StartRun("run", Plan(methods=("t5x",)), (0, 1)), CancelRun()])
def test_a_command_comes_back_as_itself(command: StartRun | CancelRun) -> None:
    assert decode_command(encode(command)) == command


@pytest.mark.parametrize(
    "line", [b"", b"hello", b"{}", b'{"event":"no-such"}', b"\xff\xfe", b'{"event":"phase","trial":1}']
)
def test_rubbish_is_no_event(line: bytes) -> None:
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
        decode_event(line)
