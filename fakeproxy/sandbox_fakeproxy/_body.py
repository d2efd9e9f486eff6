"""The fields of a request to the runtime, read one by one and refused all at once.

An optional field that is null has its default, as in the runtime's own description.
"""

from collections.abc import Collection

from ._aio import Issue, JsonObject, Unprocessable, issue


class Body:
    """The fields of a JSON body. What is returned counts only after `check`."""

    def __init__(self, fields: JsonObject) -> None:
        self._fields = fields
        self._issues: list[Issue] = []

    def text(self, name: str, *, least: int = 0) -> str:
        """Return a text that must be there, with at least so many characters."""
        value = self._fields.get(name)
        if name not in self._fields:
            self.refuse(name, "Field required", "missing")
        elif not isinstance(value, str):
            self.refuse(name, "Input should be a valid string", "string_type")
        elif len(value) < least:
            self.refuse(name, f"String should have at least {least} character", "string_too_short")
        else:
            return value
        return ""

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Return a truth value."""
        value = self._fields.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.refuse(name, "Input should be a valid boolean", "bool_type")
        return value is True

    def number(self, name: str, *, least: int) -> int | None:
        """Return a whole number, if there is one."""
        value = self._fields.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            self.refuse(name, "Input should be a valid integer", "int_type")
        elif value < least:
            message = f"Input should be greater than or equal to {least}"
            self.refuse(name, message, "greater_than_equal")
        else:
            return value
        return None

    def choice(self, name: str, *choices: str) -> str:
        """Return one of some texts, the first by default."""
        value = self._fields.get(name)
        if value is None:
            return choices[0]
        if value not in choices:
            listed = ", ".join(f"'{each}'" for each in choices)
            self.refuse(name, f"Input should be one of {listed}", "enum")
        return str(value)

    def texts(self, name: str) -> Collection[str] | None:
        """Return a list of texts, if there is one."""
        value = self._fields.get(name)
        if value is None:
            return None
        if isinstance(value, list):
            texts = [each for each in value if isinstance(each, str)]  # pyright: ignore[reportUnknownVariableType]  # JSON
            if len(texts) == len(value):  # pyright: ignore[reportUnknownArgumentType]  # JSON
                return texts
        self.refuse(name, "Input should be a valid list of strings", "list_type")
        return None

    def refuse(self, name: str, message: str, kind: str) -> None:
        """Note what is wrong with a field."""
        self._issues.append(issue(name, message, kind))

    def check(self) -> None:
        """Refuse the request if any of the fields does not fit.

        Raises:
            Unprocessable: with every issue.
        """
        if self._issues:
            raise Unprocessable(*self._issues)
