"""Real training loops in threads of one process, with a fake network and a fake agent.

Random streams and the hooks' open group are global to a process, so no two members run at once:
each runs until it waits, and takes the globals with it. Who runs next is the test's to say (a
seed), so the same seed gives the same story.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random
from typing import Any

import numpy as np

import elastic.tensor as torch
import elastic.tensor.nn.functional as F
from elastic import control
from elastic.audit import Verifier
from elastic.collectives.frames import as_bytes
from elastic.collectives.operations import Blob, Operations
from elastic.data import DataLoader, TensorDataset
from elastic.errors import Aborted
from elastic.tensor import nn, optim
from elastic.training import groups, randomness
from elastic.training.evaluation import evaluate
from elastic.training.identity import Identity
from elastic.training.link import Inbox
from elastic.training.loop import Loop
from elastic.training.options import Options, make_options
from elastic.training.result import Result
from elastic.training.standing import Standing
from elastic.training.state import State
from elastic.training.steps import Steps
from elastic.world import Member

PATIENCE_S = 20


class Killed(BaseException):
    """SIGKILL: no handler of the loop sees it."""


class Actor:
    """A thread that runs only between `turn` and its next wait."""

    def __init__(self, act: Callable[[], Any]):
        self._act = act
        self._go, self._still = threading.Semaphore(0), threading.Semaphore(0)
        self._wants: Callable[[], Any] = lambda: True
        self._streams, self._open = randomness.capture(), []
        self.killed = self.over = False
        self.result: Any = None
        self.error: BaseException | None = None
        threading.Thread(target=self._run, daemon=True).start()

    @property
    def can_go_on(self) -> bool:
        """Whether it would get anywhere."""
        return not self.over and (self.killed or bool(self._wants()))

    def turn(self) -> None:
        """Let it run until it waits or ends."""
        outside, groups._open[:] = randomness.capture(), self._open
        randomness.restore(self._streams)
        self._go.release()
        assert self._still.acquire(timeout=PATIENCE_S), "a member hangs without waiting"
        self._streams, self._open = randomness.capture(), list(groups._open)
        groups._open.clear()
        randomness.restore(outside)

    def wait(self, wants: Callable[[], Any]) -> None:
        """Stand still until `wants()`; from its own thread."""
        while not wants() or self.killed:
            self._wants = wants
            self._still.release()
            self._go.acquire()
            if self.killed:
                raise Killed

    def _run(self) -> None:
        self._go.acquire()
        try:
            if not self.killed:
                self.result = self._act()
        except BaseException as error:  # noqa: BLE001 - the test asks for it
            self.error = error
        self.over = True
        self._still.release()


class FakeGroup(Operations):
    """What `collectives.Group` is to a loop: rounds behind a fence of generations."""

    def __init__(self, address: str, network: dict[Any, list[Any]]):
        self.address = address
        self.generation, self.closed = 0, False
        self.rank, self.size = 0, 0
        self._network = network
        self._fence: tuple[int, str] = (0, "")
        self._round = 0
        self.cut_off: set[str] = set()
        """Addresses that its messages do not reach: it dies while it sends."""
        self.trap: Callable[[str], None] = lambda tag: None
        """Called at the beginning of each round."""
        self.actor: Actor

    def rename(self, id: str) -> None:
        """Messages are addressed to `address`."""

    def enter(self, generation: int, members: tuple[Member, ...], rank: int) -> None:
        """Move to a new generation."""
        assert generation > self.generation, "a generation is entered once"
        self.generation, self.members, self.rank = generation, members, rank
        self.size, self._round = len(members), 0

    def interrupt(self, generation: int, reason: str) -> None:
        """End every wait until `generation` is entered."""
        self._fence = max(self._fence, (generation, reason))

    def close(self) -> None:
        """Nothing is open."""
        self.closed = True

    def round(
        self, tag: str, outgoing: Mapping[int, Sequence[Blob]], expect: Iterable[int]
    ) -> dict[int, list[Any]]:
        """Exchange blobs; what has arrived is delivered even if the generation is over."""
        self.trap(tag)
        self._check()
        self._round += 1
        place = (self.generation, self._round, tag)
        for rank, blobs in outgoing.items():
            address = self.members[rank].address
            if address not in self.cut_off:
                sent = [memoryview(bytearray(as_bytes(blob))) for blob in blobs]
                self._network[place, self.address, address] = sent
        keys = {rank: (place, self.members[rank].address, self.address) for rank in expect}
        self.actor.wait(lambda: self._is_over or all(key in self._network for key in keys.values()))
        if not all(key in self._network for key in keys.values()):
            self._check()
        return {rank: self._network.pop(key) for rank, key in keys.items()}

    @property
    def _is_over(self) -> bool:
        return self._fence[0] > self.generation

    def _check(self) -> None:
        if self._is_over:
            raise Aborted(self._fence[1], generation=self._fence[0])


class FakeLink:
    """A worker's link: what it says is heard at once, what it is told waits in the inbox."""

    def __init__(self, hear: Callable[[Any], None]):
        self.inbox = Inbox()
        self.send = hear
        self._urgent: Callable[[Any], None] = lambda message: None

    def start(self, urgent: Callable[[Any], None]) -> None:
        """Remember who wants to know first."""
        self._urgent = urgent

    def tell(self, message: Any) -> None:
        """What the agent says."""
        self.inbox.put(message)
        self._urgent(message)


