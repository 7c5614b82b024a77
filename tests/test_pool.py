"""The pool's decisions, without a socket: who gets a connection, who waits, what is closed."""

from __future__ import annotations

import threading
from time import monotonic
from typing import Any

import pytest
from hypothesis import HealthCheck, settings, strategies
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hither import Limits
from hither._pool import Lease, Pool, Waiter


class Parker:
    """Counts how often its waiter was woken."""

    def __init__(self) -> None:
        self.woken = 0

    def wake(self) -> None:
        self.woken += 1


class Connection:
    def __init__(self) -> None:
        self.closed = 0
        self.abandoned = 0

    def close(self) -> None:
        self.closed += 1

    def abandon(self) -> None:
        self.abandoned += 1


def new_pool(*limits: Any, **named: Any) -> Pool:
    return Pool(Limits(*limits, **named), threading.Lock(), Parker)


def opened(pool: Pool, key: str, now: float | None = None) -> Lease:
    """A lease that was given at once, with an open connection."""
    lease = pool.lease(key, monotonic() if now is None else now)
    assert isinstance(lease, Lease)
    if lease.connection is None:
        lease.connection = Connection()
    return lease


def waiting(pool: Pool, key: str) -> Waiter:
    waiter = pool.lease(key, monotonic())
    assert isinstance(waiter, Waiter)
    assert waiter.lease is None
    return waiter


class TestReuse:
    def test_an_idle_connection_is_given_again(self):
        pool = new_pool(2)
        first = opened(pool, "a")
        first.release(reusable=True)
        assert pool.size == (0, 1)
        assert pool.lease("a", monotonic()) is first
        assert pool.size == (1, 0)
        assert first.connection.closed == 0

    def test_what_is_not_reusable_is_closed_once_and_leaves_its_room(self):
        pool = new_pool(1)
        first = opened(pool, "a")
        connection = first.connection
        first.release(reusable=False)
        assert (connection.closed, first.connection, pool.size) == (1, None, (0, 0))
        assert opened(pool, "a") is not first

    def test_a_lease_that_was_never_opened_leaves_its_room(self):
        pool = new_pool(1)
        lease = pool.lease("a", monotonic())
        lease.release(reusable=False)
        assert pool.size == (0, 0)
        opened(pool, "b")

    def test_the_newest_is_used_first(self):
        pool = new_pool(3)
        leases = [opened(pool, "a") for _ in range(3)]
        for lease in leases:
            lease.release(reusable=True)
        assert [pool.lease("a", monotonic()) for _ in range(3)] == leases[::-1]

    def test_an_origin_gets_no_other_origins_connection(self):
        pool = new_pool(2)
        first = opened(pool, "a")
        first.release(reusable=True)
        second = opened(pool, "b")
        assert second is not first
        assert first.connection.closed == 0

    def test_origins_without_connections_are_forgotten(self):
        pool = new_pool(2)
        for number in range(100):
            opened(pool, f"host{number}").release(reusable=number % 2 == 0)
        assert len(pool._origins) <= 2

    def test_origins_of_cancelled_waiters_are_forgotten(self):
        pool = new_pool(1)
        busy = opened(pool, "a")
        for number in range(100):
            pool.cancel(waiting(pool, f"host{number}"))
        busy.release(reusable=True)
        assert set(pool._origins) == {"a"}
        assert pool._line == []


