"""HTTP asked with patience: that a machine stalls for seconds says nothing of who answers."""

from functools import partial

import httpx

from tests.waiting import PATIENCE

# httpx alone gives up after 5 s.
get, post = partial(httpx.get, timeout=PATIENCE), partial(httpx.post, timeout=PATIENCE)
