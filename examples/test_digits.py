"""How to test a training script of your own: whatever happens to its workers, the bits are equal.

python -m pytest examples/test_digits.py
"""

from pathlib import Path

from elastic.testing.fixtures import chaos_job  # noqa: F401  # a fixture is found by its name

DIGITS = Path(__file__).with_name("digits.py")


def test_digits_survive(chaos_job):  # noqa: F811
    """On one worker, then on three that are killed, stopped, cut off, joined and left."""
    chaos = "7,kill=0.04,stop=0.02,join=0.04,leave=0.02,partition=0.02"
    runs = chaos_job(DIGITS, "5", chaos=chaos, workers=3)
    faults = {fault["fault"] for fault in runs.chaotic.report["chaos"]}
    assert {"kill", "join"} <= faults
