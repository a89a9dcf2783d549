import datetime

from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from ocibackup.v1 import backup_pb2 as _backup_pb2
from ocibackup.v1 import retention_pb2 as _retention_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class BootVolumeBackup(_message.Message):
    __slots__ = ("id", "compartment_id", "boot_volume_id", "display_name", "type", "lifecycle_state", "source_type", "time_created", "time_request_received", "expiration_time", "size_in_gbs", "unique_size_in_gbs", "image_id", "kms_key_id", "source_boot_volume_backup_id", "volume_group_backup_id", "freeform_tags", "defined_tags", "system_tags", "retention_period", "time_retention_expires_at", "is_prevent_deletion_enabled", "is_retention_lock_enabled", "is_indefinite_retention_enabled", "etag")
    class FreeformTagsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class DefinedTagsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _struct_pb2.Struct
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...
    class SystemTagsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _struct_pb2.Struct
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    COMPARTMENT_ID_FIELD_NUMBER: _ClassVar[int]
    BOOT_VOLUME_ID_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    LIFECYCLE_STATE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_TYPE_FIELD_NUMBER: _ClassVar[int]
    TIME_CREATED_FIELD_NUMBER: _ClassVar[int]
    TIME_REQUEST_RECEIVED_FIELD_NUMBER: _ClassVar[int]
    EXPIRATION_TIME_FIELD_NUMBER: _ClassVar[int]
    SIZE_IN_GBS_FIELD_NUMBER: _ClassVar[int]
    UNIQUE_SIZE_IN_GBS_FIELD_NUMBER: _ClassVar[int]
    IMAGE_ID_FIELD_NUMBER: _ClassVar[int]
    KMS_KEY_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_BOOT_VOLUME_BACKUP_ID_FIELD_NUMBER: _ClassVar[int]
    VOLUME_GROUP_BACKUP_ID_FIELD_NUMBER: _ClassVar[int]
    FREEFORM_TAGS_FIELD_NUMBER: _ClassVar[int]
    DEFINED_TAGS_FIELD_NUMBER: _ClassVar[int]
    SYSTEM_TAGS_FIELD_NUMBER: _ClassVar[int]
    RETENTION_PERIOD_FIELD_NUMBER: _ClassVar[int]
    TIME_RETENTION_EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    IS_PREVENT_DELETION_ENABLED_FIELD_NUMBER: _ClassVar[int]
    IS_RETENTION_LOCK_ENABLED_FIELD_NUMBER: _ClassVar[int]
    IS_INDEFINITE_RETENTION_ENABLED_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    id: str
    compartment_id: str
    boot_volume_id: str
    display_name: str
    type: _backup_pb2.BackupType
    lifecycle_state: _backup_pb2.LifecycleState
    source_type: _backup_pb2.SourceType
    time_created: _timestamp_pb2.Timestamp
    time_request_received: _timestamp_pb2.Timestamp
    expiration_time: _timestamp_pb2.Timestamp
    size_in_gbs: int
    unique_size_in_gbs: int
    image_id: str
    kms_key_id: str
    source_boot_volume_backup_id: str
    volume_group_backup_id: str
    freeform_tags: _containers.ScalarMap[str, str]
    defined_tags: _containers.MessageMap[str, _struct_pb2.Struct]
    system_tags: _containers.MessageMap[str, _struct_pb2.Struct]
    retention_period: _retention_pb2.RetentionDuration
    time_retention_expires_at: _timestamp_pb2.Timestamp
    is_prevent_deletion_enabled: bool
    is_retention_lock_enabled: bool
    is_indefinite_retention_enabled: bool
    etag: str
    def __init__(self, id: _Optional[str] = ..., compartment_id: _Optional[str] = ..., boot_volume_id: _Optional[str] = ..., display_name: _Optional[str] = ..., type: _Optional[_Union[_backup_pb2.BackupType, str]] = ..., lifecycle_state: _Optional[_Union[_backup_pb2.LifecycleState, str]] = ..., source_type: _Optional[_Union[_backup_pb2.SourceType, str]] = ..., time_created: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., time_request_received: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expiration_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., size_in_gbs: _Optional[int] = ..., unique_size_in_gbs: _Optional[int] = ..., image_id: _Optional[str] = ..., kms_key_id: _Optional[str] = ..., source_boot_volume_backup_id: _Optional[str] = ..., volume_group_backup_id: _Optional[str] = ..., freeform_tags: _Optional[_Mapping[str, str]] = ..., defined_tags: _Optional[_Mapping[str, _struct_pb2.Struct]] = ..., system_tags: _Optional[_Mapping[str, _struct_pb2.Struct]] = ..., retention_period: _Optional[_Union[_retention_pb2.RetentionDuration, _Mapping]] = ..., time_retention_expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., is_prevent_deletion_enabled: _Optional[bool] = ..., is_retention_lock_enabled: _Optional[bool] = ..., is_indefinite_retention_enabled: _Optional[bool] = ..., etag: _Optional[str] = ...) -> None: ...

