"""Which request a thread is serving when it makes a call of its own.

A thread that has read the head of a request serves it until the response has been written. A call that it makes
meanwhile is made for that request. Known only where it cannot be anything else: when the thread serves one request at
that moment. A thread that serves several at once (an event loop under load) or none (a pool of workers apart from the
threads that read) makes calls whose caller is not known.
"""

from collections import OrderedDict

from agent.protocols.exchange import Exchange

SERVING_THREADS = 16_384
"""Threads remembered at most; the one that began to serve longest ago is forgotten."""
SERVED_AT_ONCE = 16
"""Requests remembered per thread; one that serves more is not asked anyway."""


class Callers:
    """The requests that threads are serving."""

    def __init__(self) -> None:
        # By process and thread: a request or, where there are several, all by identity, the latest one last.
        self._serving: OrderedDict[tuple[int, int], Exchange | dict[int, Exchange]] = OrderedDict()
        self.ambiguous = 0
        """Calls of threads that served several requests at that moment."""

    def serve(self, process: int, thread: int, exchange: Exchange) -> None:
        """A thread has read the head of a request."""
        served = self._serving.setdefault((process, thread), exchange)
        if served is exchange:
            if len(self._serving) > SERVING_THREADS:
                self._serving.popitem(last=False)
            return
        if isinstance(served, Exchange):
            served = self._serving[process, thread] = {id(served): served}
        served[id(exchange)] = exchange
        if len(served) > SERVED_AT_ONCE:
            del served[next(iter(served))]

    def served(self, process: int, thread: int, exchange: Exchange) -> None:
        """The response to a request that this thread had read is complete."""
        served = self._serving.get((process, thread))
        if served is exchange:
            del self._serving[process, thread]
        elif isinstance(served, dict):
            served.pop(id(exchange), None)
            if not served:
                del self._serving[process, thread]

    def caller(self, process: int, thread: int) -> str:
        """The endpoint that a thread is serving; empty when there is none or it may be one of several."""
        served = self._serving.get((process, thread))
        if served is None:
            return ""
        if isinstance(served, Exchange):
            return served.endpoint
        if len(served) > 1:
            self.ambiguous += 1
            return ""
        (exchange,) = served.values()
        return exchange.endpoint
