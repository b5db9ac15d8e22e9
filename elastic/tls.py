"""Certificates: which files, whether they fit, and their bytes. No network.

What can be wrong with them is found before anything is started, by OpenSSL itself: the certificate
shakes hands with itself in memory, once as the listener and once as the caller.
"""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from elastic import clock
from elastic.errors import ConfigError

__all__ = ["EtcdLogin", "TLSFiles"]


@dataclass(frozen=True)
class TLSFiles:
    """PEM files: whom to trust, and who one is. `flags` is how the user's flags begin."""

    ca: str
    cert: str = ""
    key: str = ""
    flags: str = "--tls"

    def pem(self) -> tuple[bytes, bytes | None, bytes | None]:
        """Return the bytes of CA, certificate and key; None for what there is not.

        Raises:
            ConfigError: a file cannot be read.
        """
        ca = self._read("ca", self.ca)
        return (
            ca,
            self._read("cert", self.cert) if self.cert else None,
            self._read("key", self.key) if self.key else None,
        )

    def ca_digest(self) -> str:
        """Return 'sha256:…' of the certificates that are trusted, in whatever order."""
        context = self._trusting(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        known = sorted(context.get_ca_certs(binary_form=True))
        return f"sha256:{hashlib.sha256(b''.join(known)).hexdigest()}"

    def check(self, host: str | None = None) -> None:
        """Return if the files can be used; by a listener on `host`, if that is given.

        Raises:
            ConfigError: one is missing or no PEM, the key is another's, a certificate has expired,
                or a listener's is not signed by the CA or not for `host`.
        """
        self.pem()
        self._check_ca()
        if not self.cert:
            return
        if host is None:  # who trusts our certificate is not for us to say
            self._shake_hands_as_caller()
        else:
            self._shake_hands_as_member(host)

    # -- the files -----------------------------------------------------------------------------

    def _read(self, which: str, path: str) -> bytes:
        try:
            return Path(path).read_bytes()
        except OSError as error:
            raise self._refuse(which, path, error.strerror or str(error)) from None

    def _refuse(self, which: str, path: str, why: str) -> ConfigError:
        what = {"ca": "certificates of a CA", "cert": "a certificate", "key": "its private key"}
        return ConfigError(f"{self.flags}-{which} expects {what[which]}, got {path!r}: {why}")

    def _check_ca(self) -> None:
        known = self._trusting(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)).get_ca_certs()
        if not known:
            raise self._refuse("ca", self.ca, "there is none in it; give a PEM file")
        for each in known:
            until = str(each["notAfter"])
            if ssl.cert_time_to_seconds(until) < clock.wall():
                raise self._refuse("ca", self.ca, f"one has expired on {until}; renew it")

    def _context(self, server: bool) -> ssl.SSLContext:
        """Return one side of a handshake, which shows our certificate and asks for none."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if self.cert:
            self._show_certificate(context)
        return context

    def _show_certificate(self, context: ssl.SSLContext) -> None:
        try:  # a key under a password would be asked for at the terminal
            context.load_cert_chain(self.cert, self.key, password=lambda: "")
        except ssl.SSLError as error:
            reason = _words(error)
            if "mismatch" in reason:
                why = f"it is not that of {self.cert!r} ({reason})"
                raise self._refuse("key", self.key, why) from None
            why = f"with the key {self.key!r}: {reason}; give PEM files, without a password"
            raise self._refuse("cert", self.cert, why) from None

    def _trusting(self, context: ssl.SSLContext) -> ssl.SSLContext:
        try:
            context.load_verify_locations(self.ca)
        except ssl.SSLError as error:
            raise self._refuse("ca", self.ca, f"{_words(error)}; give a PEM file") from None
        return context

    # -- hands ---------------------------------------------------------------------------------

    def _shake_hands_as_member(self, host: str) -> None:
        server, client = self._context(server=True), self._context(server=False)
        for side in (server, client):
            self._trusting(side)
            side.verify_mode = ssl.CERT_REQUIRED
        client.check_hostname = True
        self._shake_hands(server, client, host)

    def _shake_hands_as_caller(self) -> None:
        """Whoever signed it, it must be a certificate of callers that has not expired."""
        server, client = self._context(server=True), self._context(server=False)
        server.load_verify_locations(self.cert)
        server.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        server.verify_mode = ssl.CERT_REQUIRED
        self._shake_hands(server, client, None)

    def _shake_hands(
        self, server: ssl.SSLContext, client: ssl.SSLContext, host: str | None
    ) -> None:
        there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
        sides = [
            client.wrap_bio(back, there, server_hostname=host),
            server.wrap_bio(there, back, server_side=True),
        ]
        try:
            while sides:
                sides = [side for side in sides if not _is_done(side)]
        except ssl.SSLError as error:
            raise self._refuse("cert", self.cert, f"{_words(error)}; renew it") from None


@dataclass(frozen=True)
class EtcdLogin:
    """How to show etcd who one is: by certificate, by a user's password over TLS, or not at all."""

    tls: TLSFiles | None = None
    user: str = ""
    password: str = field(default="", repr=False)


def _is_done(side: ssl.SSLObject) -> bool:
    try:
        side.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


def _words(error: ssl.SSLError) -> str:
    """Return what OpenSSL says, without its codes."""
    said = getattr(error, "verify_message", "") or (error.reason or "no PEM").replace("_", " ")
    return str(said).lower() if said.isupper() else str(said)