class TestEviction:
    def test_the_oldest_idle_makes_room_for_another_origin(self):
        pool = new_pool(3)
        leases = [opened(pool, key) for key in "abc"]
        connections = [lease.connection for lease in leases]
        for number in (1, 0, 2):
            leases[number].release(reusable=True)
        opened(pool, "d")
        assert [connection.closed for connection in connections] == [0, 1, 0]
        opened(pool, "e")
        assert [connection.closed for connection in connections] == [1, 1, 0]
        assert pool.size == (2, 1)

    def test_nothing_is_evicted_while_there_is_room(self):
        pool = new_pool(3)
        opened(pool, "a").release(reusable=True)
        opened(pool, "b")
        opened(pool, "c")
        assert pool.size == (2, 1)

    def test_an_idle_one_is_not_evicted_for_who_is_at_the_hosts_limit(self):
        pool = new_pool(2, 1)
        opened(pool, "a").release(reusable=True)
        opened(pool, "b")
        waiting(pool, "b")
        assert pool.size == (1, 1)

    def test_max_keepalive_drops_the_oldest(self):
        pool = new_pool(10, max_keepalive_connections=2)
        leases = [opened(pool, "a") for _ in range(4)]
        connections = [lease.connection for lease in leases]
        for lease in leases:
            lease.release(reusable=True)
        assert [connection.closed for connection in connections] == [1, 1, 0, 0]
        assert pool.size == (0, 2)

    def test_max_keepalive_of_none_at_all(self):
        pool = new_pool(10, max_keepalive_connections=0)
        lease = opened(pool, "a")
        connection = lease.connection
        lease.release(reusable=True)
        assert (connection.closed, pool.size) == (1, (0, 0))

    def test_max_keepalive_does_not_keep_it_from_who_waits(self):
        pool = new_pool(1, max_keepalive_connections=0)
        lease = opened(pool, "a")
        waiter = waiting(pool, "a")
        lease.release(reusable=True)
        assert waiter.lease is lease
        assert lease.connection.closed == 0


class TestExpiry:
    def test_an_expired_connection_is_closed_and_not_given(self):
        pool = new_pool(2, keepalive_expiry=10)
        now = monotonic()
        old = opened(pool, "a", now)
        connection = old.connection
        pool.release(old, now, True)
        assert pool.lease("a", now + 9.9) is old
        pool.release(old, now, True)
        new = pool.lease("a", now + 10)
        assert new is not old
        assert (connection.closed, pool.size) == (1, (1, 0))

    def test_the_other_expired_ones_go_with_it(self):
        pool = new_pool(10, keepalive_expiry=10)
        now = monotonic()
        leases = [opened(pool, key, now) for key in "abca"]
        connections = [lease.connection for lease in leases]
        for number, lease in enumerate(leases):
            pool.release(lease, now + number, True)
        pool.lease("a", now + 13)  # the newest of "a" has just expired, and so has all that is older
        assert [connection.closed for connection in connections] == [1, 1, 1, 1]

    def test_they_go_when_another_comes_back(self):
        """An origin that nobody asks for again does not keep its connection for ever."""
        pool = new_pool(10, keepalive_expiry=10)
        now = monotonic()
        forgotten, other = opened(pool, "a", now), opened(pool, "b", now)
        connection = forgotten.connection
        pool.release(forgotten, now, True)
        pool.release(other, now + 9, True)
        assert connection.closed == 0
        pool.release(pool.lease("b", now + 9), now + 11, True)
        assert connection.closed == 1
        assert pool.size == (0, 1)

    def test_at_once(self):
        pool = new_pool(10, keepalive_expiry=0)
        lease = opened(pool, "a")
        connection = lease.connection
        lease.release(reusable=True)
        assert (connection.closed, pool.size) == (1, (0, 0))

    def test_never(self):
        pool = new_pool(10, keepalive_expiry=None)
        now = monotonic()
        lease = opened(pool, "a", now)
        pool.release(lease, now, True)
        assert pool.lease("a", now + 1e9) is lease


