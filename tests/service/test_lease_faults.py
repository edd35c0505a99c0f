"""The lease while S3 loses answers, goes away, or carries a request out too late."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from kizami.commit import LockTiming
from kizami.errors import CommitStateUnknownError, LockLostError
from kizami.stores.s3 import S3Patience, S3Store
from support.faulty_s3 import FaultyStore
from support.publishing import LATEST, SHORT_S3, head, pointer, read, take, take_over

pytestmark = pytest.mark.s3
BRIEF = S3Patience(attempts=2, connect_seconds=1, read_seconds=1, bulk_read_seconds=1)


def test_lost_answers_publish_exactly_once(faulty_s3: FaultyStore) -> None:
    """Every write of a run loses its first answer, so that each retry meets its own traces; still one commit."""
    proxy = faulty_s3.proxy
    lost = [
        proxy.drop_answer("PUT", r"head\.json$", body=rb'"commit": null'),
        proxy.drop_answer("PUT", r"head\.json$", body=rb'"settled": false'),
        proxy.drop_answer("PUT", r"dates/.*\.json$"),
        proxy.drop_answer("PUT", r"latest\.json$"),
        proxy.drop_answer("PUT", r"head\.json$", body=rb'"settled": true'),
        proxy.drop_answer("PUT", r"head\.json$", body=rb'"holder": null'),
    ]
    store = S3Store(faulty_s3.url)
    with take(store, "run-1", LockTiming()) as lease:
        assert lease.commit(pointer("s1")) == pointer("s1", commit=1)
    assert [rule.hits for rule in lost] == [1] * 6
    final = head(store)
    assert (final.commits, final.holder, final.unfinished) == (1, None, None)
    assert read(store, LATEST) == pointer("s1", commit=1)


def test_a_store_that_goes_away_at_the_commit_leaves_it_in_doubt(faulty_s3: FaultyStore) -> None:
    """The commit was carried out, its answer and every later request lost: exit 69 soon; the next run finishes it."""
    store = S3Store(faulty_s3.url, BRIEF)
    lease = take(store, "run-1", SHORT_S3)
    held = faulty_s3.proxy.hold_answer("PUT", r"head\.json$", body=rb'"settled": false')
    with ThreadPoolExecutor(1) as pool:
        began = time.monotonic()
        commit = pool.submit(lease.commit, pointer("s1"))
        held.await_reached()
        while not any(b'"settled": false' in request.body for request in faulty_s3.proxy.carried_out):
            time.sleep(0.01)
        faulty_s3.proxy.refuse()
        held.release(drop=True)
        with pytest.raises(CommitStateUnknownError) as caught:
            commit.result(30)
    assert time.monotonic() - began < 15
    assert caught.value.exit_code == 69
    lease.release()
    faulty_s3.proxy.clear()
    faulty_s3.proxy.accept()
    successor, dead = take_over(store, "run-2", SHORT_S3)
    assert dead.run == "run-1"
    assert successor.predecessor == pointer("s1", commit=1)
    successor.release()


def test_a_commit_held_back_past_a_takeover_is_refused(faulty_s3: FaultyStore) -> None:
    """A commit request that reaches the store after somebody took over changes nothing."""
    store = S3Store(faulty_s3.url, S3Patience(read_seconds=30))
    old = take(store, "run-1", SHORT_S3)
    held = faulty_s3.proxy.hold("PUT", r"head\.json$", body=rb'"settled": false')
    with ThreadPoolExecutor(1) as pool:
        commit = pool.submit(old.commit, pointer("late"))
        held.await_reached()
        new, dead = take_over(store, "run-2", SHORT_S3)
        held.release()
        with pytest.raises(LockLostError):
            commit.result(30)
    assert dead.run == "run-1"
    assert new.commit(pointer("s2")).commit == 1
    new.release()
    old.release()
