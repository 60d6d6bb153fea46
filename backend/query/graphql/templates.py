"""Dashboards that the web client keeps on the server, as the texts that it writes."""

import contextlib
import os
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from backend.storage.interface import StorageError

MAXIMUM_TEMPLATES = 1_000
"""Most templates, those that are disabled among them."""
MAXIMUM_CONFIGURATION = 1024 * 1024
"""Longest configuration of a template, in characters."""
MAXIMUM_TOGETHER = 32 * 1024 * 1024
"""Most characters of all configurations together."""


class Template(msgspec.Struct, frozen=True):
    """A dashboard."""

    id: str
    configuration: str
    """JSON, as the web client writes it."""
    update_time: int
    """Milliseconds since 1970-01-01 UTC."""
    disabled: bool = False


class TemplateError(StorageError):
    """A template cannot be kept; the message says what to do."""


class TemplateStore(Protocol):
    """Keeps templates. Methods block. Safe for several threads."""

    def all(self) -> Sequence[Template]:
        """Every template, by id. Raises TemplateError."""
        ...

    def put(self, template_id: str, change: Callable[[Template | None], Template]) -> None:
        """Keep what `change` makes of the template of an id; None stands for none. What it raises is raised here.

        Raises:
            TemplateError: it is too large, there are too many, or they cannot be kept.
        """
        ...


class FileTemplates:
    """Templates in one file, which is written anew at each change."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._templates: dict[str, Template] | None = None

    def all(self) -> Sequence[Template]:
        """As TemplateStore.all."""
        with self._lock:
            return list(self._known().values())

    def put(self, template_id: str, change: Callable[[Template | None], Template]) -> None:
        """As TemplateStore.put."""
        with self._lock:
            known = self._known()
            template = change(known.get(template_id))
            changed = dict(sorted({**known, template_id: template}.items()))
            _check(template, changed)
            self._write(changed)
            self._templates = changed

    def _known(self) -> dict[str, Template]:
        if self._templates is None:
            try:
                templates = msgspec.json.decode(self._path.read_bytes(), type=list[Template])
            except FileNotFoundError:
                templates = []
            except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise TemplateError(f"{self._path} cannot be read: {error}; repair the file, or move it away") from None
            self._templates = {template.id: template for template in sorted(templates, key=lambda one: one.id)}
        return self._templates

    def _write(self, templates: dict[str, Template]) -> None:
        """Replace the file as a whole, so that a crash leaves the old one or the new one."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=f"{self._path.name}.")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(msgspec.json.encode(list(templates.values())))
                    file.flush()
                    os.fsync(file.fileno())
                Path(name).replace(self._path)
            except BaseException:
                with contextlib.suppress(OSError):
                    Path(name).unlink()
                raise
        except OSError as error:
            raise TemplateError(
                f"{self._path} cannot be written: {error}; make room, or let the backend write there"
            ) from None


def _check(template: Template, together: dict[str, Template]) -> None:
    if len(template.configuration) > MAXIMUM_CONFIGURATION:
        raise TemplateError(f"the configuration is longer than {MAXIMUM_CONFIGURATION:,} characters: make it smaller")
    if len(together) > MAXIMUM_TEMPLATES:
        raise TemplateError(f"there are {MAXIMUM_TEMPLATES:,} templates already: change one that is no longer needed")
    if sum(len(one.configuration) for one in together.values()) > MAXIMUM_TOGETHER:
        raise TemplateError(
            f"all configurations together are longer than {MAXIMUM_TOGETHER:,} characters: make some smaller"
        )
