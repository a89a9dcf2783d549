from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor

class BackupType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BACKUP_TYPE_UNSPECIFIED: _ClassVar[BackupType]
    BACKUP_TYPE_FULL: _ClassVar[BackupType]
    BACKUP_TYPE_INCREMENTAL: _ClassVar[BackupType]
    BACKUP_TYPE_UNKNOWN_VALUE: _ClassVar[BackupType]

class SourceType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SOURCE_TYPE_UNSPECIFIED: _ClassVar[SourceType]
    SOURCE_TYPE_MANUAL: _ClassVar[SourceType]
    SOURCE_TYPE_SCHEDULED: _ClassVar[SourceType]
    SOURCE_TYPE_UNKNOWN_VALUE: _ClassVar[SourceType]

class LifecycleState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LIFECYCLE_STATE_UNSPECIFIED: _ClassVar[LifecycleState]
    LIFECYCLE_STATE_REQUEST_RECEIVED: _ClassVar[LifecycleState]
    LIFECYCLE_STATE_CREATING: _ClassVar[LifecycleState]
    LIFECYCLE_STATE_COMMITTED: _ClassVar[LifecycleState]
    LIFECYCLE_STATE_AVAILABLE: _ClassVar[LifecycleState]
    LIFECYCLE_STATE_FAULTY: _ClassVar[LifecycleState]
    LIFECYCLE_STATE_TERMINATING: _ClassVar[LifecycleState]
    LIFECYCLE_STATE_TERMINATED: _ClassVar[LifecycleState]
    LIFECYCLE_STATE_UNKNOWN_VALUE: _ClassVar[LifecycleState]
BACKUP_TYPE_UNSPECIFIED: BackupType
BACKUP_TYPE_FULL: BackupType
BACKUP_TYPE_INCREMENTAL: BackupType
BACKUP_TYPE_UNKNOWN_VALUE: BackupType
SOURCE_TYPE_UNSPECIFIED: SourceType
SOURCE_TYPE_MANUAL: SourceType
SOURCE_TYPE_SCHEDULED: SourceType
SOURCE_TYPE_UNKNOWN_VALUE: SourceType
LIFECYCLE_STATE_UNSPECIFIED: LifecycleState
LIFECYCLE_STATE_REQUEST_RECEIVED: LifecycleState
LIFECYCLE_STATE_CREATING: LifecycleState
LIFECYCLE_STATE_COMMITTED: LifecycleState
LIFECYCLE_STATE_AVAILABLE: LifecycleState
LIFECYCLE_STATE_FAULTY: LifecycleState
LIFECYCLE_STATE_TERMINATING: LifecycleState
LIFECYCLE_STATE_TERMINATED: LifecycleState
LIFECYCLE_STATE_UNKNOWN_VALUE: LifecycleState
