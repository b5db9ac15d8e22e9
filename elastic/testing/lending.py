"""A simulated worker's part in lending State while the group trains (PROTOCOL S9)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from elastic import audit, control
from elastic.collectives import core as mailbox
from elastic.testing.payloads import Feed, Lent, Note, Result
from elastic.training import commands as do
from elastic.training import events as ev

if TYPE_CHECKING:
    from elastic.testing.worker import SimulatedWorker

__all__ = ["Loans"]


class Loans:
    """What a worker has lent, and what was lent to it."""

    def __init__(self, worker: SimulatedWorker):
        self.worker = worker
        self._to: dict[str, str] = {}
        """Newcomers that were lent State, and their addresses."""
        self._feeders: dict[str, str] = {}
        """Members that fed this one, and their addresses."""
        self.renamed()

    def renamed(self) -> None:
        """Forget what was lent to the member that this worker was."""
        self._of = 0
        self._shares: dict[int, Lent] = {}
        self._sources: dict[str, str] = {}
        self._feeder = ""
        """Known when a whole copy is here."""
        self._early: list[Feed] = []
        """Results that came before."""

    # -- a member ------------------------------------------------------------------------------

    def lend(self, command: do.Lend) -> None:
        """Send State as it is now; shares of a toy are whole."""
        worker, s = self.worker, self.worker.training
        for each in command.newcomers:
            self._to[each.id] = each.address
            head = (s.generation, each.id, s.rank, len(s.ids), s.ids[0], worker.address)
            self._send(each.id, Lent(*head, command.step, s.lineage, worker.state))

    def feed(self, ids: tuple[str, ...]) -> None:
        """Send the result of the step just reduced or applied."""
        newest = self.worker.reduced or self.worker.last
        for id in ids:
            self._send(id, Feed(self.worker.training.generation, id, newest))

    def end(self, ids: tuple[str, ...], broken: bool) -> None:
        """End feeds; the generation may be over, and theirs is told by what went before."""
        for id in ids:
            self._send(id, Feed(0, id, None, broken))

    def _send(self, id: str, message: Any) -> None:
        self.worker.around.network.send(self.worker, self._to[id], message)

    # -- a newcomer ----------------------------------------------------------------------------

    def receive(self, message: Any) -> None:
        """Take what a member, or a newcomer, sends beside all rounds."""
        if isinstance(message, Note):
            said = ev.NewcomerAt(message.generation, message.source, message.step)
            self.worker.inbox.append(said)
        elif message.member == self.worker.id:
            if isinstance(message, Lent):
                self._gather(message)
            elif message.result and not self._feeder:
                self._early.append(message)
            elif message.result or self._sources:
                self.worker.inbox.append(message)
        self.worker.look()

    def _gather(self, share: Lent) -> None:
        if share.generation > self._of:
            self.renamed()
            self._of = share.generation
        if share.generation < self._of:
            return
        self._sources[share.feeder if share.share == 0 else f"rank {share.share}"] = share.address
        if share.share == 0:
            self._feeders[share.feeder] = share.address
        self._shares[share.share] = share
        if len(self._shares) == share.shares:
            first, *others = self._shares.values()
            assert all(
                (o.step, o.lineage, o.state) == (first.step, first.lineage, first.state)
                for o in others
            )
            self._feeder = share.feeder
            self.worker.inbox.extend([first, *self._early])
            self._early = []

    def lose(self, address: str) -> None:
        """A connection broke: that matters as long as State is not whole, or from the feeder."""
        if address not in self._sources.values():
            return
        if not self._feeder or self._sources[self._feeder] == address:
            self.worker.inbox.append(Feed(self._of, self.worker.id, None, broken=True))
            self.worker.look()

    def event(self, message: Any) -> Any:
        """Return what the core is told of a message; None: nothing."""
        if isinstance(message, Lent):
            self._copy = message
            return ev.Offered(message.generation, message.step, message.feeder, {})
        if message.result is not None:
            self._result = message.result
            return ev.Fed(message.generation, message.result.step)
        return ev.FeedLost(self._of) if message.broken else None

    def restore(self) -> ev.Copied:
        """Make the copy this worker's State."""
        self.worker.forget()
        self.worker.state = self._copy.state
        self.worker.around.judge.lent_copy(self.worker, self._copy.step, self._copy.lineage)
        return ev.Copied(self._copy.step, self._copy.lineage)

    def replay(self, lineage: str) -> ev.Copied:
        """Apply the result that has come."""
        worker, result = self.worker, self._result
        after = audit.chain(lineage, result.step, result.leaves)
        worker.state = worker.around.job.apply(worker.state, result.total, result.step)
        worker.last = result
        worker.around.judge.replayed(worker, result.step, after)
        return ev.Copied(result.step, after)

    def report(self, command: do.Report) -> None:
        """Tell the feeder, or all who have lent State if that was in vain."""
        copy = self.worker.training.copy
        note = Note(copy.generation if copy else self._of, self.worker.id, command.step)
        addresses = [self._feeders[copy.feeder]] if copy else list(self._sources.values())
        for address in addresses:
            self.worker.around.network.send(self.worker, address, note)

    def catch_up(self, command: do.CatchUp) -> Any:
        """Replay what is here; return the event of the end, None while more is to come."""
        worker = self.worker
        if worker.mail.phase is mailbox.Phase.BROKEN:
            return ev.Interrupted()
        now = self._now or ev.Copied(worker.training.applied, worker.training.lineage)
        for message in [m for m in worker.inbox if isinstance(m, Feed)]:
            worker.inbox.remove(message)
            if message.result is None:
                self._suspect()
            elif message.result.step == now.step + 1 <= command.step:
                self.event(message)
                now = self.replay(now.lineage)
        self._now = now if now.step < command.step else None
        assert self._now or now.lineage == command.lineage
        return None if self._now else now

    _now: ev.Copied | None = None
    _copy: Lent
    _result: Result

    def _suspect(self) -> None:
        s = self.worker.training
        assert s.copy is not None
        reason = "its feed has ended"
        now = self.worker.around.clock.now
        self.worker.tell(control.Suspect(s.generation, s.copy.feeder, reason, now))
