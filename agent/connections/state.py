"""The life of a connection view as a state machine: one enum of states, one of inputs, one transition function."""

from enum import Enum, auto


class ViewState(Enum):
    """Where a view stands."""

    NEW = auto()  # just seen for the first time
    OPEN = auto()  # a descriptor of the process refers to the socket
    FAILED = auto()  # the connect failed; the socket may try again
    CLOSING = auto()  # every descriptor that is known was closed, yet the socket lives: another one may refer to it
    ENDED = auto()  # nothing more can be told of it


class ViewInput(Enum):
    """What can happen to a view."""

    OPENED = auto()  # connect succeeded, accept returned, or it was found open
    CONNECT_FAILED = auto()
    TRANSFERRED = auto()
    CLOSED_ONE = auto()  # a descriptor was closed and another one is known
    CLOSED_KNOWN = auto()  # the last known descriptor was closed, not the last reference to the socket
    RELEASED = auto()  # the last reference to the socket was closed
    PROCESS_EXITED = auto()
    FOUND = auto()  # the host still shows a descriptor for it
    VANISHED = auto()  # the host shows no descriptor, or the view had to make room


_NEW, _OPEN, _FAILED, _CLOSING, _ENDED = ViewState
_REPORTED = True

_TRANSITIONS: dict[ViewState, dict[ViewInput, tuple[ViewState, bool]]] = {
    _NEW: {
        ViewInput.OPENED: (_OPEN, False),
        ViewInput.CONNECT_FAILED: (_FAILED, False),
        ViewInput.TRANSFERRED: (_OPEN, False),
        ViewInput.VANISHED: (_ENDED, False),
    },
    _OPEN: {
        # A connect on a connected socket fails without harm to it, so CONNECT_FAILED is not here.
        ViewInput.CLOSED_ONE: (_OPEN, _REPORTED),
        ViewInput.CLOSED_KNOWN: (_CLOSING, _REPORTED),
        ViewInput.RELEASED: (_ENDED, _REPORTED),
        ViewInput.PROCESS_EXITED: (_ENDED, _REPORTED),
        ViewInput.VANISHED: (_ENDED, False),
    },
    # A socket whose connect failed has no connection to close: its close is not reported.
    _FAILED: {
        ViewInput.OPENED: (_OPEN, False),
        ViewInput.TRANSFERRED: (_OPEN, False),
        ViewInput.CLOSED_ONE: (_FAILED, False),
        ViewInput.CLOSED_KNOWN: (_ENDED, False),
        ViewInput.RELEASED: (_ENDED, False),
        ViewInput.PROCESS_EXITED: (_ENDED, False),
        ViewInput.VANISHED: (_ENDED, False),
    },
    _CLOSING: {
        ViewInput.OPENED: (_OPEN, False),
        ViewInput.TRANSFERRED: (_OPEN, False),
        ViewInput.FOUND: (_OPEN, False),
        ViewInput.CLOSED_ONE: (_OPEN, _REPORTED),
        ViewInput.CLOSED_KNOWN: (_CLOSING, _REPORTED),
        ViewInput.RELEASED: (_ENDED, _REPORTED),
        # As far as is known the process holds no descriptor of it any more, so there is none for it to close.
        ViewInput.PROCESS_EXITED: (_ENDED, False),
        ViewInput.VANISHED: (_ENDED, False),
    },
    _ENDED: {},
}


def transition(state: ViewState, happened: ViewInput) -> tuple[ViewState, bool]:
    """(next state, whether what happened closes a connection and is to be reported as that)."""
    return _TRANSITIONS[state].get(happened, (state, False))
