"""What a run tells of itself: events as JSON lines, recoveries phase by phase, goodput."""

from elastic.telemetry.events import EventLog
from elastic.telemetry.recovery import Marks, Recovery, goodput

__all__ = ["EventLog", "Marks", "Recovery", "goodput"]