class Worker:
    """One process: its loop, and what its agent knows of it."""

    def __init__(self, crew: Crew, number: int, options: Options, identity: Identity):
        self.crew, self.address = crew, f"host{number}:1"
        self.id, self.outside = "", True
        self.said: list[Any] = []
        self.lines: list[dict[str, Any]] = []
        self.audit = Verifier()
        self.link = FakeLink(lambda message: crew.hear(self, message))
        self.group = FakeGroup(self.address, crew.network)
        steps = Steps(options.state, options.loader, options.pairs, options.drift_every)
        self.state = options.state
        self.loop = Loop(options, steps, self.link, self.group, identity)
        self.actor = self.group.actor = Actor(self.loop.run)
        self.link.inbox.get = self._get  # type: ignore[method-assign]

    def _get(self) -> Any:
        inbox = self.link.inbox
        self.actor.wait(lambda: inbox._messages)
        return inbox._messages.popleft()

    @property
    def standing(self) -> Standing:
        """Where its core stands."""
        return self.loop.context.standing

    @property
    def result(self) -> Result:
        """What `elastic.train` would return."""
        if self.actor.error is not None:
            raise self.actor.error
        return self.actor.result

    def events(self, kind: str) -> list[dict[str, Any]]:
        """What it told of this kind."""
        told = [m for m in self.said if isinstance(m, control.Event) and m.event == kind]
        return [event.fields for event in told]


class Crew:
    """The agent and the store of a job, and its workers.

    Each worker has an agent of its own in its Member, so each writes a whole audit.
    """

    def __init__(self, seed: int = 0, min_workers: int = 1):
        self.rng, self.min_workers = Random(seed), min_workers
        self.mixed = False
        self.network: dict[Any, list[Any]] = {}
        self.workers: list[Worker] = []
        self.generation = 0
        self.members: list[Worker] = []
        self.leaving: list[Worker] = []
        self.done: dict[str, Any] | None = None
        self._admissions = 0
        self._expected = 0

    def add(self, options: Options, **identity: str) -> Worker:
        """A new process."""
        options.loader.begin()
        known = {"model": options.state.fingerprint(), **identity}
        told = Identity.of(known, mixed=self.mixed)
        self.workers.append(Worker(self, len(self.workers), options, told))
        return self.workers[-1]

    def start(self, *asked: Options) -> list[Worker]:
        """New processes, which form the first group once all are ready."""
        self._expected = len(asked)
        return [self.add(options) for options in asked]

    def train(self, *asked: Options) -> list[Worker]:
        """Start so many and let them go on as far as they get."""
        workers = self.start(*asked)
        self.go_on()
        return workers

    # -- time ----------------------------------------------------------------------------------

    def go_on(self, until: Callable[[], bool] = lambda: False) -> None:
        """Let members run, one at a time, until `until()` or none can."""
        while not until() and self.turn():
            pass

    def turn(self) -> bool:
        """Let one of those who can run until it waits; return whether there was one."""
        ready = [worker for worker in self.workers if worker.actor.can_go_on]
        if ready:
            worker = self.rng.choice(ready)
            worker.actor.turn()
            if worker.actor.over:
                self._exited(worker)
        return bool(ready)

    def close(self) -> None:
        """End every thread."""
        for worker in self.workers:
            if not worker.actor.over:
                worker.actor.killed = True
                worker.actor.turn()

    # -- the agent -----------------------------------------------------------------------------

    def hear(self, worker: Worker, message: Any) -> None:
        """Take what a worker says."""
        control.FROM_WORKER.decode(control.FROM_WORKER.encode(message))  # it can travel
        worker.said.append(message)
        match message:
            case control.Ready():
                self._admit(worker)
            case control.Boundary() if message.generation == self.generation:
                joining = {join.id for join in message.joins}
                stay = [w for w in self.members if w.id not in message.leaves]
                stay += [w for w in self._candidates() if w.id in joining]
                self.form(stay, planned=True)
            case control.Committed(line=dict(line)):
                worker.lines.append(line)
                worker.audit.feed(json.dumps(line) + "\n")
                assert worker.audit.verdict() == "ok", worker.audit.verdict()
            case control.Finished() if message.generation == self.generation:
                self.done = message.result
                for each in self._living():
                    each.link.tell(control.JobDone(message.result))

    def _admit(self, worker: Worker) -> None:
        self._admissions += 1
        worker.id, worker.outside = f"m{self._admissions}", True
        worker.link.tell(control.Admission(worker.id, self.min_workers))
        if self.done is not None:
            worker.link.tell(control.JobDone(self.done))
        elif self.members:
            told = control.Candidates(tuple(self._as_candidate(w) for w in self._candidates()))
            for member in self.members:
                member.link.tell(told)
        elif len(self._candidates()) >= self._expected:
            self.form(self._candidates())

    def _as_candidate(self, worker: Worker) -> control.Candidate:
        return control.Candidate(int(worker.id[1:]), worker.id)

    def _living(self) -> list[Worker]:
        return [w for w in self.workers if w.id and not w.actor.over and not w.actor.killed]

    def _candidates(self) -> list[Worker]:
        return [w for w in self._living() if w.outside]

    def form(
        self, members: list[Worker], planned: bool = False, lost: tuple[str, ...] = ()
    ) -> None:
        """Write the next record and tell all of it who are in it or have left."""
        self.generation += 1
        before, self.members = self.members, members
        everyone = tuple(Member(w.id, w.group.address, w.address) for w in members)
        told = control.Group(
            self.generation,
            everyone,
            f"cause {self.generation}",
            paused=len(members) < self.min_workers,
            planned=planned,
            lost=lost,
        )
        gone = [w for w in before if w not in members and w.id not in lost]
        for worker in members:
            worker.outside = False
        for worker in [*members, *gone]:
            worker.link.tell(told)

    def leave(self, worker: Worker) -> None:
        """SIGTERM to its agent."""
        self.leaving.append(worker)
        worker.link.tell(control.LeaveRequest("SIGTERM", (worker.id,)))

    def kill(self, worker: Worker) -> None:
        """SIGKILL where it stands; its agent sees it."""
        worker.actor.killed = True
        worker.actor.turn()
        self._exited(worker)

    def evict(self, worker: Worker) -> None:
        """Take it for dead though it lives: it is outside, and admitted anew (M6)."""
        self.form([w for w in self.members if w is not worker], lost=(worker.id,))
        self._admit(worker)

    def _exited(self, worker: Worker) -> None:
        if worker in self.members and self.done is None:
            rest = [w for w in self.members if w is not worker]
            self.form(rest, lost=(worker.id,))


