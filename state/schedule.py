"""The trials of a run, in order."""

import random

import msgspec

from state.plan import LIMIT, OPERATIONS, Operation, Plan


class Trial(msgspec.Struct, frozen=True):
    """One entry of the schedule: the operation of a method, or of the limit, in a round."""

    round: int
    method: str
    operation: Operation


def schedule(plan: Plan) -> tuple[Trial, ...]:
    """All trials of a run in order: rounds of shuffled methods, each saved and then loaded.

    Shuffling spreads slow drifts of the machine over the methods; saving and loading stay together, so that one
    checkpoint at a time lies on the disk. The device's limit takes its turn somewhere among them in every round, so
    that it drifts as they do. The order follows from the plan's seed alone.
    """
    trials: list[Trial] = []
    for number in range(1, plan.repeats + 1):
        order = list(plan.methods)
        dice = random.Random(f"{plan.seed}/{number}")
        dice.shuffle(order)
        order.insert(dice.randint(0, len(order)), LIMIT)
        for method in order:
            trials += [Trial(number, method, operation) for operation in OPERATIONS]
    return tuple(trials)


def one_more_round(plan: Plan) -> Plan:
    """The plan with another round; the schedule of the rounds before stays as it is."""
    return msgspec.structs.replace(plan, repeats=plan.repeats + 1)
