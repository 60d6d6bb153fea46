"""HTTP asked with patience: that a machine stalls for seconds says nothing of who answers."""

from functools import partial

import httpx

SECONDS = 120.0
"""A bound on waiting, not an expectation; httpx alone gives up after 5 s."""

get, post = partial(httpx.get, timeout=SECONDS), partial(httpx.post, timeout=SECONDS)
