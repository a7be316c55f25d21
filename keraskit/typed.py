"""Typed: values with types, from a command line's words or from Python; what does not fit is refused in one line."""

from types import SimpleNamespace
from typing import Annotated, Any, ClassVar, Self, get_args

from annotated_types import Interval
from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from keraskit.errors import unfit

Count = Annotated[int, Interval(ge=1, le=1_000_000)]
FROM_PYTHON = "from Python"  # where a number is no text


class _Documented:
    """What cyclopts reads fields' docstrings from in a class's place: itself without pydantic's long BaseModel."""

    def __get__(self, _: Any, owner: type) -> Any:
        return SimpleNamespace(__mro__=[*(each for each in owner.__mro__ if issubclass(each, Typed)), object])


class Typed(BaseModel):
    """A frozen record whose fields are checked against their types.

    It knows which fields were given, also those that were given what is their default. Raises UserError for a value
    that does not fit, or a name that is none.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        arbitrary_types_allowed=True,
        protected_namespaces=(),
        defer_build=True,
    )

    def __init__(self, /, **given: Any) -> None:
        try:
            self.__pydantic_validator__.validate_python(given, self_instance=self, context=FROM_PYTHON)
        except ValidationError as error:
            raise unfit(error) from error

    func: ClassVar[Any] = _Documented()

    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]  # so that cyclopts' words don't pass through it

    @field_validator("*", mode="before")
    @classmethod
    def _fits(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse what pydantic would make something of; NumPy's numbers and arrays become Python's."""
        field = cls.model_fields[str(info.field_name)]
        if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
            value = value.tolist()
        kinds, several = leaves(field.annotation), value if isinstance(value, list | tuple) else [value]
        if "" in several and field.default != "":
            raise ValueError("expected a value")
        if kinds <= {int, float, type(None)} and any(isinstance(each, bool) for each in several):
            raise ValueError("it takes a value, and is no switch")
        if info.context and kinds <= {int, float, bool, type(None)} and any(isinstance(each, str) for each in several):
            raise ValueError("input should be a number, not text")
        return value

    def given(self) -> dict[str, Any]:
        """What was given, by name: also what equals a default, without what makes no difference to a result."""
        return {name: value for name, value in self.model_dump(exclude_unset=True).items() if value != {}}

    def replace(self, **changes: Any) -> Self:
        """The same with other values, which count as given."""
        return type(self)(**{**{name: getattr(self, name) for name in self.model_fields_set}, **changes})


def leaves(kind: Any) -> set[Any]:
    """The plain types that a type is made of: int and None of `tuple[int, ...] | None`."""
    inner = [each for each in get_args(kind) if isinstance(each, type) or get_args(each)]
    return set().union(*map(leaves, inner)) if inner else {kind}
