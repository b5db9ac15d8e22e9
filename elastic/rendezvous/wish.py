"""The record that an agent's knowledge asks for. Pure: one function of what is known and of `now`.

Rules are those of docs/protocol.md, M2 to M5 and M9.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import filterfalse

from elastic.control import Candidate
from elastic.rendezvous.record import DONE, FAILED, RUNNING, Record
from elastic.rendezvous.resets import reset_after
from elastic.rendezvous.settings import Settings
from elastic.rendezvous.standing import Standing

__all__ = ["candidates", "wanted"]


def wanted(s: Standing, now: float, cfg: Settings) -> Record | None:
    """Return the next record if the one there is should change, with its cause; else None."""
    record = s.record
    if s.failure:
        return (record or Record(0, (), "")).after(status=FAILED, cause=s.failure)
    if record is None or s.revive or not record.ids:
        return _formation(s, cfg, record)
    if s.result is not None:
        return record.after(status=DONE, cause="all steps are done", result=s.result)
    if lost := tuple(filter(s.gone.__contains__, record.ids if s.gone else ())):
        rest = tuple(filterfalse(s.gone.__contains__, record.ids))
        cause = "; ".join(f"{id}: {s.gone[id]}" for id in lost)
        return record.after(ids=rest, lost=lost, cause=cause)
    if s.revision == 0:
        return record.after(cause="the store had lost the record")
    if s.reset:
        return reset_after(s, record, now)
    if s.boundary is not None:
        return _change(s, record, s.boundary.joins, s.boundary.leaves, cfg)
    if len(record.ids) < cfg.min_workers:
        return _change_while_paused(s, record, cfg)
    if s.sought and s.orphaned is not None and now >= s.orphaned + cfg.orphan_wait_s:
        return _formation(s, cfg, record)
    return None


def _formation(s: Standing, cfg: Settings, record: Record | None) -> Record | None:
    """The first group, or one after a group of which nobody is left (M2, M9)."""
    if len(s.present) < cfg.min_workers:
        return None
    members = set(record.ids if record else ())
    order = sorted((created, id) for id, created in s.present.items() if id not in members)
    if len(order) < cfg.min_workers or not order:
        return None
    ids = tuple(id for _, id in order[: cfg.max_workers])
    if record is None:
        return Record(1, ids, "the job begins", joined=ids)
    cause = "the job begins again" if s.revive else "nobody was left; newcomers take over"
    return record.after(ids=ids, joined=ids, lost=record.ids, cause=cause, status=RUNNING)


def _change(
    s: Standing,
    record: Record,
    joins: Iterable[Candidate],
    leaves: Iterable[str],
    cfg: Settings,
) -> Record:
    """Survivors keep their order, newcomers are appended by age of their key (M4, M5)."""
    away = set(leaves)
    left = tuple(filter(away.__contains__, record.ids))
    stay = tuple(filterfalse(away.__contains__, record.ids))
    free = None if cfg.max_workers is None else max(0, cfg.max_workers - len(stay))
    order = sorted((c.created, c.id) for c in joins if c.id not in record.members)
    joined = tuple(id for _, id in order[:free])
    causes = [f"{', '.join(joined)} joined"] if joined else []
    causes += [f"{', '.join(left)} left"] if left else []
    cause = "; ".join(causes) or "nothing changed after all"
    return record.after(ids=stay + joined, joined=joined, left=left, cause=cause)


def _change_while_paused(s: Standing, record: Record, cfg: Settings) -> Record | None:
    """Below the minimum no step runs, so there is no boundary to wait for (M4)."""
    joins = candidates(s, cfg)
    leaves = tuple(s.mine) if s.leaving else ()
    if joins and set(record.ids) <= set(leaves):
        leaves = ()  # whoever has State hands it over first, if there are enough then
    if joins or any(id in record.ids for id in leaves):
        return _change(s, record, joins, leaves, cfg)
    return None


def candidates(s: Standing, cfg: Settings) -> tuple[Candidate, ...]:
    """All newcomers that are ready and have a seat."""
    assert s.record is not None
    waiting = s.present.keys() - s.record.members
    order = sorted(Candidate(s.present[id], id, s.known[id].address) for id in waiting)
    free = None if cfg.max_workers is None else max(0, cfg.max_workers - len(s.record.ids))
    return tuple(order[:free])
