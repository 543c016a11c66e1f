"""What a field of a settings class may hold: plain values, a section, or one of several sections (a union).

The members of a union go by the names that pydantic gives them: the value of the field that tells them apart
(``strategy: fine_tune``), a ``pydantic.Tag``, or the name of the class.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pydantic

Container = Literal["one", "list", "mapping"]


@dataclasses.dataclass(frozen=True)
class Sections:
    """The settings classes that a field may hold.

    Attributes:
      members: by name; one unless the field is a union, none when it holds plain values only.
      container: whether the field holds one of them, a list, or a mapping from names to them.
    """

    members: Mapping[str, type[pydantic.BaseModel]]
    container: Container = "one"

    @property
    def classes(self) -> list[type[pydantic.BaseModel]]:
        """The members, each once."""
        return list(dict.fromkeys(self.members.values()))

    def names(self, member: type[pydantic.BaseModel]) -> list[str]:
        """The names that a member goes by."""
        return [name for name, cls in self.members.items() if cls is member]

    @property
    def discriminator(self) -> str | None:
        """The field that tells the members apart: there in all of them, with other words in each."""
        first, *others = self.classes or [pydantic.BaseModel]
        for name in first.model_fields:
            words = [word for cls in self.classes for word in literal_words(cls, name)]
            if others and all(literal_words(cls, name) for cls in self.classes) and len(set(words)) == len(words):
                return name
        return None


def sections(annotation: Any) -> Sections:
    """The settings classes in a field's annotation, at any depth."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        return Sections({annotation.__name__: annotation})
    if origin is Annotated:
        inner = sections(arguments[0])
        tags = [extra.tag for extra in arguments[1:] if isinstance(extra, pydantic.Tag)]
        return dataclasses.replace(inner, members=dict.fromkeys(tags, inner.classes[0])) if tags else inner
    if origin in (Union, types.UnionType):
        found = [sections(argument) for argument in arguments]
        members = {name: cls for part in found for name, cls in part.members.items()}
        container: Container = next((part.container for part in found if part.members), "one")
        return _by_discriminator(Sections(members, container))
    if origin in (list, tuple, set, frozenset) and arguments:
        return Sections(sections(arguments[0]).members, "list")
    if origin is dict:
        return Sections(sections(arguments[1]).members, "mapping")
    return Sections({})


def literal_words(model: type[pydantic.BaseModel], name: str) -> list[str]:
    """The words that a ``Literal`` field allows; empty for any other field."""
    field = model.model_fields.get(name)
    if field is None or get_origin(field.annotation) is not Literal:
        return []
    return [str(word) for word in get_args(field.annotation)]


def _by_discriminator(found: Sections) -> Sections:
    name = found.discriminator
    if name is None:
        return found
    members = {word: cls for cls in found.classes for word in literal_words(cls, name)}
    return dataclasses.replace(found, members=members)


@dataclasses.dataclass(frozen=True)
class Place:
    """What the location of a pydantic error leads to.

    Attributes:
      path: its keys and indices.
      classes: the settings classes of the section that the last key stands in, or should.
    """

    path: list[str | int]
    classes: list[type[pydantic.BaseModel]]


def resolve(
    model: type[pydantic.BaseModel], location: Sequence[str | int], stands: Callable[[Sequence[str | int]], bool]
) -> Place:
    """Follows the location of a pydantic error.

    A location holds, beside keys and indices, the names of unions' members and of the types that were tried; those
    stand in no file.

    Args:
      model: the settings class of the whole.
      location: of the error.
      stands: whether a path of keys and indices stands in the file.
    """
    path: list[str | int] = []
    here = Sections({model.__name__: model})
    classes = here.classes
    for step in location:
        if len(here.members) > 1 and step in here.members:
            here = Sections({str(step): here.members[str(step)]}, here.container)
            classes = here.classes
        elif isinstance(step, int) or (here.container == "mapping" and stands([*path, step])):
            path.append(step)
            here = dataclasses.replace(here, container="one")
        else:
            fields = [cls.model_fields[step] for cls in here.classes if step in cls.model_fields]
            if not fields and not stands([*path, step]):
                continue
            path.append(step)
            classes = here.classes
            found = [sections(field.annotation) for field in fields]
            members = {name: cls for part in found for name, cls in part.members.items()}
            here = Sections(members, found[0].container if found else "one")
    return Place(path, classes)