class TestWaiting:
    def test_first_come_first_served_across_origins(self):
        pool = new_pool(1)
        lease = opened(pool, "a")
        line = [waiting(pool, key) for key in "bacab"]
        for place, waiter in enumerate(line):
            lease.release(reusable=True)
            assert waiter.lease is not None
            assert [later.lease for later in line[place + 1 :]] == [None] * (4 - place)
            lease = waiter.lease
            lease.connection = lease.connection or Connection()
        assert [waiter.parker.woken for waiter in line] == [1] * 5

    def test_an_open_connection_is_handed_on_as_it_is(self):
        pool = new_pool(1)
        lease = opened(pool, "a")
        waiter = waiting(pool, "a")
        lease.release(reusable=True)
        assert waiter.lease is lease
        assert (lease.connection.closed, pool.size) == (0, (1, 0))

    def test_for_another_origin_it_is_closed_and_its_room_given(self):
        pool = new_pool(1)
        lease = opened(pool, "a")
        connection = lease.connection
        waiter = waiting(pool, "b")
        lease.release(reusable=True)
        assert waiter.lease is not lease
        assert waiter.lease.connection is None
        assert connection.closed == 1

    def test_a_newcomer_does_not_overtake(self):
        pool = new_pool(1)
        lease = opened(pool, "a")
        first = waiting(pool, "b")
        newcomer = waiting(pool, "a")
        lease.release(reusable=True)
        assert (first.lease is not None, newcomer.lease) == (True, None)

    def test_a_failed_connection_leaves_its_room_to_the_next(self):
        pool = new_pool(1)
        lease = opened(pool, "a")
        waiter = waiting(pool, "a")
        lease.release(reusable=False)
        assert waiter.lease.connection is None
        assert waiter.parker.woken == 1

    def test_who_is_at_the_hosts_limit_holds_up_nobody(self):
        pool = new_pool(2, 1)
        a, b = opened(pool, "a"), opened(pool, "b")
        for_a, for_c = waiting(pool, "a"), waiting(pool, "c")
        b.release(reusable=False)
        assert (for_a.lease, for_c.lease is not None) == (None, True)
        a.release(reusable=True)
        assert for_a.lease is a

    def test_the_hosts_limit_is_its_own(self):
        pool = new_pool(None, 2)
        for key in "ab":
            opened(pool, key)
            opened(pool, key)
            waiting(pool, key)
        assert pool.size == (4, 0)

    def test_who_has_waited_longest_gets_the_room_when_the_hosts_limit_lets_it(self):
        pool = new_pool(2, 1)
        a, b = opened(pool, "a"), opened(pool, "b")
        line = [waiting(pool, "a"), waiting(pool, "c"), waiting(pool, "a")]
        a.release(reusable=False)
        assert line[0].lease is not None
        b.release(reusable=False)
        assert line[1].lease is not None
        assert line[2].lease is None

    def test_progress_is_noted_when_a_connection_comes_free_for_anyone(self):
        pool = new_pool(1)
        lease = opened(pool, "a")
        waiter = waiting(pool, "b")
        before = monotonic()
        lease.release(reusable=False)
        assert pool.progress >= before
        assert waiter.lease is not None


class TestCancelling:
    def test_a_cancelled_waiter_is_passed_over(self):
        pool = new_pool(1)
        lease = opened(pool, "a")
        line = [waiting(pool, "a") for _ in range(3)]
        pool.cancel(line[0])
        lease.release(reusable=True)
        assert [waiter.parker.woken for waiter in line] == [0, 1, 0]

    def test_a_lease_handed_to_who_no_longer_wants_it_goes_to_the_next(self):
        pool = new_pool(1)
        lease = opened(pool, "a")
        line = [waiting(pool, "a") for _ in range(2)]
        lease.release(reusable=True)
        assert line[0].lease is lease
        pool.cancel(line[0])
        assert line[1].lease is lease
        assert lease.connection.closed == 0

    def test_or_back_to_the_idle_ones(self):
        pool = new_pool(1)
        lease = opened(pool, "a")
        waiter = waiting(pool, "a")
        lease.release(reusable=True)
        pool.cancel(waiter)
        assert pool.size == (0, 1)
        assert pool.lease("a", monotonic()) is lease

    def test_unopened_room_goes_to_the_next(self):
        pool = new_pool(1)
        lease = opened(pool, "a")
        line = [waiting(pool, "b"), waiting(pool, "c")]
        lease.release(reusable=True)
        pool.cancel(line[0])
        assert line[1].lease is not None
        pool.cancel(line[1])
        assert pool.size == (0, 0)

    def test_all_of_an_origin_cancelled_hold_up_no_other(self):
        pool = new_pool(1)
        lease = opened(pool, "a")
        for waiter in [waiting(pool, "b") for _ in range(3)]:
            pool.cancel(waiter)
        last = waiting(pool, "c")
        lease.release(reusable=True)
        assert last.lease is not None


