"""Every interleaving of deliveries at the boundaries of their effects, with a death and a failure at each of them.

A delivery is a coroutine that announces each effect and waits. The explorer chooses who goes on, and how: the effect takes
place; it is refused before it has taken place; it takes place and its answer is lost; the process dies. Whoever dies or
fails is delivered to again, as a broker does, until it has answered. What a delivery does next follows from what it has
observed, so a state is the world and everybody's observations: a state that was seen is not gone through twice, and the
exploration is complete within its number of faults. To die after something was read is to die before: only what changes
the world has a moment after it.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from eventing.errors import EventingError, StoreError

T = TypeVar("T")
GO, REFUSED, LOST, DIE, LATER = "goes on", "is refused", "loses the answer", "dies", "the lease passes"
Choice = tuple[str, int]
_READS = ("get ", "keys ")


class ViolationError(AssertionError):
    """An invariant does not hold."""


def holds(true: object, what: str) -> None:
    if not true:
        raise ViolationError(what)


class _Announced:
    def __init__(self, what: str) -> None:
        self.what = what

    def __await__(self) -> Generator[str, str, str]:
        return (yield self.what)


@dataclass
class Delivery:
    """One delivery of an event, from its first attempt until it is acknowledged."""

    begin: Callable[[Delivery], Coroutine[Any, Any, object]]
    number: int
    attempt: int = 0
    waits_at: str = ""
    observed: list[object] = field(default_factory=list)
    changed: bool = False  # whether its last effect changed the world
    answered: bool = False  # by a broken protocol: before its work is done
    acknowledged: bool = False
    notes: dict[str, Any] = field(default_factory=dict)  # of this attempt, for the invariants
    coroutine: Coroutine[Any, Any, object] | None = None

    def start(self) -> None:
        if self.coroutine is not None:
            self.coroutine.close()
        self.observed, self.notes, self.changed = [], {}, False
        self.coroutine = self._answered()
        self.waits_at = self.coroutine.send(None)

    async def _answered(self) -> None:
        await self.begin(self)
        await _Announced("answer 204")  # who dies here has done everything and told nobody

    async def effect(self, what: str, do: Callable[[], T], error: type[EventingError] = StoreError) -> T:
        """As `eventing.testing.effects.Effect`."""
        how = await _Announced(what)
        try:
            if how == REFUSED:
                raise error(what)
            value = do()
            self.changed = not what.startswith(_READS)
            if how == LOST:
                raise error(what)
        except EventingError:
            self.observed.append("error")
            raise
        self.observed.append(tuple(value) if isinstance(value, list) else value)
        return value


class World:
    """What deliveries share. A scenario's world adds what it has to show in `state`, and its invariants."""

    jumps = 0  # how often the lease may pass

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []
        self.current: Delivery | None = None

    def deliver(self, begin: Callable[[Delivery], Coroutine[Any, Any, object]]) -> None:
        self.deliveries.append(Delivery(begin, len(self.deliveries)))

    def state(self) -> object:
        raise NotImplementedError

    def jump(self) -> None:
        """Let the lease pass."""

    def failed(self, delivery: Delivery, died: bool) -> None:
        """An attempt has ended without an answer."""

    def acknowledged(self, delivery: Delivery) -> None:
        """The invariants of a delivery that was answered with 204."""

    def ended(self) -> None:
        """The invariants once every delivery is acknowledged."""


@dataclass
class Explored:
    states: int = 0
    transitions: int = 0  # from one state to the next: an effect, a death, a failure
    schedules: int = 0  # those that led to another end


@dataclass
class _Run:
    """One schedule, gone through from the beginning."""

    world: World
    deaths: int
    faults: int

    def choices(self) -> list[Choice]:
        found: list[Choice] = []
        for delivery in self.world.deliveries:
            if delivery.acknowledged:
                continue
            found.append((GO, delivery.number))
            if self.deaths and delivery.changed:
                found.append((DIE, delivery.number))
            if self.faults and delivery.waits_at != "answer 204":
                found.append((REFUSED, delivery.number))
                if not delivery.waits_at.startswith(_READS):
                    found.append((LOST, delivery.number))
        if self.world.jumps and found:
            found.append((LATER, -1))
        return found

    def take(self, choice: Choice) -> None:
        how, number = choice
        if how == LATER:
            self.world.jumps -= 1
            self.world.jump()
            return
        delivery = self.world.deliveries[number]
        self.deaths -= how == DIE
        self.faults -= how in (REFUSED, LOST)
        if how == DIE:
            self._again(delivery, died=True)
        else:
            self._go_on(delivery, how)

    def _go_on(self, delivery: Delivery, how: str) -> None:
        assert delivery.coroutine is not None
        self.world.current = delivery
        try:
            delivery.waits_at = delivery.coroutine.send(how)
        except StopIteration:
            delivery.acknowledged, delivery.observed = True, []
            self.world.acknowledged(delivery)
        except EventingError:
            self._again(delivery, died=False)

    def _again(self, delivery: Delivery, died: bool) -> None:
        if delivery.answered:  # nobody delivers it again
            delivery.acknowledged, delivery.observed = True, []
            return
        self.world.failed(delivery, died)
        delivery.attempt += 1
        delivery.start()

    def state(self) -> object:
        own = tuple(
            (d.acknowledged, d.waits_at, tuple(d.observed), d.changed, tuple(sorted(d.notes.items())))
            for d in self.world.deliveries
        )
        return hash((self.world.state(), own, self.deaths, self.faults, self.world.jumps))


def explore(make: Callable[[], World], deaths: int = 0, faults: int = 0) -> Explored:
    """Go through every schedule with at most so many deaths and failures.

    Raises:
        ViolationError: an invariant does not hold; with the schedule that shows it.
    """
    explored, seen = Explored(), set[object]()
    left: list[tuple[Choice, ...]] = [()]
    while left:
        path = list(left.pop())
        run = _Run(make(), deaths, faults)
        try:
            for delivery in run.world.deliveries:
                delivery.start()
            for choice in path:
                run.take(choice)
            while (state := run.state()) not in seen:
                seen.add(state)
                choices = run.choices()
                if not choices:
                    run.world.ended()
                    explored.schedules += 1
                    break
                explored.transitions += len(choices)
                left += [(*path, other) for other in choices[1:]]
                path.append(choices[0])
                run.take(choices[0])
        except ViolationError as error:
            raise ViolationError(f"{error}\n" + "\n".join(_told(run.world, path))) from error
        finally:
            for delivery in run.world.deliveries:
                if delivery.coroutine is not None:
                    delivery.coroutine.close()
    explored.states = len(seen)
    return explored


def _told(world: World, path: list[Choice]) -> list[str]:
    return [how if number < 0 else f"delivery {number} {how}" for how, number in path]