# -- what they train -----------------------------------------------------------------------------

SAMPLES = 20
STEPS_PER_EPOCH = 3
"""20 samples in batches of 8 leave 4 for the last: two leaves instead of four."""


def hits(state: State, batch: Any) -> dict[str, Any]:
    """One batch of an evaluation."""
    x, y = batch
    return {"hits": (state.model(x).argmax(1) == y).float().mean()}


def make_state(**parts: Any) -> State:
    """All that could betray equal bits: batch statistics, dropout, an optimizer with state."""
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(SAMPLES, 4)).astype("float32"))
    y = torch.from_numpy((rng.normal(size=SAMPLES) > 0).astype("int64"))
    with randomness.restored():
        torch.manual_seed(1)
        model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.3), nn.Linear(6, 2))
    optimizer = optim.Adam(model.parameters(), lr=0.05)
    loader = DataLoader(TensorDataset(x, y), batch_size=8, micro_batches=4, shuffle=True, seed=3)
    return State(model=model, optimizer=optimizer, loader=loader, **parts)


def job(state: State | None = None, steps: int = 5, **asked: Any) -> Options:
    """What one worker is asked to do: hooks write State and use collectives."""
    state = state or make_state(history=[])

    def train_step(state: State, batch: Any) -> Any:
        x, y = batch
        return F.cross_entropy(state.model(x), y)

    def on_step(state: State, metrics: dict[str, float]) -> None:
        state.history = [*state.history, metrics["loss"]]

    def on_epoch(state: State, world: Any) -> None:
        state.history = [*state.history, evaluate(state, hits, state.loader)["hits"]]
        state.history = [*state.history, world.allreduce(np.ones(1), "max").item()]

    known = {"train_step": train_step, "on_step": on_step, "on_epoch": on_epoch} | asked
    return make_options(state, known.pop("train_step"), **ASKED | {"steps": steps} | known)


ASKED: dict[str, Any] = {
    "epochs": None,
    "update": None,
    "scheduler_every": None,
    "checkpoint_dir": None,
    "checkpoint_every": None,
    "checkpoint_keep": 3,
    "nonfinite": "warn",
    "drift_every": 1,
    "on_drift": "error",
}
"""What `elastic.train` passes on by default."""
