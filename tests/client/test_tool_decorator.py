"""The decorator that makes a tool of a typed function."""

from typing import Annotated

import pytest
from sandbox_client import InvalidInput
from sandbox_client.mcp_server.tool import Parameter, Result, tool

from tests.client.interaction import StubProvider
from tests.client.stubs import RecordedProgress, RouteStub


@tool(output={"count": "integer"}, read_only=True)
async def count_word(
    provider: object,
    *,
    word: Annotated[str, Parameter("A word.")],
    limit: Annotated[int | None, Parameter("At most.", minimum=1, maximum=9)] = None,
    is_exact: Annotated[bool, Parameter("Match the case.")] = False,
) -> Result:
    """Count a word.

    Returns how often
    it occurs.
    """
    return Result(f"{word} {limit} {is_exact}")


def test_the_function_gives_the_name_the_description_and_the_schema() -> None:
    assert count_word.name == "count_word"
    assert count_word.description == "Count a word. Returns how often it occurs."
    assert count_word.input_schema() == {
        "type": "object",
        "properties": {
            "word": {"type": "string", "description": "A word."},
            "limit": {"type": "integer", "description": "At most.", "minimum": 1, "maximum": 9},
            "is_exact": {"type": "boolean", "description": "Match the case."},
        },
        "required": ["word"],
    }


async def test_a_request_calls_the_function_with_checked_arguments_and_defaults() -> None:
    provider = StubProvider({}, RouteStub({}))

    result = await count_word.run(provider, {"word": "a", "limit": "3"}, RecordedProgress())

    assert result.text == "a 3 False"


async def test_a_program_calls_the_tool_like_the_function() -> None:
    assert (await count_word(None, word="a", is_exact=True)).text == "a None True"


@pytest.mark.parametrize("limit", [0, 10])
def test_a_number_out_of_range_is_refused(limit: int) -> None:
    with pytest.raises(InvalidInput, match=f"'limit' has value {limit}") as caught:
        count_word.check({"word": "a", "limit": limit})

    assert caught.value.advice == "Give a whole number from 1 to 9."


async def unannotated(*, word: str) -> Result:
    return Result(word)


async def unsupported_type(*, word: Annotated[float, Parameter("A word.")]) -> Result:
    return Result(str(word))


async def union(*, word: Annotated[str | int, Parameter("A word.")]) -> Result:
    return Result(str(word))


async def no_parameter(*, word: Annotated[str, "A word."]) -> Result:
    return Result(word)


async def deferred(*, word: "Annotated[str, Parameter('A word.')]") -> Result:
    return Result(word)


@pytest.mark.parametrize("function", [unannotated, unsupported_type, union, no_parameter, deferred])
def test_an_argument_that_has_no_schema_is_a_type_error(function: object) -> None:
    with pytest.raises(TypeError, match="Annotate word with Annotated"):
        tool(output={})(function)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_a_positional_parameter_that_the_server_does_not_know_is_a_type_error() -> None:
    async def misspelt(cliemt: object) -> Result:
        return Result(str(cliemt))

    with pytest.raises(TypeError, match="no value for"):
        tool(output={})(misspelt)
