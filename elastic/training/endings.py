"""How a worker's part in a job ends: well, because it leaves, or because it cannot go on."""

from __future__ import annotations

import json
from dataclasses import replace

from elastic import control
from elastic.errors import DriftError, NonFiniteError, ProtocolError, RefusedError
from elastic.training import commands as do
from elastic.training.context import Context, say
from elastic.training.drift import explain
from elastic.training.events import Ended
from elastic.training.result import Result

__all__ = ["Endings"]


class Endings:
    """Ends one worker's run."""

    def __init__(self, context: Context):
        self.context = context
        self.result: Result | None = None
        """Set when the record says that the job is done: what `train` returns."""
        self._compared: Result | None = None

    # -- the job is done -----------------------------------------------------------------------

    def end(self, command: do.End) -> Ended:
        """Compare digests with all members, and tell the agent what the job has come to."""
        c, result = self.context, self._final()
        mine = [result.digest, result.state_digest]
        every = [json.loads(blob) for blob in c.group.gather(json.dumps(mine).encode())]
        if result.bits_promised:
            self._compare(every, mine)
        else:  # the job's are those of rank 0
            digest, state_digest = every[0]
            result = replace(result, digest=digest, state_digest=state_digest)
        c.tell_timing()
        c.link.send(control.Finished(c.world.generation, _told(result)))
        self._compared = result
        return Ended()

    def _compare(self, every: list[list[str]], mine: list[str]) -> None:
        for rank, digests in enumerate(every):
            if digests != mine:
                raise ProtocolError(
                    f"rank {rank} ends with digest {digests[0]}, rank {self.context.world.rank} "
                    f"with {mine[0]}: their bits have drifted apart"
                )

    def done(self, message: control.JobDone) -> None:
        """The record says done. Whoever has the final State returns; who comes late goes (M10)."""
        steps, digest = message.result.get("steps"), message.result.get("digest")
        if not self.context.standing.lineage or steps != self.context.whole_steps:
            say(f"the job is done: {steps} steps, digest {digest}; --fresh starts it anew")
            self.context.exit(0)
        result = self._compared or self._final()
        if digest != result.digest and result.bits_promised:
            raise ProtocolError(
                f"the job ended with digest {digest}, this worker has {result.digest}"
            )
        self.result = result

    def _final(self) -> Result:
        c = self.context
        return Result(
            c.whole_steps,
            c.world,
            dict(c.state.metrics),
            c.state.digest(),
            c.state.state_digest(),
            c.bits_promised,
        )

    # -- it ends for this worker, or for all ---------------------------------------------------

    def failed(self, message: control.JobFailed) -> None:
        """The record says failed: the agent knows why, and tells it."""
        reason, _, _ = message.cause.partition("\n")
        say(f"the job has failed: {reason}")
        self.context.exit(1)

    def quit(self, _: do.Quit) -> None:
        """This member has left as it was asked to."""
        self.context.tell("leave")
        self.context.exit(control.EXIT_DONE)

    def refuse(self, command: do.Refuse) -> None:
        """This member would compute other bits."""
        self.context.group.close()
        raise RefusedError(command.reason)

    def fail(self, command: do.Fail) -> None:
        """A loss was nan or inf."""
        error = NonFiniteError(
            f"the loss is not finite at {', '.join(command.places)} and nonfinite='error'; "
            "lower the learning rate, clip gradients, or look at that data"
        )
        error.elastic_place = command.places[0]  # type: ignore[attr-defined]
        raise error

    def give_up(self, command: do.GiveUp) -> None:
        """Replicas have drifted apart."""
        c, drift, step = self.context, command.drift, self.context.phases.name(command.step)
        told = explain(drift, c.world, step)
        if command.heal:
            say(f"{told}; this worker ends, and its agent starts it again with their State")
            c.tell("drift", ranks=list(drift.ranks), parameter=drift.parameter)
            c.exit(1)
        error = DriftError(told)
        error.elastic_place = f"comparison of {step}"  # type: ignore[attr-defined]
        raise error


def _told(result: Result) -> dict[str, object]:
    return {
        "steps": result.steps,
        "digest": result.digest,
        "state_digest": result.state_digest,
        "metrics": result.metrics,
        "bits": "promised" if result.bits_promised else "not promised",
    }
