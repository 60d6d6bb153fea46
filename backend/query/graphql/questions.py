"""What answers an operation."""

from collections.abc import Callable
from typing import Any

Answer = Callable[..., Any]
"""Takes a Context, and the arguments of the operation by their names (serviceId is service_id); those that were not
given are left out. Blocks. Raises QueryError, DurationError and StorageError."""


def renamed(answer: Answer, **names: str) -> Answer:
    """What answers an operation whose arguments are called otherwise: `names` says what each is to `answer`."""

    def answer_renamed(context: object, **arguments: object) -> object:
        return answer(context, **{names.get(name, name): value for name, value in arguments.items()})

    return answer_renamed
