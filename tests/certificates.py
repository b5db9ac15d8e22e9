"""Real certificates for tests, made by the `openssl` program: a CA, and who it signs for."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


class Authority:
    """A CA with its files in `folder`: `ca` for those who trust it, `issue` for those it signs.

    A certificate of -1 `days` has expired.
    """

    def __init__(self, folder: Path, name: str = "ca", days: int = 2):
        if shutil.which("openssl") is None:
            pytest.skip("needs the openssl program")
        self.folder, self.name = folder, name
        self.ca, self._key = folder / f"{name}.pem", folder / f"{name}.key"
        extensions = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n"
        self._sign(self.ca, self._key, ["-signkey", self._key], extensions, days)

    def issue(self, name: str, host: str = "IP:127.0.0.1", days: int = 2) -> tuple[Path, Path]:
        """Return certificate and key of `name` at `host`."""
        cert, key = self.folder / f"{self.name}-{name}.pem", self.folder / f"{self.name}-{name}.key"
        signer = ["-CA", self.ca, "-CAkey", self._key, "-CAcreateserial"]
        self._sign(cert, key, signer, f"subjectAltName={host}\n", days)
        return cert, key

    def _sign(
        self, cert: Path, key: Path, signer: list[str | Path], extensions: str, days: int
    ) -> None:
        request, extra = cert.with_suffix(".csr"), cert.with_suffix(".ext")
        extra.write_text(extensions)
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-keyout", key]
        openssl("req", "-nodes", "-subj", f"/CN={cert.stem}", *curve, "-out", request)
        openssl(
            *("x509", "-req", "-in", request, "-out", cert, "-days", days, "-extfile", extra),
            *signer,
        )


def openssl(*args: object) -> None:
    """Run openssl; its words are the error's."""
    done = subprocess.run(["openssl", *map(str, args)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
