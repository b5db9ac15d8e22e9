"""The errors of Elastic, in one tree.

    ElasticError
    ├── ConfigError            what the user asked for cannot be: flags, arguments, State parts
    ├── DataError              a loader, sampler or dataset that cannot be trained on exactly once
    ├── CheckpointError        a checkpoint that is torn, foreign or not to be written
    ├── StateError             State written where it is read-only, or a part that cannot be saved
    ├── NonFiniteError         a loss that is nan or inf, with nonfinite="error"
    ├── DriftError             replicas are no longer equal: memory or a processor has erred
    ├── RefusedError           the group will not have this worker: other versions, model or script
    ├── AuthError              a wrong or missing job token
    ├── ProtocolError          a bug of ours: a core was asked for what its table forbids
    └── RetryableError         nothing is lost; the same call is right after the next generation
        ├── Aborted            a collective ended early: a peer is gone or a newer generation began
        ├── LeaseGone          (rendezvous.store) a lease ran out; grant another
        └── StoreUnavailable   the store did not answer in time

Whoever catches one to try again catches `RetryableError`: that is the meaning of the type.
Messages read "who expects what, got what; cure".
"""


class ElasticError(Exception):
    """The base of every error that Elastic raises on its own account."""


class ConfigError(ElasticError, ValueError):
    """What the user asked for cannot be done as asked."""


class DataError(ElasticError, ValueError):
    """A loader, sampler or dataset that cannot be trained on exactly once."""


class CheckpointError(ElasticError):
    """A checkpoint that is torn, belongs to another model, or cannot be written."""


class StateError(ElasticError):
    """State was written where it is read-only, or a part of it cannot be saved."""


class NonFiniteError(ElasticError, ArithmeticError):
    """A loss is nan or inf and the user asked for an error."""


class DriftError(ElasticError):
    """Parameters that must be equal on all workers are not; the message names who and which."""


class RefusedError(ElasticError):
    """The group refuses this worker, because it would compute other bits."""


class AuthError(ElasticError):
    """A job token is wrong or missing."""


class ProtocolError(ElasticError):
    """A core met a transition that its table forbids: a bug in Elastic, with the story so far."""


class RetryableError(ElasticError):
    """Nothing is lost; the same call is right again after the next generation."""


class Aborted(RetryableError):
    """A collective ended early.

    `peer` is the member id at fault if one is known, `generation` the newer one if there is one.
    """

    def __init__(self, reason: str, *, peer: str | None = None, generation: int | None = None):
        super().__init__(reason)
        self.peer = peer
        self.generation = generation


class StoreUnavailable(RetryableError):
    """The rendezvous store did not answer in time."""
