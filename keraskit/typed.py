"""Typed, a record whose fields are validated, and the types of its numbers."""

from typing import Annotated, Any, ClassVar, Literal, Self, get_args, get_origin

from annotated_types import Interval
from cyclopts import Parameter
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, ValidationInfo, field_validator

from keraskit.errors import UserError, printable

# Words become numbers as pydantic makes them; cyclopts would round 1.5.
Whole = Annotated[int, Parameter(converter=lambda _, tokens: TypeAdapter(int).validate_python(tokens[0].value))]
Count = Annotated[Whole, Interval(ge=1, le=1_000_000)]
Seed = Annotated[Whole, Interval(ge=0, le=2**31 - 1)]


class Typed(BaseModel, arbitrary_types_allowed=True, defer_build=True):
    """A frozen record with validated fields. Raises UserError for an invalid value."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    func: ClassVar[None] = None  # cyclopts looks here for docstrings; the fields have their own

    def __init__(self, /, **given: Any) -> None:
        try:
            super().__init__(**given)
        except ValidationError as error:
            raise unfit(error) from error

    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]  # the outer record validates a nested one

    @field_validator("*", mode="before")
    @classmethod
    def _plain(cls, value: Any, field: ValidationInfo) -> Any:
        """Reject empty strings and booleans for numbers; convert NumPy's values, and choices as they are typed."""
        if isinstance(value, str) and not value:
            raise ValueError("expected a value")
        taken = cls.model_fields[field.field_name or ""].annotation
        if isinstance(value, bool) and {int, float} & {taken, *get_args(taken)} and bool not in get_args(taken):
            raise ValueError("expected a number")
        for kind in (taken, *get_args(taken)) if isinstance(value, str) else ():  # a Literal's number, an Enum's name
            choices = {str(each): each for each in get_args(kind)} if get_origin(kind) is Literal else {}
            choices |= getattr(kind, "__members__", {})
            if value in choices or value.upper() in choices:
                return choices[value if value in choices else value.upper()]
        return value.tolist() if type(value).__module__ == "numpy" and hasattr(value, "tolist") else value

    def given(self) -> dict[str, Any]:
        """Return the values that were set, by name, even if equal to defaults; without excluded fields."""
        return {name: value for name, value in self.model_dump(exclude_unset=True).items() if value != {}}

    def replace(self, **changes: Any) -> Self:
        """Return a copy with changed values, which count as set."""
        return type(self)(**{**{name: getattr(self, name) for name in self.model_fields_set}, **changes})


def unfit(error: ValidationError, flag: str = "") -> UserError:
    """Convert pydantic's first error to one line: flag (`flag` if it names no field), value and reason."""
    first = error.errors()[0]
    place = first["loc"][: 1 + (first["loc"][:1] == ("augment",))]  # what follows is the member of a union
    names = [part.replace("_", "-") for part in place if isinstance(part, str)]
    flag = f"--{'.'.join(names)}" if names else flag
    if first["type"] in ("missing", "extra_forbidden"):
        return UserError(f"{flag} needs a value." if first["type"] == "missing" else f"There is no flag {flag}.")
    reason = first["msg"].removeprefix("Value error, ").replace("greater than or equal to", "at least")
    reason = reason.replace("less than or equal to", "at most")
    shown = printable(first["input"])[:200] or "''"
    return UserError(f"{flag} {shown} makes no sense: {reason[0].lower()}{reason[1:]}.")
