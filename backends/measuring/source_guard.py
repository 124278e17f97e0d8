"""What a save is given: changed as training would while an asynchronous one goes on, and compared when it is done."""

from collections.abc import Mapping
from typing import Final

import torch

from backends.nested import NestedStateDict, flatten
from backends.raw import DifferenceError, Form, form_of
from backends.tensors import StateDict, compare, compare_names
from state.errors import CkptTuiError

#: How much is changed of a tensor at either end, and of how many tensors: as many as a model of some billions of
#: weights has. It happens under the clock, where each takes microseconds: a model of 100,000 would wait too long.
_CHANGED_BYTES: Final = 4096
_CHANGED_TENSORS: Final = 256


class InputChangedError(CkptTuiError):
    """A save did not leave what it was given as it was."""

    def __init__(self, difference: str) -> None:
        super().__init__(
            f"the save changed what it was given: {difference}",
            "report it to the method's authors; a training run would not go on with what it had",
        )


class Given:
    """A state for a save.

    Args:
        state: The object that the method is given.
        nested: Whether that is dictionaries in dictionaries.
    """

    def __init__(self, state: NestedStateDict, *, nested: bool = False) -> None:
        self.state = state
        self._nested = nested
        self._tensors = self._flat()
        self._forms = {name: form_of(tensor, name) for name, tensor in self._tensors.items()}
        self._ends: list[torch.Tensor] = []
        self._turned_over = False

    def prepare_turning_over(self) -> None:
        """Make ready what `turn_over` takes, so that under the clock nothing but the change itself is left."""
        self._ends = ends(self._tensors)
        for _ in range(2):  # to and fro: the pages that it writes to become this process's own, which takes the longest
            self.turn_over()

    def turn_over(self) -> None:
        """Turn bits of the tensors over where they are. Once more, and they are as before."""
        for end in self._ends:
            end.bitwise_not_()
        self._turned_over = not self._turned_over

    def check(self, source: StateDict, device: torch.device) -> None:
        """See that the save left it as it was: the same objects in the same order, their forms, every bit.

        Args:
            source: What the tensors were made of, in memory that the save did not reach.
            device: Where they are.

        Raises:
            InputChangedError: At the first difference.
        """
        try:
            tensors = self._flat()
            self._compare_forms(tensors)
            if self._turned_over:
                self.turn_over()
            compare(tensors, source, device)
        except DifferenceError as difference:
            raise InputChangedError(str(difference)) from None

    def _flat(self) -> StateDict:
        try:
            return flatten(self.state) if self._nested else dict(self.state)
        except TypeError as error:
            raise DifferenceError(str(error)) from None

    def _compare_forms(self, tensors: Mapping[str, torch.Tensor]) -> None:
        compare_names(tensors, self._tensors)
        if list(tensors) != list(self._tensors):
            raise DifferenceError("the tensors stand in another order")
        for name, was in self._forms.items():
            title = f"tensor {name[:80]!r}"
            if tensors[name] is not self._tensors[name]:
                raise DifferenceError(f"{title} is another object")
            form = form_of(tensors[name], name)
            if form[:2] != was[:2]:
                raise DifferenceError(f"{title} is {form} and was {was}")
            for field, now, then in zip(Form._fields, form, was, strict=True):
                if now != then:
                    words = f"{field.replace('_', ' ')} {now} instead of {then}"
                    raise DifferenceError(f"{title} lies otherwise in memory: {words}")


def ends(tensors: Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
    """The first and the last bytes of tensors: of each once, or of some from the first to the last, evenly spread.

    Args:
        tensors: Contiguous. The same object under a second name is tied.

    Returns:
        Bytes (uint8) of the tensors' own memory, none of them twice.
    """
    unique = [tensor for tensor in {id(tensor): tensor for tensor in tensors.values()}.values() if tensor.nbytes]
    count = min(len(unique), _CHANGED_TENSORS)
    parts = []
    for number in range(count):
        content = unique[number * (len(unique) - 1) // max(1, count - 1)].detach().view(-1).view(torch.uint8)
        middle = min(_CHANGED_BYTES, len(content) // 2)
        parts += [content[:middle], content[max(middle, len(content) - _CHANGED_BYTES) :]]
    return parts
