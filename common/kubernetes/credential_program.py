"""Credentials that a program gives, as those of cloud providers do.

https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
"""

import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import Annotated, Final

import msgspec

from common.kubernetes.access import AccessError
from common.kubernetes.answers import UNDECODABLE

_SECONDS: Final = 60.0
"""A program that takes longer is ended."""
_EARLY: Final = timedelta(seconds=30)
"""Credentials are replaced so long before they expire."""
_LONGEST_COMPLAINT: Final = 300


class Variable(msgspec.Struct, frozen=True):
    """An environment variable."""

    name: str
    value: str


class Program(msgspec.Struct, frozen=True, rename="camel"):
    """The entry `exec` of a user in a kubeconfig file."""

    command: str
    api_version: str
    args: list[str] | None = None
    env: list[Variable] | None = None
    install_hint: str = ""


class Credential(msgspec.Struct, frozen=True):
    """What a program gave. Empty texts are not given."""

    token: str = ""
    certificate: str = msgspec.field(default="", name="clientCertificateData")
    key: str = msgspec.field(default="", name="clientKeyData")
    expires: Annotated[datetime, msgspec.Meta(tz=True)] | None = msgspec.field(default=None, name="expirationTimestamp")


class _Answer(msgspec.Struct, frozen=True):
    status: Credential


class CredentialProgram:
    """Runs a program when its last answer is no longer good. Any thread may ask."""

    def __init__(self, program: Program, file: Path) -> None:
        self._program = program
        self._file = file
        self._lock = Lock()
        self._known: Credential | None = None

    def credential(self) -> Credential:
        """What the program gives.

        Raises:
            AccessError: it does not run, fails, or gives nothing.
        """
        with self._lock:
            if self._known is None or _is_over(self._known):
                self._known = self._run()
            return self._known

    def _run(self) -> Credential:
        program = self._program
        # With a slash it is a path, relative to the file that names it; else it is looked for in PATH.
        command = str(self._file.parent / program.command) if "/" in program.command else program.command
        told = {"kind": "ExecCredential", "apiVersion": program.api_version, "spec": {"interactive": False}}
        environment = dict(os.environ)
        environment |= {variable.name: variable.value for variable in program.env or ()}
        environment["KUBERNETES_EXEC_INFO"] = msgspec.json.encode(told).decode()
        try:
            ran = subprocess.run(
                [command, *(program.args or ())],
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=True,
                timeout=_SECONDS,
            )
            credential = msgspec.json.decode(ran.stdout, type=_Answer).status
        except OSError as error:
            raise self._failed(f"cannot be run: {error.strerror}. {program.install_hint}".strip()) from error
        except subprocess.TimeoutExpired as error:
            raise self._failed(f"took longer than {_SECONDS:g} s") from error
        except subprocess.CalledProcessError as error:
            said = error.stderr.decode(errors="replace").strip()[-_LONGEST_COMPLAINT:]
            raise self._failed(f"failed with status {error.returncode}: {said}") from error
        except UNDECODABLE as error:
            raise self._failed(f"must print an ExecCredential: {error}") from error
        if not credential.token and not credential.certificate:
            raise self._failed("gave neither a token nor a certificate")
        return credential

    def _failed(self, why: str) -> AccessError:
        return AccessError(f"{self._file}: the program {self._program.command!r} that gives credentials {why}")


def _is_over(credential: Credential) -> bool:
    return credential.expires is not None and datetime.now(UTC) >= credential.expires - _EARLY
