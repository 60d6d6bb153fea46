"""The arguments of functions, checked against the source of their metric."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from backend.oal.attributes import EventAttribute, FlowAttribute, Kind
from backend.oal.functions import (
    LARGEST_MAXIMUM_LABELS,
    MAXIMUM_LABELS,
    MAXIMUM_STEPS,
    WITHOUT_ARGUMENTS,
    Function,
)
from backend.oal.sources import Source
from backend.oal.syntax import Argument, Call, Comparison, OalError, Operand, Plain
from backend.oal.values import Condition, Value, condition_of, value_of


@dataclass(frozen=True, slots=True)
class Arguments:
    """What a function was given; each function has some of it."""

    matches: tuple[Condition, ...] = ()
    """What percent() counts; what rate() counts, and against what."""
    service: Value | None = None
    """The name of the service whose threshold apdex() takes."""
    status: Value | None = None
    """What apdex() takes for success."""
    label: Value | None = None
    """What labelCount() and labelAvg() tell apart."""
    value: Value | None = None
    """What labelAvg() adds up."""
    maximum_labels: int = 0
    """Most labels of an entity in a day."""
    step: int = 0
    """Width of a step of a histogram."""
    steps: int = 0
    """How many steps a histogram has below its last, which has no end."""

    @property
    def values(self) -> tuple[Value, ...]:
        """All that is read from logs."""
        read = (*(match.value for match in self.matches), self.service, self.status, self.label, self.value)
        return tuple(value for value in read if value is not None)


def arguments_of(function: Function, call: Call, source: Source) -> Arguments:
    """Check the arguments of a call.

    Raises:
        OalError: they are not those of the function, or name what the source does not have.
    """
    if function in WITHOUT_ARGUMENTS:
        if call.arguments:
            raise OalError(call.position, f"{call.name}() takes no arguments: write .{call.name}()")
        return Arguments()
    return _READERS[function](call, source)


def _percent(call: Call, source: Source) -> Arguments:
    match call.arguments:
        case (Comparison() as comparison,):
            return Arguments(matches=(condition_of(comparison, source),))
        case _:
            raise OalError(call.position, "percent() needs one comparison: .percent(connect.success == true)")


def _rate(call: Call, source: Source) -> Arguments:
    match call.arguments:
        case (Comparison() as counted, Comparison() as against):
            return Arguments(matches=(condition_of(counted, source), condition_of(against, source)))
        case _:
            reason = "rate() needs two comparisons: .rate(http.statusCode >= 500, http.statusCode >= 400)"
            raise OalError(call.position, reason)


def _apdex(call: Call, source: Source) -> Arguments:
    match call.arguments:
        case (Operand() as name, Operand() as success):
            service, status = value_of(name, source), value_of(success, source)
            named = service.kind is Kind.STRING and isinstance(service.attribute, FlowAttribute)
            if named and status.kind is Kind.BOOLEAN and isinstance(status.attribute, EventAttribute):
                return Arguments(service=service, status=status)
        case _:
            pass
    raise OalError(
        call.position, "apdex() needs the name of a service and what is success: .apdex(name, protocol.success)"
    )


def _percentile(call: Call, _: Source) -> Arguments:
    # The precision that Apache SkyWalking is to keep; buckets here are finer than any that it could keep.
    match call.arguments:
        case (precision,) if _positive(precision) is not None:
            return Arguments()
        case _:
            raise OalError(call.position, f"{call.name}() needs its precision: .{call.name}(10)")


def _histogram(call: Call, _: Source) -> Arguments:
    match call.arguments:
        case (width, number):
            step, steps = _positive(width), _positive(number)
            if step is not None and steps is not None and steps <= MAXIMUM_STEPS:
                return Arguments(step=step, steps=steps)
        case _:
            pass
    raise OalError(
        call.position,
        f"histogram() needs the width of a step and how many, at most {MAXIMUM_STEPS}: .histogram(100, 20)",
    )


def _label_count(call: Call, source: Source) -> Arguments:
    match call.arguments:
        case (Operand() as label, *rest) if (maximum := _maximum_labels(rest)) is not None:
            return Arguments(label=_label(label, source), maximum_labels=maximum)
        case _:
            pass
    raise OalError(
        call.position,
        "labelCount() needs a label and may have how many at most, "
        f"up to {LARGEST_MAXIMUM_LABELS}: .labelCount(protocol.http.method, {MAXIMUM_LABELS})",
    )


def _label_avg(call: Call, source: Source) -> Arguments:
    match call.arguments:
        case (Operand() as label, Operand() as operand, *rest) if (maximum := _maximum_labels(rest)) is not None:
            value = value_of(operand, source)
            if value.kind is not Kind.INTEGER:
                raise OalError(operand.position, f"{operand} is {value.kind.value}: it cannot be added up")
            return Arguments(label=_label(label, source), value=value, maximum_labels=maximum)
        case _:
            pass
    raise OalError(
        call.position,
        "labelAvg() needs a label and a value and may have how many labels at most, "
        f"up to {LARGEST_MAXIMUM_LABELS}: .labelAvg(write.syscall, write.duration, {MAXIMUM_LABELS})",
    )


def _label(operand: Operand, source: Source) -> Value:
    label = value_of(operand, source)
    if label.kind is Kind.LIST:
        raise OalError(operand.position, f"{operand} is {label.kind.value}: it cannot be a label")
    return label


def _maximum_labels(arguments: list[Argument]) -> int | None:
    match arguments:
        case []:
            return MAXIMUM_LABELS
        case [argument]:
            maximum = _positive(argument)
            return maximum if maximum is not None and maximum <= LARGEST_MAXIMUM_LABELS else None
        case _:
            return None


def _positive(argument: Argument) -> int | None:
    match argument:
        case Plain(int() as number) if number > 0 and not isinstance(number, bool):
            return number
        case _:
            return None


_READERS: Mapping[Function, Callable[[Call, Source], Arguments]] = {
    Function.PERCENT: _percent,
    Function.RATE: _rate,
    Function.APDEX: _apdex,
    Function.PERCENTILE: _percentile,
    Function.INDEXED_PERCENTILE: _percentile,
    Function.HISTOGRAM: _histogram,
    Function.LABEL_COUNT: _label_count,
    Function.LABEL_AVG: _label_avg,
}
