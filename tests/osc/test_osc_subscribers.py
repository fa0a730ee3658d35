"""Subscriptions: who counts once, who lapses, and that nobody else is ever sent anything."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import limits
from bridge.osc.subscribers import Subscribers
from bridge.session.outside import RefusedError

MAX = ("127.0.0.1", 7400)
LIFE_NS = round(limits.SUBSCRIPTION_S * 1e9)


def test_events_go_to_the_port_that_was_named_on_the_senders_own_host():
    subscribers = Subscribers()
    assert subscribers.add(MAX, 7401, 0) == ("127.0.0.1", 7401)
    assert list(subscribers) == [("127.0.0.1", 7401)]
    assert subscribers.target_of(MAX) == ("127.0.0.1", 7401)
    assert MAX in subscribers
    assert ("127.0.0.1", 7401) in subscribers


def test_without_a_port_they_go_back_to_where_it_came_from():
    subscribers = Subscribers()
    subscribers.add(MAX, None, 0)
    assert list(subscribers) == [MAX]


def test_who_has_not_subscribed_is_answered_where_it_sent_from():
    assert Subscribers().target_of(MAX) == MAX
    assert MAX not in Subscribers()


def test_the_same_twice_counts_once():
    subscribers = Subscribers()
    for _ in range(3):
        subscribers.add(MAX, 7401, 0)
    subscribers.add(("127.0.0.1", 7402), 7401, 0)
    assert list(subscribers) == [("127.0.0.1", 7401)]


def test_a_sender_that_names_another_port_moves():
    subscribers = Subscribers()
    subscribers.add(MAX, 7401, 0)
    subscribers.add(MAX, 7402, 0)
    assert list(subscribers) == [("127.0.0.1", 7402)]


def test_sixteen_and_no_more():
    subscribers = Subscribers()
    for number in range(limits.MAX_SUBSCRIBERS):
        subscribers.add(("127.0.0.1", 5000 + number), None, 0)
    with pytest.raises(RefusedError) as caught:
        subscribers.add(MAX, None, 1)
    assert caught.value.code == 6
    assert MAX not in subscribers
    subscribers.add(("127.0.0.1", 5000), None, 1)  # who is there already may say so again
    subscribers.add(("127.0.0.1", 5001), 9000, 1)  # and may move
    assert len(subscribers) == limits.MAX_SUBSCRIBERS
    subscribers.add(MAX, None, LIFE_NS)  # the fourteen silent ones have lapsed
    assert len(subscribers) == 3


def test_one_that_shares_its_target_cannot_move_when_all_are_taken():
    subscribers = Subscribers()
    for number in range(limits.MAX_SUBSCRIBERS):
        subscribers.add(("127.0.0.1", 5000 + number), None, 0)
    subscribers.add(MAX, 5000, 0)
    with pytest.raises(RefusedError):
        subscribers.add(MAX, 9000, 0)
    assert subscribers.target_of(MAX) == ("127.0.0.1", 5000)


def test_it_lapses_60_s_after_the_senders_last_message():
    subscribers = Subscribers()
    subscribers.add(MAX, 7401, 0)
    subscribers.touch(MAX, 50 * 10**9)
    subscribers.touch(("127.0.0.1", 1), 80 * 10**9)
    subscribers.drop_lapsed(110 * 10**9 - 1)
    assert len(subscribers) == 1
    subscribers.drop_lapsed(110 * 10**9)
    assert len(subscribers) == 0
    assert subscribers.target_of(MAX) == MAX


def test_a_shell_that_speaks_from_a_new_port_each_time_is_one_subscriber_and_does_not_grow():
    subscribers = Subscribers()
    for port in range(1000, 3000):
        subscribers.add(("127.0.0.1", port), 9000, port)
    assert list(subscribers) == [("127.0.0.1", 9000)]
    assert len(subscribers._target_of) == limits.MAX_SENDERS_PER_SUBSCRIBER


def test_unsubscribing_leaves_nothing_behind():
    subscribers = Subscribers()
    subscribers.add(MAX, 7401, 0)
    subscribers.remove(MAX)
    subscribers.remove(MAX)
    assert (len(subscribers), len(subscribers._target_of)) == (0, 0)


def test_a_shared_target_stays_while_one_of_its_senders_does():
    subscribers = Subscribers()
    other = ("127.0.0.1", 7500)
    subscribers.add(MAX, 7401, 0)
    subscribers.add(other, 7401, 0)
    subscribers.remove(MAX)
    assert list(subscribers) == [("127.0.0.1", 7401)]
    assert MAX not in subscribers
    subscribers.remove(other)
    assert len(subscribers) == 0


senders = st.tuples(st.sampled_from(["127.0.0.1", "10.0.0.2", "10.0.0.3"]), st.integers(1, 12))
steps = st.lists(
    st.tuples(
        st.sampled_from(["add", "remove", "touch", "drop"]), senders, st.none() | st.integers(1, 30), st.integers(0, 40)
    ),
    max_size=80,
)


@given(steps)
def test_whatever_happens_only_hosts_that_asked_are_targets_and_the_tables_agree(program):
    subscribers = Subscribers()
    now_ns = 0
    asked = set()
    for what, sender, port, seconds in program:
        now_ns += seconds * 10**9
        if what == "add":
            asked.add(sender[0])
            try:
                subscribers.add(sender, port, now_ns)
                assert subscribers.target_of(sender) == (sender[0], port or sender[1])
            except RefusedError:
                assert len(subscribers) == limits.MAX_SUBSCRIBERS
        elif what == "remove":
            subscribers.remove(sender)
        elif what == "touch":
            subscribers.touch(sender, now_ns)
        else:
            subscribers.drop_lapsed(now_ns)
        targets = list(subscribers)
        assert len(targets) == len(set(targets)) <= limits.MAX_SUBSCRIBERS
        assert {host for host, _ in targets} <= asked
        assert set(subscribers._target_of.values()) == set(targets)
        named = [sender for target in subscribers._targets.values() for sender in target.senders]
        assert sorted(named) == sorted(subscribers._target_of)
