"""Numbers as people read them. None is no data, shown as a dash and never as zero."""

NOTHING = "-"
_BYTES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_DURATIONS = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns"))
_THREE_DIGITS = 99.95
_ONE = 0.995


def number(value: float | None) -> str:
    """Three digits, or as many as are before the point: 0.05, 12.3, 4,560."""
    if value is None:
        return NOTHING
    if value == int(value) or abs(value) >= _THREE_DIGITS:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= _ONE else f"{value:.2f}"


def size(value: float | None) -> str:
    """Bytes: 512 B, 1.5 KiB."""
    if value is None:
        return NOTHING
    unit = 0
    while value >= 1023.5 and unit < len(_BYTES) - 1:  # noqa: PLR2004 - rounds to 1024
        value /= 1024
        unit += 1
    return f"{number(value)} {_BYTES[unit]}"


def size_per_second(value: float | None) -> str:
    """Bytes per second: 1.5 KiB/s."""
    return NOTHING if value is None else f"{size(value)}/s"


def share(value: float | None) -> str:
    """A share from 0 to 1: 100 %, 99.95 %. What is less than all is never shown as 100 %."""
    if value is None:
        return NOTHING
    hundredths = 10_000 if value == 1 else min(round(value * 10_000), 9_999)
    return f"{hundredths // 100} %" if hundredths % 100 == 0 else f"{hundredths / 100:.2f} %"


def duration(nanoseconds: float | None) -> str:
    """Nanoseconds: 850 ns, 12.3 µs, 4.5 ms, 1.2 s."""
    if nanoseconds is None:
        return NOTHING
    scale, unit = next((pair for pair in _DURATIONS if nanoseconds >= pair[0] * 0.9995), _DURATIONS[-1])
    return f"{number(nanoseconds / scale)} {unit}"


def value_of_unit(value: float | None, unit: str) -> str:
    """A value of a metric, by the unit that the API names."""
    match unit:
        case "bytes":
            return size(value)
        case "ns":
            return duration(value)
        case "ms":
            return duration(None if value is None else value * 1e6)
        case "1/10000":
            return NOTHING if value is None else f"{value / 100:.2f} %"
        case "per minute":
            return NOTHING if value is None else f"{number(value)}/min"
        case _:
            return number(value)
