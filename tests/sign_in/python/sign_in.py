"""OCI's Python SDK signs in to the sandbox by each way that it knows, and makes a backup by each.

    sign_in.py FILES CONTROL    the directory that `sandbox --write-config` wrote; the control address
"""

import contextlib
import json
import os
import pathlib
import sys
import urllib.request

import oci
from oci.auth import signers

# Refusals are awaited here, and a retry would only take time.
NO_RETRY = oci.retry.NoneRetryStrategy()


def main():
    files, control = pathlib.Path(sys.argv[1]), sys.argv[2]
    issuers = Issuers(control)
    for number, (name, variables, sign_in) in enumerate(WAYS):
        with environment(files / variables):
            signer = sign_in()
            print(f"{name:<31} {backup(signer, number)}")
    for check in (
        signs_with_a_key_under_a_passphrase,
        takes_a_new_token_after_401,
        reads_new_certificates,
        refuses_what_the_other_side_refuses,
    ):
        check(files, issuers)
        print(check.__name__)


def api_key():
    return oci.config.from_file(os.environ["OCI_CLI_CONFIG_FILE"])


def security_token():
    config = oci.config.from_file(os.environ["OCI_CLI_CONFIG_FILE"], os.environ["OCI_CLI_PROFILE"])
    token = pathlib.Path(config["security_token_file"]).read_text()
    key = oci.signer.load_private_key_from_file(config["key_file"])
    return signers.SecurityTokenSigner(token, key)


def instance_principal():
    # The SDK reads no variable for the federation endpoint.
    federation = os.environ["OCI_SDK_AUTH_CLIENT_REGION_URL"] + "/v1/x509"
    return signers.InstancePrincipalsSecurityTokenSigner(federation_endpoint=federation)


def oke_workload_identity():
    path = os.environ["OCI_KUBERNETES_SERVICE_ACCOUNT_TOKEN_PATH"]
    return signers.get_oke_workload_identity_resource_principal_signer(service_account_token_path=path)


def resource_principal():
    return signers.get_resource_principals_signer()


def resource_principal_by_values():
    for name in ("OCI_RESOURCE_PRINCIPAL_RPST", "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM"):
        os.environ[name] = pathlib.Path(os.environ[name]).read_text()
    return signers.get_resource_principals_signer()


WAYS = (
    ("api_key", "security-token.env", api_key),
    ("security_token", "security-token.env", security_token),
    ("instance_principal", "instance-principal.env", instance_principal),
    ("oke_workload_identity", "oke-workload-identity.env", oke_workload_identity),
    ("resource_principal, by paths", "resource-principal.env", resource_principal),
    ("resource_principal, by values", "resource-principal.env", resource_principal_by_values),
)


def signs_with_a_key_under_a_passphrase(files, issuers):
    """By values: with a passphrase this SDK cannot read them from files."""
    session = issuers.session(kind="resource", life_seconds=600, passphrase="correct horse")
    with environment(files / "resource-principal.env"):
        os.environ["OCI_RESOURCE_PRINCIPAL_RPST"] = session["token"]
        os.environ["OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM"] = session["private_key_pem"]
        os.environ["OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM_PASSPHRASE"] = "correct horse"
        backup(signers.get_resource_principals_signer(), "passphrase")


def takes_a_new_token_after_401(files, issuers):
    """A token that was revoked is replaced by one exchange, and the call is made."""
    exchanges = (
        ("/v1/x509", "instance-principal.env", instance_principal),
        ("/resourcePrincipalSessionTokens", "oke-workload-identity.env", oke_workload_identity),
    )
    for number, (path, variables, sign_in) in enumerate(exchanges):
        with environment(files / variables):
            signer = sign_in()
            issuers.change(revoke_tokens=True)
            before = issuers.count(path)
            backup(signer, f"revoked{number}", retry_strategy=oci.retry.DEFAULT_RETRY_STRATEGY)
            assert issuers.count(path) == before + 1, path


def reads_new_certificates(files, issuers):
    """A refresh reads the certificates anew; another tenancy in them is an error."""
    with environment(files / "instance-principal.env"):
        signer = instance_principal()
        issuers.change(certificate={})
        signer.refresh_security_token()
        backup(signer, "rotated")
        tenancy = signer.tenancy_id
        issuers.change(certificate={"tenancy": "ocid1.tenancy.oc1..another"})
        fails(signer.refresh_security_token, "tenancy")
        issuers.change(certificate={"tenancy": tenancy})


def refuses_what_the_other_side_refuses(files, issuers):
    """A Basic cluster, and a certificate that is not good any more."""
    with environment(files / "oke-workload-identity.env"):
        issuers.change(cluster="basic")
        fails(oke_workload_identity, "enhanced")
        issuers.change(cluster="enhanced")
    with environment(files / "instance-principal.env"):
        federation = os.environ["OCI_SDK_AUTH_CLIENT_REGION_URL"] + "/v1/x509"
        issuers.change(certificate={"life_seconds": 0})
        fails(
            lambda: signers.InstancePrincipalsSecurityTokenSigner(
                federation_endpoint=federation, federation_client_retry_strategy=NO_RETRY
            ).get_security_token(),
            "expired",
        )
        issuers.change(certificate={})


def fails(act, word):
    try:
        act()
    except Exception as error:  # the SDK raises its own kinds and Python's
        assert word in str(error).lower(), f"{word!r} is not in: {error}"
        return
    raise AssertionError(f"nothing was raised; {word!r} was expected")


def backup(signer, number, **options):
    config, signer = (signer, {}) if isinstance(signer, dict) else ({}, {"signer": signer})
    client = oci.core.BlockstorageClient(
        config, service_endpoint=os.environ["OCI_CLI_ENDPOINT"], **signer
    )
    details = oci.core.models.CreateVolumeBackupDetails(volume_id=f"ocid1.volume.oc1.iad.python{number}")
    return client.create_volume_backup(details, **({"retry_strategy": NO_RETRY} | options)).data.id


class Issuers:
    """The control listener's face for the issuers."""

    def __init__(self, control):
        self.base = f"{control}/sandbox/issuers"

    def change(self, **change):
        self.tell("", change)

    def session(self, **session):
        return json.loads(self.tell("/sessions", session))

    def tell(self, path, body):
        request = urllib.request.Request(self.base + path, json.dumps(body).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read()

    def count(self, path):
        with urllib.request.urlopen(f"{self.base}/ledger", timeout=10) as answer:
            return sum(attempt["path"] == path for attempt in json.load(answer)["attempts"])


@contextlib.contextmanager
def environment(file):
    """The variables of a file of lines NAME=value, and of no other."""
    before = dict(os.environ)
    os.environ.update(line.split("=", 1) for line in file.read_text().splitlines())
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


main()