class TestClosing:
    def test_idle_ones_are_closed_and_those_in_use_are_not(self):
        pool = new_pool(3)
        idle, busy = opened(pool, "a"), opened(pool, "a")
        connection = idle.connection
        idle.release(reusable=True)
        pool.close()
        assert (connection.closed, busy.connection.closed, pool.size) == (1, 0, (1, 0))

    def test_what_comes_back_to_a_closed_pool_is_closed(self):
        pool = new_pool(3)
        busy = opened(pool, "a")
        connection = busy.connection
        pool.close()
        busy.release(reusable=True)
        assert (connection.closed, pool.size) == (1, (0, 0))

    def test_who_waits_while_it_closes_is_still_served(self):
        pool = new_pool(1)
        lease = opened(pool, "a")
        connection = lease.connection
        waiter = waiting(pool, "a")
        pool.close()
        lease.release(reusable=True)
        assert waiter.lease is lease
        waiter.lease.release(reusable=True)
        assert (connection.closed, pool.size) == (1, (0, 0))


class TestAbandoned:
    """After a fork the child lets go of everything; the parent's connections hear no word of it."""

    def test_the_idle_ones_are_returned_and_not_closed(self):
        pool = new_pool(2)
        idle = opened(pool, "a")
        idle.release(reusable=True)
        assert pool.abandon(threading.Lock()) == [idle]
        assert idle.connection.closed == 0
        assert pool.size == (0, 0)
        assert opened(pool, "a") is not idle

    def test_a_lease_of_before_is_let_go_of_without_a_word(self):
        pool = new_pool(1)
        before = opened(pool, "a")
        connection = before.connection
        pool.abandon(threading.Lock())
        after = opened(pool, "a")
        before.release(reusable=True)
        assert (connection.closed, connection.abandoned) == (0, 1)
        assert pool.size == (1, 0)
        after.release(reusable=True)
        assert pool.lease("a", monotonic()) is after

    def test_a_lock_that_another_thread_held_at_the_fork_is_no_hindrance(self):
        lock = threading.Lock()
        pool = Pool(Limits(1), lock, Parker)
        lock.acquire()
        pool.abandon(threading.Lock())
        opened(pool, "a").release(reusable=True)

    def test_a_waiter_of_before_takes_nothing_away(self):
        pool = new_pool(1)
        opened(pool, "a")
        waiter = waiting(pool, "a")
        pool.abandon(threading.Lock())
        after = opened(pool, "a")
        pool.cancel(waiter)
        next_one = waiting(pool, "a")
        after.release(reusable=True)
        assert next_one.lease is after


KEYS = strategies.sampled_from("abcd")


