"""The stubs and OCI's own SDK are usable in one process: neither hides the other."""

import oci.core.models
from ocibackup.v1 import volume_backup_pb2

details = oci.core.models.CreateVolumeBackupDetails(volume_id="ocid1.volume.oc1.iad.x")
request = volume_backup_pb2.CreateVolumeBackupRequest(volume_id=details.volume_id)
assert request.volume_id == "ocid1.volume.oc1.iad.x"
