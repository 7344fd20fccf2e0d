"""An SSH connection to a board: host keys checked, every failure one clear error.

A host key is never accepted on first sight: the board's answers decide what is reported as
measured, and its user may be root.
"""

from __future__ import annotations

import contextlib
import logging
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeflow.errors import DeployError, InputError

if TYPE_CHECKING:
    import paramiko

CONNECT_TIMEOUT = 15.0
"""Seconds for each step of connecting: TCP, banner, authentication, opening a channel."""

LOST_AFTER = 20.0
"""Seconds without an acknowledgement after which a board counts as gone."""

USER_KNOWN_HOSTS = Path("~/.ssh/known_hosts")
SYSTEM_KNOWN_HOSTS = Path("/etc/ssh/ssh_known_hosts")


@dataclass(frozen=True)
class Address:
    """Where a board is, and as whom to log in (None: the local user's name)."""

    host: str
    port: int = 22
    user: str | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        user = f"{self.user}@" if self.user else ""
        return f"{user}{host}" if self.port == 22 else f"{user}{host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read ``[user@]host[:port]``; an IPv6 address stands in brackets.

        Raises:
            InputError: it is none.
        """
        host = r"\[(?P<six>[\w:.%]+)\]|(?P<host>[^@:\s\[\]]+)"
        pattern = rf"(?:(?P<user>[^@\s]+)@)?(?:{host})(?::(?P<port>\d+))?"
        found = re.fullmatch(pattern, text)
        port = int(found["port"] or 22) if found else 0
        if found is None or not 0 < port < 65536 or text.startswith("-"):
            raise InputError(
                f"expected a board as USER@HOST or USER@HOST:PORT, found '{text}'", where="--host"
            )
        return cls(found["six"] or found["host"], port, found["user"])


@dataclass
class Board:
    """An open connection. Use `connect`, which closes it."""

    address: Address
    client: paramiko.SSHClient
    step: str = "connecting"
    _steps: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def during(self, step: str) -> Iterator[None]:
        """Name what is being done, for the error where the connection breaks."""
        before, self.step = self.step, step
        yield
        self.step = before

    def run(self, command: str, timeout: float) -> tuple[int | None, str, str]:
        """Run a command on the board.

        Returns its exit status (None where a signal ended it), standard output and error (their
        last million characters).

        Raises:
            DeployError: it ran longer than `timeout` seconds.
            ConnectionError: the connection broke.
        """
        transport = self.client.get_transport()
        if transport is None:
            raise ConnectionError("not connected")
        end = time.monotonic() + timeout
        output, errors = bytearray(), bytearray()
        with transport.open_session(timeout=CONNECT_TIMEOUT) as channel:
            channel.exec_command(command)
            while True:
                finished = (
                    channel.exit_status_ready() or channel.closed or not transport.is_active()
                )
                while channel.recv_ready():
                    output += channel.recv(65536)
                while channel.recv_stderr_ready():
                    errors += channel.recv_stderr(65536)
                del output[:-1_000_000], errors[:-1_000_000]
                if finished and (channel.eof_received or channel.closed):
                    break
                if not transport.is_active():
                    break
                if time.monotonic() > end:
                    raise DeployError(
                        f"the board did not finish within {timeout:g} s",
                        where=str(self.address),
                        remedy="see whether it is busy; allow it more time",
                    )
                time.sleep(0.01)
            status = channel.exit_status if channel.exit_status_ready() else -1
        if not transport.is_active():
            raise ConnectionError("the connection ended")
        return (
            None if status == -1 else status,
            output.decode(errors="replace"),
            errors.decode(errors="replace"),
        )


@contextlib.contextmanager
def connect(
    address: Address,
    *,
    identity: Path | None = None,
    known_hosts: Path | None = None,
    ask: Callable[[str], str] | None = None,
) -> Iterator[Board]:
    """A connection to a board, closed at the end.

    Args:
        address: where it is.
        identity: the private key's file; by default the agent's keys and those in ``~/.ssh``.
        known_hosts: the file with the keys of known hosts; by default the user's and the system's.
        ask: asks a person for a password or passphrase; None where there is no person.

    Raises:
        InputError: a file cannot be read.
        DeployError: the board cannot be reached, its key is unknown or another one, it refuses
            the login, or the connection breaks before the end.
    """
    import paramiko

    logging.getLogger("paramiko").addHandler(logging.NullHandler())
    client = paramiko.SSHClient()
    _load_known_hosts(client, known_hosts)
    client.set_missing_host_key_policy(_refusing(address, known_hosts))
    board = Board(address, client)
    try:
        _open(client, address, identity, ask)
        yield board
    except (TimeoutError, ConnectionError, EOFError, paramiko.SSHException) as error:
        text = str(error) or type(error).__name__
        raise DeployError(
            f"the connection to the board was lost while {board.step}: {text}",
            where=str(address),
            remedy="see that the board is on and on the network, and run the command again",
        ) from None
    finally:
        client.close()


def _open(
    client: paramiko.SSHClient,
    address: Address,
    identity: Path | None,
    ask: Callable[[str], str] | None,
) -> None:
    import paramiko

    key = _key(identity, ask) if identity else None
    where = str(address)
    password: str | None = None
    while True:
        try:
            client.connect(
                address.host,
                address.port,
                address.user,
                password,
                pkey=key,
                allow_agent=key is None,
                look_for_keys=key is None,
                sock=_socket(address),
                timeout=CONNECT_TIMEOUT,
                banner_timeout=CONNECT_TIMEOUT,
                auth_timeout=CONNECT_TIMEOUT,
                channel_timeout=CONNECT_TIMEOUT,
            )
        except paramiko.BadHostKeyException as error:
            raise DeployError(
                f"the host key of the board has changed: expected "
                f"{error.expected_key.fingerprint}, found {error.key.fingerprint} "
                f"({error.key.get_name()})",
                where=where,
                remedy="somebody may be in between. If the board was really set up anew, remove "
                f"its old key with `ssh-keygen -R {_known_name(address)}` and add the new one",
            ) from None
        except paramiko.AuthenticationException as error:
            if ask is not None and password is None and key is None:
                password = ask(f"password for {address}: ")
                continue
            raise DeployError(
                f"the board refused the login: {error}",
                where=where,
                remedy="add your public key to the board with `ssh-copy-id`, or name the right "
                "private key with --identity",
            ) from None
        except paramiko.SSHException as error:
            if "No authentication methods" in str(error):
                raise DeployError(
                    "no key to log in with: no agent, and none in ~/.ssh",
                    where=where,
                    remedy="name a private key with --identity, or start an agent",
                ) from None
            raise DeployError(
                f"expected an SSH server, found something else: {error}", where=where
            ) from None
        except EOFError:
            raise DeployError("the board closed the connection at once", where=where) from None
        else:
            transport = client.get_transport()
            if transport is not None:
                transport.set_keepalive(5)
            return


def _socket(address: Address) -> socket.socket:
    try:
        made = socket.create_connection((address.host, address.port), CONNECT_TIMEOUT)
    except OSError as error:
        raise DeployError(
            f"the board cannot be reached: {error.strerror or error}",
            where=str(address),
            remedy="see that it is on and on the network, that the name and port are right, and "
            "that its SSH server runs",
        ) from None
    if sys.platform == "linux":
        # With the keepalive, a board that vanishes without a word is noticed after this time.
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(LOST_AFTER * 1000))
    return made


def _key(path: Path, ask: Callable[[str], str] | None) -> paramiko.PKey:
    import paramiko

    passphrase: Any = None  # bytes; paramiko's type says str, cryptography wants bytes
    while True:
        try:
            return paramiko.PKey.from_path(path, passphrase)
        except FileNotFoundError:
            raise InputError("expected a private key, found no file", where=str(path)) from None
        except OSError as error:
            raise InputError(f"cannot read the key: {error.strerror}", where=str(path)) from None
        except (paramiko.PasswordRequiredException, TypeError):
            if ask is None or passphrase is not None:
                raise DeployError(
                    "the private key has a passphrase, and there is no terminal to ask for it",
                    where=str(path),
                    remedy="add the key to an agent with `ssh-add`, and leave out --identity",
                ) from None
            passphrase = ask(f"passphrase for {path}: ").encode()
        except (ValueError, paramiko.SSHException, paramiko.pkey.UnknownKeyType) as error:
            raise InputError(
                f"expected a private key, found something else: {error}", where=str(path)
            ) from None


def _load_known_hosts(client: paramiko.SSHClient, known_hosts: Path | None) -> None:
    """Load the known keys; broken lines are passed over, revoked keys are not known."""
    import paramiko
    from paramiko.hostkeys import HostKeyEntry, InvalidHostKey

    usual = [path for path in (USER_KNOWN_HOSTS.expanduser(), SYSTEM_KNOWN_HOSTS) if path.exists()]
    entries: list[HostKeyEntry] = []
    revoked: list[paramiko.PKey] = []
    for path in [known_hosts] if known_hosts else usual:
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise InputError(
                f"cannot read the known hosts: {error.strerror}", where=str(path)
            ) from None
        for line in text.splitlines():
            marker, _, rest = line.strip().partition(" ")
            with contextlib.suppress(InvalidHostKey, paramiko.SSHException, ValueError):
                entry = HostKeyEntry.from_line(rest if marker == "@revoked" else line.strip())
                if entry is not None and entry.key is not None:
                    if marker == "@revoked":
                        revoked.append(entry.key)
                    else:
                        entries.append(entry)
    for entry in entries:
        if entry.key is not None and entry.key not in revoked:
            for name in entry.hostnames or ():
                client.get_host_keys().add(name, entry.key.get_name(), entry.key)


def _known_name(address: Address) -> str:
    return address.host if address.port == 22 else f"'[{address.host}]:{address.port}'"


def _refusing(address: Address, known_hosts: Path | None) -> paramiko.MissingHostKeyPolicy:
    import paramiko

    class Refuse(paramiko.MissingHostKeyPolicy):
        """Refuses every key that is not known."""

        def missing_host_key(self, _client: object, _name: str, key: paramiko.PKey) -> None:
            file = known_hosts or USER_KNOWN_HOSTS
            port = "" if address.port == 22 else f"-p {address.port} "
            raise DeployError(
                f"the board's host key is not known: {key.fingerprint} ({key.get_name()})",
                where=str(address),
                remedy="compare it with what `ssh-keygen -lf /etc/ssh/ssh_host_*_key.pub` prints "
                "on the board itself; if they are the same, "
                f"`ssh-keyscan {port}{address.host} >> {file}`",
            )

    return Refuse()
