"""Runs the comparison: ``make bench``, or ``python -m benchmarks [--quick | --million] …``."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from benchmarks import report, scenarios

_START = perf_counter()
PAGE = Path(__file__).parent.parent / "docs" / "performance.md"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    effort = parser.add_mutually_exclusive_group()
    effort.add_argument("--quick", action="store_true", help="few rounds, small stores; 2 minutes")
    effort.add_argument("--million", action="store_true", help="stores of a million records, too")
    parser.add_argument("--largest", type=int, help="leave out stores of more records than this")
    parser.add_argument("--report", action="store_true", help=f"write the figures into {PAGE}")
    parser.add_argument("--only", default="", help="scenarios whose names have this in them")
    parser.add_argument("--scratch", type=Path, help="a directory on the disk to be measured")
    arguments = parser.parse_args()
    chosen = scenarios.Effort()
    if arguments.quick:
        chosen = scenarios.QUICK
    elif arguments.million:
        chosen = scenarios.MILLION
    if arguments.largest is not None:
        sizes = tuple(size for size in chosen.sizes if size <= arguments.largest)
        chosen = chosen._replace(sizes=sizes or chosen.sizes[:1])
    with tempfile.TemporaryDirectory(dir=arguments.scratch, prefix="bench-") as scratch:
        samples = asyncio.run(scenarios.measure(chosen, Path(scratch), _say, arguments.only))
    print(report.tables(samples, chosen))
    if arguments.report:
        report.write(samples, chosen, PAGE)


def _say(text: str) -> None:
    print(f"{perf_counter() - _START:6.0f} s  {text}", file=sys.stderr)


main()