class Model(RuleBasedStateMachine):
    """Any order of events: never too many connections, no waiter asleep while there is room, first come first served."""

    @initialize(
        most=strategies.sampled_from([1, 2, 3, None]),
        per_host=strategies.sampled_from([None, 1, 2]),
        idle=strategies.sampled_from([None, 0, 1]),
        expiry=strategies.sampled_from([0, 5, None]),
    )
    def start(self, most: int | None, per_host: int | None, idle: int | None, expiry: float | None) -> None:
        self.limits = Limits(most, per_host, idle, expiry)
        self.pool = Pool(self.limits, threading.Lock(), Parker)
        self.held: list[tuple[str, Lease]] = []
        self.line: list[tuple[str, Waiter]] = []  # asleep, the longest first
        self.handed: list[tuple[str, Waiter]] = []  # woken, and not run on yet
        self.connections: list[Connection] = []
        self.now = monotonic()

    def open(self, key: str, lease: Lease) -> None:
        if lease.connection is None:
            lease.connection = Connection()
            self.connections.append(lease.connection)
        assert lease.connection.closed == 0
        self.held.append((key, lease))

    def after_event(self) -> None:
        """Whoever was woken has not overtaken anybody who might have had the connection."""
        for place, (key, waiter) in enumerate(self.line):
            if waiter.lease is None:
                continue
            for older_key, older in self.line[:place]:
                if older.lease is None:
                    assert older_key != key, "overtaken in the line of one origin"
                    assert self.is_full(older_key), "overtaken though its origin was below the limit"
        self.handed += [entry for entry in self.line if entry[1].lease is not None]
        self.line = [entry for entry in self.line if entry[1].lease is None]

    def leases(self, key: str) -> int:
        return sum(origin.leases for name, origin in self.pool._origins.items() if name == key)

    def is_full(self, key: str) -> bool:
        most = self.limits.max_connections_per_host
        return most is not None and self.leases(key) >= most

    @rule(key=KEYS)
    def ask(self, key: str) -> None:
        answer = self.pool.lease(key, self.now)
        if isinstance(answer, Waiter):
            assert answer.lease is None
            self.line.append((key, answer))
        else:
            self.open(key, answer)
        self.after_event()

    @precondition(lambda self: self.held)
    @rule(data=strategies.data(), reusable=strategies.booleans())
    def give_back(self, data: Any, reusable: bool) -> None:
        _, lease = self.held.pop(data.draw(strategies.integers(0, len(self.held) - 1)))
        self.pool.release(lease, self.now, reusable)
        self.after_event()

    @precondition(lambda self: self.handed)
    @rule()
    def run_on(self) -> None:
        key, waiter = self.handed.pop(0)
        self.open(key, waiter.lease)

    @precondition(lambda self: self.handed)
    @rule()
    def cancel_who_was_woken(self) -> None:
        self.pool.cancel(self.handed.pop(0)[1])
        self.after_event()

    @precondition(lambda self: self.line)
    @rule(data=strategies.data())
    def cancel_who_sleeps(self, data: Any) -> None:
        _, waiter = self.line.pop(data.draw(strategies.integers(0, len(self.line) - 1)))
        self.pool.cancel(waiter)
        assert waiter.parker.woken == 0
        self.after_event()

    @rule(seconds=strategies.sampled_from([1.0, 6.0]))
    def time_goes_by(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def never_too_many(self) -> None:
        if not hasattr(self, "pool"):
            return
        busy, idle = self.pool.size
        assert busy == len(self.held) + len(self.handed)
        assert busy + idle <= (self.limits.max_connections or 10**9)
        if self.limits.max_keepalive_connections is not None:
            assert idle <= self.limits.max_keepalive_connections
        for key in "abcd":
            assert self.leases(key) <= (self.limits.max_connections_per_host or 10**9)

    @invariant()
    def nobody_sleeps_while_there_is_room(self) -> None:
        if not hasattr(self, "pool"):
            return
        busy, idle = self.pool.size
        most = self.limits.max_connections
        room = most is None or busy < most  # an idle connection is room too
        for key, waiter in self.line:
            assert waiter.parker.woken == 0
            assert self.is_full(key) or not room, "asleep while there is room"
            assert not self.pool._origins[key].idle, "asleep beside an idle connection"
        for _, waiter in self.handed:
            assert waiter.parker.woken == 1

    @invariant()
    def what_is_open_is_in_use_or_idle(self) -> None:
        if not hasattr(self, "pool"):
            return
        kept = [lease.connection for _, lease in self.held]
        kept += [waiter.lease.connection for _, waiter in self.handed if waiter.lease.connection]
        kept += [lease.connection for lease in self.pool._idle]
        assert len(set(map(id, kept))) == len(kept)
        assert {id(c) for c in kept} == {id(c) for c in self.connections if not c.closed}
        assert all(connection.closed <= 1 for connection in self.connections)
        assert sum(len(origin.idle) for origin in self.pool._origins.values()) == len(self.pool._idle)

    def teardown(self) -> None:
        """Everybody goes home: nothing is left behind."""
        if not hasattr(self, "pool"):
            return
        while self.held or self.handed or self.line:
            while self.handed:
                self.run_on()
            assert self.held, "some wait, and nobody holds anything"
            self.pool.release(self.held.pop()[1], self.now, True)
            self.after_event()
        self.pool.close()
        assert self.pool.size == (0, 0)
        assert all(connection.closed == 1 for connection in self.connections)


Model.TestCase.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck), database=None
)
TestModel = pytest.mark.filterwarnings("default")(Model.TestCase)
