"""The drawn tree of the fake's errors has each of them."""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator

import sandbox_fakeproxy
from sandbox_fakeproxy import errors


def test_the_drawn_tree_has_each_error_of_the_fake_below_its_base() -> None:
    drawn: dict[str, str] = {}
    path = ["Exception"]
    for branch, name in re.findall(
        r"^((?:[│ ]   )*[├└]── )(\w+)", inspect.getdoc(errors) or "", re.MULTILINE
    ):
        path[len(branch) // 4 :] = [name]
        drawn[name] = path[-2]
    known = {each.__name__: each.__bases__[0].__name__ for each in _public_errors()}
    assert drawn == known | {"ValueError": "Exception"}


def _public_errors() -> Iterator[type[Exception]]:
    """Yield each exception class that a module of the package defines."""
    prefix = f"{sandbox_fakeproxy.__name__}."
    for module in pkgutil.walk_packages(sandbox_fakeproxy.__path__, prefix):
        if module.name.endswith(("__main__", ".match")):  # programs
            continue
        for name, each in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            is_own = each.__module__ == module.name and not name.startswith("_")
            if is_own and issubclass(each, Exception):
                yield each
