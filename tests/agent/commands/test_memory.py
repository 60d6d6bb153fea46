"""agent/commands/memory.py, in a process of its own: it is about all that a process has."""

import subprocess
import sys

PROGRAM = """
import gc, weakref
from agent.commands.memory import keep_what_there_is

class Node:
    pass

def cycle():
    node = Node()
    node.itself = node
    return node

gc.disable()
garbage, kept = weakref.ref(cycle()), cycle()
keep_what_there_is()
assert garbage() is None
assert gc.get_freeze_count() > 1000
assert not any(one is kept for one in gc.get_objects())
later = weakref.ref(cycle())
gc.collect()
assert later() is None
"""


def test_what_there_is_is_looked_at_once_more_and_never_again() -> None:
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=60)
