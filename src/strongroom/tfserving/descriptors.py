"""Turn a compact table (see `schema`) into protobuf message classes in a pool of their own.

The default pool is never touched: TensorFlow's generated code registers the same symbols there, and protobuf refuses
two files that define one symbol (spec 10.8). Map entries and packing follow proto3.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

ProtoMessage: TypeAlias = Any  # an instance of a class made here; the table, not the type checker, knows its fields

_SCALARS: Final = {
    name: getattr(FieldDescriptorProto, f"TYPE_{name.upper()}")
    for name in ("double", "float", "int64", "uint64", "int32", "bool", "string", "bytes", "uint32")
}
_FIELD: Final = re.compile(r"(\d+) (\w+)(?:/(\w+))? (repeated )?(?:map<(\w+),(\w+)>|(\w+))")
_VALUE: Final = re.compile(r"(\w+) (\d+)")


@dataclass(slots=True)
class _Type:
    """A message or enum of the table: `path` is its name within the package, `lines` what stands under it."""

    package: str
    path: str
    is_enum: bool
    lines: list[str] = field(default_factory=list)

    @property
    def full_name(self) -> str:
        return f"{self.package}.{self.path}"


def message_classes(table: str) -> Callable[[str], Any]:
    """Build every message of `table` in a private pool; return the function from full name to message class."""
    pool = DescriptorPool()
    for file in descriptor_set(table).file:
        pool.Add(file)

    def message_class(full_name: str) -> Any:  # noqa: ANN401  # the class is made at run time
        return GetMessageClass(pool.FindMessageTypeByName(full_name))

    return message_class


def descriptor_set(table: str) -> FileDescriptorSet:
    """Return the table as protobuf's own description, one file a package."""
    types = list(_types(table))
    kinds = {each.full_name: each for each in types}
    result = FileDescriptorSet()
    seen: list[str] = []
    for package in dict.fromkeys(each.package for each in types):
        file = result.file.add(name=f"strongroom/{package}", package=package, syntax="proto3", dependency=seen)
        seen.append(file.name)
        built: dict[str, DescriptorProto] = {}
        for each in (each for each in types if each.package == package):
            outer, _, name = each.path.rpartition(".")
            holder = built.get(outer)
            if each.is_enum:
                _fill_enum((holder or file).enum_type.add(name=name), each)
            else:
                built[each.path] = holder.nested_type.add(name=name) if holder else file.message_type.add(name=name)
        for path, message in built.items():
            _Filler(message, kinds[f"{package}.{path}"], kinds).fill()
    return result


def _types(table: str) -> Iterator[_Type]:
    package, current = "", None
    for line in filter(str.strip, table.splitlines()):
        if line.startswith(" ") and current is not None:
            current.lines.append(line.strip())
            continue
        if current is not None:
            yield current
            current = None
        word, _, name = line.partition(" ")
        if word == "package":
            package = name
        else:
            current = _Type(package, name, word == "enum")
    if current is not None:
        yield current


def _fill_enum(enum: EnumDescriptorProto, source: _Type) -> None:
    for line in source.lines:
        for name, number in _VALUE.findall(line):
            enum.value.add(name=name, number=int(number))


@dataclass(frozen=True, slots=True)
class _Filler:
    """Writes the fields of one message of the table."""

    message: DescriptorProto
    source: _Type
    kinds: dict[str, _Type]

    def fill(self) -> None:
        oneofs: list[str] = []
        for line in self.source.lines:
            match = _FIELD.fullmatch(line)
            if match is None:
                raise ValueError(f"not a field: {line!r}")
            number, name, oneof, repeated, key, value, kind = match.groups()
            if key:
                self.add_map(int(number), name, key, value)
                continue
            made = self.add(int(number), name, kind, repeated=bool(repeated))
            if oneof:
                if oneof not in oneofs:
                    oneofs.append(oneof)
                    self.message.oneof_decl.add(name=oneof)
                made.oneof_index = oneofs.index(oneof)

    def add(self, number: int, name: str, kind: str, *, repeated: bool = False) -> FieldDescriptorProto:
        label = FieldDescriptorProto.LABEL_REPEATED if repeated else FieldDescriptorProto.LABEL_OPTIONAL
        made = self.message.field.add(name=name, number=number, label=label)
        if kind in _SCALARS:
            made.type = _SCALARS[kind]
        else:
            target = _resolve(kind, self.source, self.kinds)
            made.type = FieldDescriptorProto.TYPE_ENUM if target.is_enum else FieldDescriptorProto.TYPE_MESSAGE
            made.type_name = f".{target.full_name}"
        return made

    def add_map(self, number: int, name: str, key: str, value: str) -> None:
        """Add `map<key,value>` as protobuf spells it: a repeated nested message with fields key = 1 and value = 2."""
        entry = self.message.nested_type.add(name=name.title().replace("_", "") + "Entry")
        entry.options.map_entry = True
        inner = _Filler(entry, self.source, self.kinds)
        inner.add(1, "key", key)
        inner.add(2, "value", value)
        made = self.message.field.add(name=name, number=number, label=FieldDescriptorProto.LABEL_REPEATED)
        made.type = FieldDescriptorProto.TYPE_MESSAGE
        made.type_name = f".{self.source.full_name}.{entry.name}"


def _resolve(kind: str, source: _Type, kinds: dict[str, _Type]) -> _Type:
    """Find a type by its last word: nested in `source` first, then in any package."""
    inner = kinds.get(f"{source.full_name}.{kind}")
    if inner is not None:
        return inner
    found = [each for each in kinds.values() if each.path == kind]
    if len(found) != 1:
        raise ValueError(f"{kind} is {len(found)} types of the table")
    return found[0]
