"""Run many seeds: whole jobs in virtual time under faults.

python -m elastic.testing.simulation --seeds 0:500
"""

from __future__ import annotations

import argparse
from collections import Counter

from elastic.testing.cluster import Failed, Simulation
from elastic.testing.scenario import draw_scenario

__all__ = ["main", "simulate"]


def simulate(seed: int) -> Simulation:
    """Run the scenario of a seed and return it. Raises Failed."""
    simulation = Simulation(draw_scenario(seed))
    simulation.run()
    return simulation


def main(arguments: list[str] | None = None) -> int:
    """Run many seeds and print what happened in them; 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", default="0:500", help="first:stop, or one (default 0:500)")
    parser.add_argument("--trace", action="store_true", help="print the trace of each")
    options = parser.parse_args(arguments)
    first, _, stop = options.seeds.partition(":")
    seen: Counter[str] = Counter()
    failed = []
    for seed in range(int(first), int(stop or int(first) + 1)):
        try:
            simulation = simulate(seed)
        except Failed as failure:
            failed.append(seed)
            print(failure if len(failed) == 1 else str(failure).splitlines()[0])
            continue
        if options.trace:
            print("\n".join(simulation.around.trace))
        _count(simulation, seen)
    print(", ".join(f"{seen[what]} {what}" for what in seen))
    print(f"failed: {failed}" if failed else "all well")
    return 1 if failed else 0


def _count(simulation: Simulation, seen: Counter[str]) -> None:
    judge = simulation.around.judge
    seen["jobs"] += 1
    seen["faults"] += len(simulation.scenario.faults)
    seen["generations"] += judge.record.generation if judge.record else 0
    seen["leaves computed again"] += judge.recomputed
    seen["members readmitted"] += judge.readmitted


if __name__ == "__main__":
    raise SystemExit(main())
