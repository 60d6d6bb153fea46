"""The hooks at the stages between system call and wire."""

from typing import Final

from agent.kernel.hook import Hook

STAGE_HOOKS: Final[tuple[Hook, ...]] = ()