class CreateBootVolumeBackupRequest(_message.Message):
    __slots__ = ("boot_volume_id", "display_name", "type", "kms_key_id", "freeform_tags", "defined_tags", "retention_period", "is_prevent_deletion_enabled", "is_retention_lock_enabled", "is_indefinite_retention_enabled", "retry_token")
    class FreeformTagsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class DefinedTagsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _struct_pb2.Struct
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...
    BOOT_VOLUME_ID_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    KMS_KEY_ID_FIELD_NUMBER: _ClassVar[int]
    FREEFORM_TAGS_FIELD_NUMBER: _ClassVar[int]
    DEFINED_TAGS_FIELD_NUMBER: _ClassVar[int]
    RETENTION_PERIOD_FIELD_NUMBER: _ClassVar[int]
    IS_PREVENT_DELETION_ENABLED_FIELD_NUMBER: _ClassVar[int]
    IS_RETENTION_LOCK_ENABLED_FIELD_NUMBER: _ClassVar[int]
    IS_INDEFINITE_RETENTION_ENABLED_FIELD_NUMBER: _ClassVar[int]
    RETRY_TOKEN_FIELD_NUMBER: _ClassVar[int]
    boot_volume_id: str
    display_name: str
    type: _backup_pb2.BackupType
    kms_key_id: str
    freeform_tags: _containers.ScalarMap[str, str]
    defined_tags: _containers.MessageMap[str, _struct_pb2.Struct]
    retention_period: _retention_pb2.RetentionDuration
    is_prevent_deletion_enabled: bool
    is_retention_lock_enabled: bool
    is_indefinite_retention_enabled: bool
    retry_token: str
    def __init__(self, boot_volume_id: _Optional[str] = ..., display_name: _Optional[str] = ..., type: _Optional[_Union[_backup_pb2.BackupType, str]] = ..., kms_key_id: _Optional[str] = ..., freeform_tags: _Optional[_Mapping[str, str]] = ..., defined_tags: _Optional[_Mapping[str, _struct_pb2.Struct]] = ..., retention_period: _Optional[_Union[_retention_pb2.RetentionDuration, _Mapping]] = ..., is_prevent_deletion_enabled: _Optional[bool] = ..., is_retention_lock_enabled: _Optional[bool] = ..., is_indefinite_retention_enabled: _Optional[bool] = ..., retry_token: _Optional[str] = ...) -> None: ...

class CreateBootVolumeBackupResponse(_message.Message):
    __slots__ = ("boot_volume_backup",)
    BOOT_VOLUME_BACKUP_FIELD_NUMBER: _ClassVar[int]
    boot_volume_backup: BootVolumeBackup
    def __init__(self, boot_volume_backup: _Optional[_Union[BootVolumeBackup, _Mapping]] = ...) -> None: ...
