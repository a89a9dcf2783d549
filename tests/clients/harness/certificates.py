"""Certificates for the run, by openssl: an authority, a gateway's, a client's, and those of another authority."""

import subprocess
import threading
from pathlib import Path

# Whoever comes first makes them.
MAKING = threading.Lock()


def make(folder: Path) -> Path:
    with MAKING:
        if not folder.exists():
            make_all(folder)
    return folder


def make_all(folder: Path):
    folder.mkdir()
    for authority, names in {"ca": ["gateway", "client"], "other-ca": ["stranger"]}.items():
        openssl(folder, *key(authority), "-x509", "-days", "2", "-subj", f"/CN={authority}", "-out", f"{authority}.pem")
        for name in names:
            extensions = folder / f"{name}.ext"
            extensions.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n")
            openssl(folder, *key(name), "-subj", f"/CN={name}", "-out", f"{name}.csr")
            signed = ["-CA", f"{authority}.pem", "-CAkey", f"{authority}.key", "-CAcreateserial", "-days", "2"]
            subprocess.run(
                ["openssl", "x509", "-req", "-in", f"{name}.csr", *signed, "-extfile", extensions, "-out", f"{name}.pem"],
                cwd=folder,
                check=True,
                capture_output=True,
            )


def key(name: str):
    return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{name}.key"]


def openssl(folder: Path, *arguments):
    subprocess.run(["openssl", "req", *arguments], cwd=folder, check=True, capture_output=True)
