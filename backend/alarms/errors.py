"""What can be wrong with rules and hooks."""


class AlarmError(Exception):
    """Rules or hooks that cannot be used; the message names the place and says what to do."""


class UnknownMetricAlarmError(AlarmError):
    """A rule is about a metric that there is not."""
