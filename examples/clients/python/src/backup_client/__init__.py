"""Backups of OCI's volumes and boot volumes, through oci-backup-gateway."""

from backup_client.channel import Tls, open_channel
from backup_client.client import Answer, BackupClient, new_retry_token
from backup_client.explain import Failure, explain

__all__ = ["Answer", "BackupClient", "Failure", "Tls", "explain", "new_retry_token", "open_channel"]
