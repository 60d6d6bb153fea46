"""What a key of the configuration is declared by: its type and default in a class, and this beside the type."""

import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from msgspec import inspect

NO_DEFAULT: Final = msgspec.NODEFAULT


@dataclass(frozen=True, slots=True)
class Key:
    """Stands in the annotation of a key, after its type.

    Attributes:
        variable: the environment variable that sets it; empty for none.
        meaning: what it does, for docs/agent-configuration.md.
        also: further variables that set it, when `variable` does not.
        secret: whether no message may show its value.
        takes: what values it takes, where its type does not say so in words.
    """

    variable: str
    meaning: str
    also: tuple[str, ...] = ()
    secret: bool = False
    takes: str = ""


@dataclass(frozen=True, slots=True)
class Declared:
    """A field of a section.

    Attributes:
        name: as the file spells it.
        kind: its type, with its bounds.
        default: its value when nothing sets it, NO_DEFAULT when something has to.
        key: how it was declared; None for a section and for a list of sections.
        section: the class of the section, or of the list's elements.
        is_list: whether it is a list of sections.
    """

    name: str
    kind: Any
    default: object
    key: Key | None
    section: type[msgspec.Struct] | None
    is_list: bool

    @property
    def allowed(self) -> str:
        """What values it takes, in words."""
        return (self.key.takes if self.key is not None else "") or _allowed(inspect.type_info(self.kind))


def declared(section: type[msgspec.Struct]) -> dict[str, Declared]:
    """The fields of a section, by name."""
    hints = typing.get_type_hints(section, include_extras=True)
    return {
        field.encode_name: _declared(field.encode_name, hints[field.name], field.default)
        for field in msgspec.structs.fields(section)
    }


def walk(section: type[msgspec.Struct], path: str = "") -> Iterator[tuple[str, Declared]]:
    """All keys below a section, with their paths; those of the elements of lists under "list[]"."""
    for name, field in declared(section).items():
        below = f"{path}.{name}" if path else name
        if field.section is None or field.is_list:
            yield below, field
        if field.section is not None:
            yield from walk(field.section, f"{below}[]" if field.is_list else below)


def _declared(name: str, hint: Any, default: object) -> Declared:  # noqa: ANN401 - what stands in annotations
    base, *extras = typing.get_args(hint) if typing.get_origin(hint) is typing.Annotated else (hint,)
    key = next((extra for extra in extras if isinstance(extra, Key)), None)
    inner = typing.get_args(base)[:1] if typing.get_origin(base) is tuple else (base,)
    section = next((each for each in inner if isinstance(each, type) and issubclass(each, msgspec.Struct)), None)
    return Declared(name, hint, default, key, section, section is not None and section is not base)


def _allowed(kind: inspect.Type) -> str:
    match kind:
        case inspect.VarTupleType(item_type=item):
            return f"a list, each {_allowed(item)}"
        case inspect.UnionType(types=kinds):
            return " or ".join(_allowed(each) for each in kinds if not isinstance(each, inspect.NoneType))
        case inspect.CustomType(cls=cls):
            return str(cls.ALLOWED)  # type: ignore[attr-defined] # every class of values here says so
        case inspect.LiteralType(values=values):
            return "one of " + ", ".join(map(str, values))
        case inspect.IntType(ge=lowest, le=highest):
            return f"a whole number of at least {lowest}" + (f" and at most {highest}" if highest is not None else "")
    return _WORDS[type(kind)]


_WORDS: Final[Mapping[type[inspect.Type], str]] = {
    inspect.BoolType: "true or false",
    inspect.StrType: "a text; numbers and the like stand in quotes",
}
