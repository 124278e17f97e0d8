"""The conformance suite finds what is wrong: every test of it can fail."""

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from backends.methods.base import AsynchronousMethod, Method
from backends.storage import pagecache
from backends.storage.pagecache import Residency
from backends.testing import MethodTests
from backends.testing.filling import TrialOrder
from backends.testing.saver import Order, Saver
from state.errors import CkptTuiError
from state.plan import Plan
from state.units import MIB
from tests.backends import unsound

pytestmark = pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental")
SEARCH = [*sys.path, str(Path(__file__).parents[1] / "faulty")]
DTYPES = "test_every_dtype_that_it_claims_comes_back_bit_for_bit_in_every_shape"
GIVEN = "test_a_save_leaves_what_it_is_given_as_it_was"
REFUSED = "test_what_it_does_not_claim_is_refused_before_a_run"
TURNED = "test_tensors_that_were_not_contiguous_come_back"
LARGE = "test_a_large_tensor_comes_back"
TINY = "test_thousands_of_tiny_tensors_and_ties_come_back"
NAMES = "test_any_name_comes_back_or_is_refused_before_a_run_and_nothing_is_written_outside"
TRAINING = "test_a_training_state_comes_back_in_its_structure"
FOLDERS = "test_the_folders_above_may_have_any_name"
MEMORY = "test_loaded_tensors_are_in_memory_of_their_own_that_only_ties_share"
LOST = "test_a_lost_file_is_noticed"
FLIPPED = "test_a_flipped_bit_is_noticed"
KILLED = "test_after_a_kill_at_any_moment_a_load_gives_the_whole_model_or_raises"
FULL = "test_a_save_that_cannot_write_raises"
SNAPSHOT = "test_what_changes_after_the_stall_is_not_in_the_checkpoint"
TRIAL = "test_a_trial_measures_it"
SYNCED = "test_what_it_syncs_itself_is_on_the_device"
FILLED = "test_it_fills_as_much_memory_as_it_declares"
#: A method with a flaw -> the tests that must find it, and what they say of it.
FLAWS: dict[type[Method], dict[str, str]] = {
    unsound.DropsATensor: {DTYPES: "tensor .* is missing", TURNED: "tensor .* is missing"},
    unsound.Converts: {DTYPES: "'bfloat16.*' has other bits"},
    unsound.Unties: {DTYPES: "were tied and are no longer", MEMORY: "were tied and are no longer"},
    unsound.LosesStructure: {TRAINING: "'model', 'optimizer'"},
    unsound.ChangesTheModel: {DTYPES: "saving changed the model"},
    unsound.TurnsSquares: {GIVEN: "the save changed what it was given: tensor 'model/square' lies otherwise"},
    unsound.TakesTensorsOut: {GIVEN: "the save changed what it was given: 4 tensors are missing"},
    unsound.CutsAfter16MiB: {LARGE: "'large' has other bits, first at byte 16,777,216"},
    unsound.CountsTo1024: {TINY: "tensors are missing"},
    unsound.RefusesNothing: {REFUSED: r"isinstance\(None, UnavailableError\)"},
    unsound.RefusesPlainNames: {NAMES: "it refuses names that models have"},
    unsound.LosesSurrogates: {NAMES: "tensor .* is missing and tensor .* is not there before"},
    unsound.WritesOutside: {
        NAMES: "something was written outside",
        FOLDERS: "something was written outside",
        TRIAL: "the warm-up left something behind",
    },
    unsound.WritesWhereItWorks: {NAMES: "something was written outside"},
    unsound.TakesFoldersForUrls: {FOLDERS: "something was written outside"},
    unsound.LeavesAMapping: {MEMORY: "is still mapped from the checkpoint", TRIAL: "is still mapped from"},
    unsound.Remembers: {LOST: "is lost, and a load gives the model", FLIPPED: "nobody sees a flipped bit"},
    unsound.TakesWhatIsThere: {KILLED: "a load does not raise"},
    unsound.SwallowsErrors: {FULL: "a save that could not write returned"},
    unsound.TakesNoSnapshot: {SNAPSHOT: "has other bits"},
    unsound.FailsInSilence: {FULL: "a save that could not write returned"},
    unsound.PretendsToSync: {SYNCED: "some of it is not on the device"},
    unsound.HidesCopies: {
        FILLED: r"(?s)save_copies=0 .* write save_copies=1\.0.*load_copies=1 .* write load_copies=2\.0"
    },
    unsound.BoastsCopies: {
        FILLED: r"(?s)save_copies=1 .* write save_copies=0\.0.*load_copies=2 .* write load_copies=1\.0"
    },
    unsound.HidesItsPages: {FILLED: r"1[23]\d MB of 134 MB after a load, .*=0: write page_cache_copies=1\.0"},
    unsound.DropsItsPages: {FILLED: r"0 B of 134 MB after a load, .*=1: write page_cache_copies=0\.0"},
    unsound.MapsInSilence: {FILLED: r"write load_copies=2\.0, or Capabilities\(lazy_load=True\)"},
}


