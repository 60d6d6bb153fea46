from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AlarmMessage(_message.Message):
    __slots__ = ("scopeId", "scope", "name", "id0", "id1", "ruleName", "alarmMessage", "startTime", "tags", "uuid")
    SCOPEID_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ID0_FIELD_NUMBER: _ClassVar[int]
    ID1_FIELD_NUMBER: _ClassVar[int]
    RULENAME_FIELD_NUMBER: _ClassVar[int]
    ALARMMESSAGE_FIELD_NUMBER: _ClassVar[int]
    STARTTIME_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    UUID_FIELD_NUMBER: _ClassVar[int]
    scopeId: int
    scope: str
    name: str
    id0: str
    id1: str
    ruleName: str
    alarmMessage: str
    startTime: int
    tags: AlarmTags
    uuid: str
    def __init__(self, scopeId: _Optional[int] = ..., scope: _Optional[str] = ..., name: _Optional[str] = ..., id0: _Optional[str] = ..., id1: _Optional[str] = ..., ruleName: _Optional[str] = ..., alarmMessage: _Optional[str] = ..., startTime: _Optional[int] = ..., tags: _Optional[_Union[AlarmTags, _Mapping]] = ..., uuid: _Optional[str] = ...) -> None: ...

class AlarmRecoveryMessage(_message.Message):
    __slots__ = ("scopeId", "scope", "name", "id0", "id1", "ruleName", "alarmMessage", "startTime", "tags", "uuid", "recoveryTime")
    SCOPEID_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ID0_FIELD_NUMBER: _ClassVar[int]
    ID1_FIELD_NUMBER: _ClassVar[int]
    RULENAME_FIELD_NUMBER: _ClassVar[int]
    ALARMMESSAGE_FIELD_NUMBER: _ClassVar[int]
    STARTTIME_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    UUID_FIELD_NUMBER: _ClassVar[int]
    RECOVERYTIME_FIELD_NUMBER: _ClassVar[int]
    scopeId: int
    scope: str
    name: str
    id0: str
    id1: str
    ruleName: str
    alarmMessage: str
    startTime: int
    tags: AlarmTags
    uuid: str
    recoveryTime: int
    def __init__(self, scopeId: _Optional[int] = ..., scope: _Optional[str] = ..., name: _Optional[str] = ..., id0: _Optional[str] = ..., id1: _Optional[str] = ..., ruleName: _Optional[str] = ..., alarmMessage: _Optional[str] = ..., startTime: _Optional[int] = ..., tags: _Optional[_Union[AlarmTags, _Mapping]] = ..., uuid: _Optional[str] = ..., recoveryTime: _Optional[int] = ...) -> None: ...

class AlarmTags(_message.Message):
    __slots__ = ("data",)
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: _containers.RepeatedCompositeFieldContainer[KeyStringValuePair]
    def __init__(self, data: _Optional[_Iterable[_Union[KeyStringValuePair, _Mapping]]] = ...) -> None: ...

class KeyStringValuePair(_message.Message):
    __slots__ = ("key", "value")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    key: str
    value: str
    def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class Response(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
