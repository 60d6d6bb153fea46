"""`pyrover-backend oal`: check scripts of metrics, and tell what becomes of a metric."""

import argparse
import sys
from pathlib import Path

from backend.metrics.explaining import explain, lines
from backend.metrics.streams import STREAMS
from backend.oal.loader import STANDARD, check_texts, load, read_scripts
from backend.oal.syntax import OalError, nearest

_FAILED = 1


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    checking = "read scripts as the backend would and tell each error"
    check = actions.add_parser("check", help=checking, description=f"{checking.capitalize()}.")
    check.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a script, or a folder of scripts (*.oal)")
    telling = "tell what a metric reads, adds up, stores and answers"
    explaining = actions.add_parser("explain", help=telling, description=f"{telling.capitalize()}.")
    explaining.add_argument("metric", metavar="METRIC", help="such as kubernetes_service_write_time")
    explaining.add_argument(
        "--file",
        type=Path,
        action="append",
        metavar="FILE",
        help="a script or a folder of scripts that defines it (default: the standard ones); may be given several times",
    )
    explaining.add_argument(
        "--zeros-are-values", action="store_true", help="with zeros as measurements, as Apache SkyWalking has them"
    )


def run(arguments: argparse.Namespace) -> int:
    """Do it; 0 when all is right, 1 when a script is wrong or there is no such metric."""
    return _check(arguments.files) if arguments.action == "check" else _explain(arguments)


def _check(files: list[Path]) -> int:
    try:
        texts = read_scripts(files)
    except OalError as error:
        return _fail(str(error))
    metrics, errors = check_texts(texts, skip_unsupported=True)
    for wrong in errors:
        sys.stderr.write(f"{wrong}\n")
    for skipped in metrics.skipped:
        sys.stdout.write(f"skipped: {skipped}\n")
    for definition in metrics.definitions:
        if not definition.events:
            position = definition.statement.position
            sys.stdout.write(
                f"warning: {position}: {definition.name} is fed by nothing: no log has all that it reads\n"
            )
    known = {definition.name for definition in metrics.definitions}
    for name in sorted(metrics.disabled - metrics.named - load().named - STREAMS.keys()):
        near = nearest(name, STREAMS)
        sys.stdout.write(
            f"warning: disable({name}) switches nothing off: no metric has this name, nor a stream: {near}\n"
        )
    sys.stdout.write(
        f"scripts: {len(texts)}, metrics: {len(known)}, skipped: {len(metrics.skipped)},"
        f" names disabled: {len(metrics.disabled)}, errors: {len(errors)}\n"
    )
    return _FAILED if errors else 0


def _explain(arguments: argparse.Namespace) -> int:
    try:
        metrics = load(arguments.file or STANDARD, skip_unsupported=True)
    except OalError as error:
        return _fail(str(error))
    known = {definition.name: definition for definition in metrics.definitions}
    if arguments.metric not in known:
        if arguments.metric in metrics.disabled:
            return _fail(f"{arguments.metric} is switched off by disable({arguments.metric})")
        near = nearest(arguments.metric, known) if known else "the scripts define none"
        return _fail(f"there is no metric {arguments.metric!r}: {near}")
    plan = explain(known[arguments.metric], zeros_are_values=arguments.zeros_are_values)
    sys.stdout.write("\n".join([arguments.metric, *lines(plan), ""]))
    return 0


def _fail(reason: str) -> int:
    sys.stderr.write(f"pyrover-backend oal: {reason}\n")
    return _FAILED
