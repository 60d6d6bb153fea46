"""What is served and what its messages look like, for clients that ask (grpcurl, for one).

The reflection protocol of gRPC, in its versions v1 and v1alpha, whose messages are the same.
"""

from collections.abc import AsyncGenerator, Iterable, Iterator

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.message import DecodeError

from backend.ingest.status import CallError, Status
from backend.server.calls import Call, Handler, Streaming
from protos.ebpf import accesslog_pb2, continuous_pb2, process_pb2, profile_pb2
from protos.health import health_pb2
from protos.reflection import reflection_pb2
from protos.reflection.reflection_pb2 import ErrorResponse, ServerReflectionRequest, ServerReflectionResponse

_MESSAGE_LIMIT = 4_096
_VERSIONS = ("v1", "v1alpha")
FILES = tuple(
    module.DESCRIPTOR
    for module in (accesslog_pb2, continuous_pb2, process_pb2, profile_pb2, health_pb2, reflection_pb2)
)
"""The files that declare the services."""


def handlers() -> dict[str, Handler]:
    """The calls by path."""
    reflection = Streaming(Reflection(FILES).answer)
    return {f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo": reflection for version in _VERSIONS}


class Reflection:
    """Answers from what some files declare.

    Args:
        files: Whose services are served. What they import can be asked for too, and nothing else.
    """

    def __init__(self, files: Iterable[FileDescriptor]) -> None:
        self._services: set[str] = set()
        self._files: dict[str, FileDescriptor] = {}
        self._symbols: dict[str, FileDescriptor] = {}
        for file in files:
            self._services |= {service.full_name for service in file.services_by_name.values()}
            for needed in _closure(file):
                self._files[needed.name] = needed
                self._symbols |= dict.fromkeys(_symbols(needed), needed)

    async def answer(self, call: Call) -> AsyncGenerator[bytes, None]:
        """ServerReflectionInfo: one answer for each question, in order."""
        async for data in call.messages(_MESSAGE_LIMIT):
            try:
                request = ServerReflectionRequest.FromString(data)
            except DecodeError as error:
                raise CallError(Status.INTERNAL, f"the message cannot be decoded: {error}") from error
            yield self.respond(request).SerializeToString()

    def respond(self, request: ServerReflectionRequest) -> ServerReflectionResponse:
        """The answer to one question."""
        response = ServerReflectionResponse(valid_host=request.host, original_request=request)
        match request.WhichOneof("message_request"):
            case "list_services":
                for name in sorted(self._services):
                    response.list_services_response.service.add(name=name)
            case "file_by_filename":
                self._tell(response, self._files.get(request.file_by_filename), request.file_by_filename)
            case "file_containing_symbol":
                symbol = request.file_containing_symbol
                self._tell(response, self._symbols.get(symbol), symbol)
            case "all_extension_numbers_of_type":
                # There are no extensions in proto3 but those of options.
                if (name := request.all_extension_numbers_of_type) in self._symbols:
                    response.all_extension_numbers_response.base_type_name = name
                else:
                    response.error_response.CopyFrom(_not_found(name))
            case "file_containing_extension":
                response.error_response.CopyFrom(
                    _not_found(f"extension of {request.file_containing_extension.containing_type}")
                )
            case _:
                response.error_response.error_code = int(Status.INVALID_ARGUMENT)
                response.error_response.error_message = "the message asks for nothing that is known"
        return response

    @staticmethod
    def _tell(response: ServerReflectionResponse, file: FileDescriptor | None, name: str) -> None:
        if file is None:
            response.error_response.CopyFrom(_not_found(name))
            return
        for needed in _closure(file):
            described = FileDescriptorProto()
            needed.CopyToProto(described)
            response.file_descriptor_response.file_descriptor_proto.append(described.SerializeToString())


def _not_found(name: str) -> ErrorResponse:
    return ErrorResponse(error_code=int(Status.NOT_FOUND), error_message=f"{name} is not served here")


def _closure(file: FileDescriptor) -> list[FileDescriptor]:
    """A file and all that it imports, the file first, each once."""
    found = {file.name: file}
    waiting = [file]
    while waiting:
        for needed in waiting.pop().dependencies:
            if needed.name not in found:
                found[needed.name] = needed
                waiting.append(needed)
    return list(found.values())


def _symbols(file: FileDescriptor) -> Iterator[str]:
    """Full names of what a file declares, that of methods and of what messages hold included."""
    described = FileDescriptorProto()
    file.CopyToProto(described)
    package = f"{described.package}." if described.package else ""
    for service in described.service:
        yield f"{package}{service.name}"
        yield from (f"{package}{service.name}.{method.name}" for method in service.method)
    for enumeration in described.enum_type:
        yield f"{package}{enumeration.name}"
    messages = [(package, message) for message in described.message_type]
    while messages:
        prefix, message = messages.pop()
        name = f"{prefix}{message.name}"
        yield name
        yield from (f"{name}.{item.name}" for item in message.field)
        yield from (f"{name}.{enumeration.name}" for enumeration in message.enum_type)
        messages += [(f"{name}.", inner) for inner in message.nested_type]
