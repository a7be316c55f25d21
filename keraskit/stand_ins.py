"""Stand-ins for Keras and TensorFlow, under which a recipe's file is imported to read its functions' signatures."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from types import ModuleType
from typing import Any

OF = ("keras", "tensorflow")


class StandIn(ModuleType):
    """Whatever is asked of it is another: a module, a class to derive from, a decorator."""

    __path__: list[str] = []  # noqa: RUF012  (a package, as the import system has it)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        made = type(name, (_Base,), {}) if name[0].isupper() else StandIn(f"{self.__name__}.{name}")
        setattr(self, name, made)
        return made

    def __call__(self, *given: Any, **_: Any) -> Any:
        return given[0] if given and callable(given[0]) else self


class _Base:
    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __init_subclass__(cls, **_: Any) -> None: ...

    def __class_getitem__(cls, _: Any) -> Any:
        return cls

    def __call__(self, *given: Any, **_: Any) -> Any:
        return given[0] if given else self


class _Finder:
    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return spec_from_loader(name, self, is_package=True) if name.partition(".")[0] in OF else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None: ...


@contextmanager
def standing_in() -> Iterator[None]:
    """For the length of a `with` block, import stand-ins; afterwards no module is left that has seen one."""
    before, finder = dict(sys.modules), _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        new = {name: module for name, module in sys.modules.items() if name not in before}
        gone = {name for name in new if name.partition(".")[0] in (*OF, "keraskit")}
        while more := {name for name, module in new.items() if name not in gone and _has_seen(module, gone)}:
            gone |= more
        for name in gone:
            del sys.modules[name]


def _has_seen(module: ModuleType, gone: set[str]) -> bool:
    values = list(vars(module).values())
    return any(
        (value.__name__ if isinstance(value, ModuleType) else getattr(type(value), "__module__", "")) in gone
        or (isinstance(value, type) and value.__module__ in gone)
        for value in values
    )
