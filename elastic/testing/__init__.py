"""What tests of jobs need: a clock that waits for nobody, and whole jobs in virtual time."""

from elastic.testing.clock import ManualClock
from elastic.testing.cluster import Failed, Simulation
from elastic.testing.faults import Fault, draw_faults
from elastic.testing.scenario import Scenario, draw_scenario
from elastic.testing.store import Troubles
from elastic.testing.surroundings import Shape
from elastic.testing.toy import ToyJob

__all__ = [
    "Failed",
    "Fault",
    "ManualClock",
    "Scenario",
    "Shape",
    "Simulation",
    "ToyJob",
    "Troubles",
    "draw_faults",
    "draw_scenario",
]
