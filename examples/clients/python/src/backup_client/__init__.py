"""Backups of OCI's volumes and boot volumes, through oci-backup-gateway: `channel`, `client` and `explain`."""