@pytest.fixture(scope="module")
def saver() -> Iterator[Saver]:
    with Saver(SEARCH) as saver:
        yield saver


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("disk", "elsewhere"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path / "disk"


def run(test: str, method: type[Method], disk: Path, saver: Saver, monkeypatch: pytest.MonkeyPatch) -> None:
    """One test of the suite on one method."""
    suite = MethodTests()
    suite.method = method
    function = getattr(suite, test)
    fixtures = {"disk": disk, "saver": saver, "monkeypatch": monkeypatch}
    function(**{name: fixtures[name] for name in inspect.signature(function).parameters})


@pytest.mark.parametrize(
    ("method", "test", "words"),
    [(method, test, words) for method, tests in FLAWS.items() for test, words in tests.items()],
    ids=lambda value: value.removeprefix("test_")[:24] if isinstance(value, str) else value.__name__,
)
def test_a_flaw_is_found(
    method: type[Method], test: str, words: str, disk: Path, saver: Saver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises((AssertionError, CkptTuiError, pytest.fail.Exception), match=words):
        run(test, method, disk, saver, monkeypatch)


@pytest.mark.parametrize("method", [unsound.Sound, unsound.Background])
def test_a_sound_method_passes(
    method: type[Method], tmp_path: Path, saver: Saver, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = {name for name in dir(MethodTests) if name.startswith("test_")}
    assert every == {test for tests in FLAWS.values() for test in tests}, "a test that finds no flaw proves nothing"
    for test in every - {SYNCED} - (set() if issubclass(method, AsynchronousMethod) else {SNAPSHOT}):
        for name in ("disk", "elsewhere"):
            (tmp_path / test / name).mkdir(parents=True)
        monkeypatch.chdir(tmp_path / test / "elsewhere")
        run(test, method, tmp_path / test / "disk", saver, monkeypatch)


def test_a_method_that_drops_its_pages_and_says_so_passes(
    disk: Path, saver: Saver, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(FILLED, unsound.SaysThatItDropsItsPages, disk, saver, monkeypatch)


@pytest.mark.parametrize(
    ("residency", "why"), [(None, "just written is not seen"), (Residency(MIB, MIB), "evicted is still seen")]
)
def test_a_page_cache_that_cannot_be_seen_is_told_and_nothing_is_concluded_from_it(
    residency: Residency | None, why: str, disk: Path, saver: Saver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pagecache, "residency", lambda folder: residency)
    with pytest.raises(pytest.skip.Exception, match=f"not checked: its page cache: a file that was {why}"):
        run(FILLED, unsound.HidesItsPages, disk, saver, monkeypatch)


@pytest.mark.parametrize(
    ("method", "limit_bytes", "end"),
    [
        ("tests.backends.unsound:Sound", None, "returned"),
        ("tests.backends.unsound:Sound", 4096, "raised"),
        ("tests.backends.unsound:HangsOnErrors", 4096, "hung"),
        ("faulty_methods:Segfaults", None, "crashed"),
        ("faulty_methods:Exits", None, "raised"),
        ("faulty_methods:NoSuchClass", None, "raised"),
        ("nonesuch", None, "raised"),
    ],
)
def test_a_save_in_a_child_ends_in_one_of_these_ways(
    method: str, limit_bytes: int | None, end: str, disk: Path, saver: Saver
) -> None:
    outcome = saver.do(Order(method, Plan(), str(disk), file_limit_bytes=limit_bytes, patience_s=1.5))
    assert outcome.end == end, saver.log()


def test_a_trial_without_a_result_says_why(disk: Path, saver: Saver) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)the trial of the save has no result: .*flux capacitor"):
        saver.measure(TrialOrder("faulty_methods:Raises", Plan(), str(disk / "checkpoint"), "save"))


def test_a_saver_that_dies_says_so(disk: Path) -> None:
    with Saver(SEARCH) as saver, pytest.raises(RuntimeError, match="the process that saves died"):
        saver.do(Order("faulty_methods:KillsWorker", Plan(), str(disk)))
