from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RetentionTimeUnit(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RETENTION_TIME_UNIT_UNSPECIFIED: _ClassVar[RetentionTimeUnit]
    RETENTION_TIME_UNIT_DAYS: _ClassVar[RetentionTimeUnit]
    RETENTION_TIME_UNIT_YEARS: _ClassVar[RetentionTimeUnit]
    RETENTION_TIME_UNIT_UNKNOWN_VALUE: _ClassVar[RetentionTimeUnit]
RETENTION_TIME_UNIT_UNSPECIFIED: RetentionTimeUnit
RETENTION_TIME_UNIT_DAYS: RetentionTimeUnit
RETENTION_TIME_UNIT_YEARS: RetentionTimeUnit
RETENTION_TIME_UNIT_UNKNOWN_VALUE: RetentionTimeUnit

class RetentionDuration(_message.Message):
    __slots__ = ("retention_time_unit", "retention_time_amount")
    RETENTION_TIME_UNIT_FIELD_NUMBER: _ClassVar[int]
    RETENTION_TIME_AMOUNT_FIELD_NUMBER: _ClassVar[int]
    retention_time_unit: RetentionTimeUnit
    retention_time_amount: int
    def __init__(self, retention_time_unit: _Optional[_Union[RetentionTimeUnit, str]] = ..., retention_time_amount: _Optional[int] = ...) -> None: ...
