from ocibackup.v1 import boot_volume_backup_pb2 as _boot_volume_backup_pb2
from ocibackup.v1 import volume_backup_pb2 as _volume_backup_pb2
from google.protobuf import descriptor as _descriptor
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor
