"""The lock of a corpus while a run holds it: a thread that beats, and the commit that only a holder can make."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from types import TracebackType
from typing import Final, TypeVar

from kizami import protocol
from kizami.catalogue import Catalogue
from kizami.commit import Commit, Holder
from kizami.conversation import Operation, Steps, Writing, perform
from kizami.errors import KizamiError, LockLostError
from kizami.pointer import Pointer
from kizami.protocol import Hold, Place
from kizami.stores.base import ObjectStore
from kizami.survey import survey, tidy

_log: Final = logging.getLogger(__name__)
_HURRIED_SECONDS: Final = 5.0
Result = TypeVar("Result")


class Lease:
    """A lock that this process holds. Made by :meth:`take`; a context manager that gives the lock back.

    Its methods may be called from any thread, one at a time.
    """

    predecessor: Pointer | None
    """``latest`` when the lock was taken, a dead run's unfinished commit included; None before the first snapshot."""
    dead: Holder | None
    """The holder whose place was taken because it had expired."""
    last_commit: Commit | None
    """The last commit before this lease: whether a dead run died before or after its commit can be seen here."""

    def __init__(
        self,
        store: ObjectStore,
        place: Place,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._place = place
        self._sleep = sleep
        self._clock = clock
        self._mutex = threading.Lock()  # around every write of head.json: its etags are one chain
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._loss: str | None = None
        self._finished = 0  # number of the last commit whose pointers this process has seen written
        self._sent = self._renewed = clock()
        self._patience = math.inf  # seconds to wait for the thread that beats
        self.is_committing = False
        """Whether it is about to commit, or to let readers see a commit."""
        self.is_given_back = False
        self._hold: Hold

    @classmethod
    def take(
        cls,
        store: ObjectStore,
        corpus: str,
        holder: Holder,
        *,
        on_takeover: Callable[[Holder], None],
        sleep: Callable[[float], None] = time.sleep,
        schema: int = 1,
    ) -> Lease:
        """Take the lock, finish an unfinished commit, and start to beat.

        A lock whose holder has missed two beats is waited for until it beats again or expires. ``on_takeover`` is told
        of a holder that had expired, after its commit was finished. Raises LockHeldError, and whatever ``on_takeover``
        raises, the lock given back.
        """
        if holder.corpus != corpus:
            raise ValueError(f"the holder is for {holder.corpus}, not {corpus}")
        lease = cls(store, Place(corpus, schema), sleep=sleep)
        taken = lease._perform(protocol.take(lease._place, holder))
        lease._hold, lease.dead, lease.last_commit = taken.hold, taken.dead, taken.hold.head.commit
        lease._renewed = lease._sent
        lease._thread = threading.Thread(target=lease._keep_beating, name=f"kizami-lease-{corpus}", daemon=True)
        lease._thread.start()
        try:
            lease._finish()
            lease.predecessor = lease.survey()
            if lease.dead:
                on_takeover(lease.dead)
        except BaseException:
            lease.release()
            raise
        return lease

    @property
    def holder(self) -> Holder | None:
        """The holder as ``head.json`` had it last."""
        return self._hold.head.holder

    @property
    def settled(self) -> bool:
        """Whether ``head.json`` says that the last commit is finished.

        If not, remove no date's pointer: the next holder would bring it back.
        """
        return self._hold.head.unfinished is None

    def check(self) -> None:
        """Raise LockLostError if another holder was found, or no beat succeeded for 60 of the 90 s of expiry."""
        if self._loss is None and (silence := self._clock() - self._renewed) > self._silence_limit:
            self._loss = (
                f"this run could not renew its lock of {self._place.corpus} for {silence:.0f} s and stopped: "
                "see to the store and this machine, then start the run again"
            )
        if self._loss is not None:
            raise LockLostError(self._loss)

    @property
    def loss(self) -> LockLostError | None:
        """What ``check`` raises, if it does."""
        try:
            self.check()
        except LockLostError as error:
            return error
        return None

    @property
    def catalogue(self) -> Catalogue:
        """What was published so far, and what became of it."""
        return self._hold.head.catalogue

    def commit(self, pointer: Pointer, others: Collection[int] = ()) -> Pointer:
        """Publish: commit n+1 into ``head.json``, then the date's pointer and ``latest.json``; and those of ``others``,
        major versions in which the snapshot is there under the same name.

        ``pointer.commit`` is not looked at; the pointer returned has the number. Raises LockLostError if nothing was
        published; CommitStateUnknownError if it may be, or is without readers seeing it: the next holder finishes it.
        Any other error: nothing was published.
        """
        if (pointer.corpus, pointer.schema) != (self._place.corpus, self._place.schema):
            raise ValueError(f"the pointer is for {pointer.corpus}, schema {pointer.schema}, not {self._place}")
        return replace(pointer, commit=self._commit(lambda hold: protocol.publish(self._place, hold, pointer, others)))

    def roll_back(self, snapshot: str) -> Pointer:
        """Let ``latest`` name a snapshot of the catalogue, and withdraw what is newer; the new pointer is returned.

        A commit like any other, with :meth:`commit`'s errors. Raises ValueError for a snapshot that is not there.
        """
        publication = self.catalogue.find(snapshot)
        if publication is None:
            raise ValueError(f"{snapshot} is no publication")
        n = self._commit(lambda hold: protocol.roll_back(self._place, hold, snapshot))
        return replace(publication.pointer, commit=n)

    def take_down(self, copies: Mapping[str, Pointer]) -> Pointer:
        """Put copies, by the snapshot each was made of, in the place of what was published; the originals are doomed.

        One commit like any other, with :meth:`commit`'s errors; what ``latest`` names now is returned. Raises
        ValueError where nothing is published.
        """
        if self.predecessor is None:
            raise ValueError("nothing is published")
        latest = self.predecessor
        n = self._commit(lambda hold: protocol.take_down(self._place, hold, latest, copies))
        return replace(copies.get(latest.snapshot, latest), commit=n)

    def record(self, change: Callable[[Catalogue], Catalogue]) -> Catalogue:
        """Change the catalogue; the new one is returned. Raises LockLostError, UnavailableError.

        ``change`` may be applied to its own result.
        """
        self._finish()
        with self._exclusively():
            return self._written(protocol.record(self._place, self._hold, change)).head.catalogue

    def survey(self) -> Pointer | None:
        """Bring ``dates/`` and the catalogue into agreement; return ``latest``. Raises LockLostError, UnavailableError.

        Pointers of dates that show nothing are removed, unknown ones adopted. A date that has lost its pointer
        otherwise does not get it back. Where pointers are of later commits than ``head.json`` knows of, it was lost or
        restored from a backup, and goes on from them.
        """
        self.check()
        found = self._perform(survey(self._place, self._hold.head))
        if found.commits > self._hold.head.commits:
            with self._exclusively():
                self._written(protocol.catch_up(self._place, self._hold, found.commits))
            _log.warning("head.json of %s was behind the pointers: it goes on from them", self._place.corpus)
            found = self._perform(survey(self._place, self._hold.head, all_dates=True))
        self._perform(tidy(found.strays))
        if found.unknown:
            self.record(lambda catalogue: catalogue.with_adopted(found.unknown))
        return found.latest

    def _commit(self, conversation: Callable[[Hold], Steps[Hold]]) -> int:
        """Make a commit and write its pointers; the commit's number."""
        self.is_committing = True
        try:
            return self._commit_and_point(conversation)
        finally:
            self.is_committing = False

    def _commit_and_point(self, conversation: Callable[[Hold], Steps[Hold]]) -> int:
        self._finish()
        with self._exclusively():
            n = self._hold.head.commits + 1
            found = self._written(conversation(self._hold)).head.commit
        try:
            self.check()  # who takes over finishes it; after a long stop we would bring back what was removed since
            if found is not None and found.n == n:  # else others have committed since, after they had finished ours
                self._perform(protocol.finish(self._place, found))
                self._finished = n
            self._record()
        except LockLostError:
            _log.warning("commit %d of %s is made, but the lock was lost after that", n, self._place.corpus)
        return n

    def hurry(self) -> None:
        """The process is to end: from now on neither the lock nor its store is waited for long."""
        self._store.hurry()
        self._patience = _HURRIED_SECONDS

    def release(self) -> None:
        """Stop beating and give the lock back. Never raises: a lock that cannot be given back expires."""
        if self._stop.is_set():
            return
        self._stop.set()
        try:
            with self._exclusively():
                if self._to_settle():
                    self._written(protocol.settle(self._place, self._hold))
                self._perform(protocol.release(self._place, self._hold))
            self.is_given_back = True
        except KizamiError as error:
            _log.warning("the lock of %s was not given back: %s", self._place.corpus, error)
        if self._thread:
            self._thread.join(min(self._silence_limit, self._patience))

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    @property
    def _silence_limit(self) -> float:
        holder = self._hold.head.holder
        return holder.timing.silence_seconds if holder else 0.0

    def _finish(self) -> None:
        """Write the pointers of an unfinished commit (outside the mutex: beats go on) and record that they stand."""
        commit = self._hold.head.unfinished
        if commit is None:
            return
        if self._finished < commit.n:
            self._perform(protocol.finish(self._place, commit))
            self._finished = commit.n
        self._record()

    def _record(self) -> None:
        with self._exclusively():
            if self._to_settle():
                try:
                    self._written(protocol.settle(self._place, self._hold))
                except LockLostError:
                    raise
                except KizamiError as error:
                    # The pointers stand; the next beat records it.
                    _log.warning(
                        "commit %d of %s is not recorded as finished yet: %s", self._finished, self._place.corpus, error
                    )

    def _to_settle(self) -> bool:
        commit = self._hold.head.unfinished
        return commit is not None and commit.n == self._finished

    def _keep_beating(self) -> None:
        holder = self._hold.head.holder
        pause = holder.beat_seconds if holder else 0.0
        while not self._stop.wait(max(0.0, self._renewed + pause - self._clock())):
            try:
                with self._mutex:
                    if self._stop.is_set() or self._loss:
                        return
                    renewal = protocol.settle if self._to_settle() else protocol.beat
                    self._written(renewal(self._place, self._hold))
            except LockLostError as error:
                _log.error("%s", error)
                return
            except KizamiError as error:
                _log.warning("a beat for the lock of %s failed: %s", self._place.corpus, error)
                self._stop.wait(pause / 3)
            except Exception as error:
                # Without beats somebody else will take over: better to stop now than to find out at the commit.
                self._loss = f"the lock of {self._place.corpus} is no longer renewed, by a bug: {error!r}"
                _log.exception("beating ended")
                return

    @contextmanager
    def _exclusively(self) -> Iterator[None]:
        """No beat meanwhile. Raises LockLostError if the lock is lost, or a beat hangs until it counts as lost."""
        self.check()
        left = max(0.0, self._renewed + self._silence_limit - self._clock())
        if not self._mutex.acquire(timeout=min(left, self._patience) + 0.05):
            self.check()
            raise LockLostError(f"the lock of {self._place.corpus} could not be renewed: start the run again")
        try:
            self.check()
            yield
        finally:
            self._mutex.release()

    def _written(self, steps: Steps[Hold]) -> Hold:
        """Run a conversation that writes ``head.json``, and keep what it found. Only within the mutex."""
        mine = self._hold.head.holder
        try:
            hold = self._perform(steps)
        except LockLostError as error:
            self._loss = str(error)
            raise
        if mine and mine.is_same(hold.head.holder):
            self._hold, self._renewed = hold, self._sent
        else:
            self._loss = f"another run took over the lock of {self._place.corpus}: this one does nothing more"
        return hold

    def _perform(self, steps: Steps[Result]) -> Result:
        return perform(steps, self._store, self._sleep, self._note)

    def _note(self, operation: Operation) -> None:
        # A beat counts from when it was sent: the store cannot have dated it earlier than that.
        if isinstance(operation, Writing) and operation.key == self._place.head_key:
            self._sent = self._clock()
