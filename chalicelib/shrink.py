"""A Python package made small enough for user data, where EC2 leaves 16 KB for everything.

What only readers and type checkers need stays behind: comments, docstrings, functions' annotations,
blocks under `TYPE_CHECKING`. What runs is what was tested: the tests run this very form as well.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable


def shrunk_package(package: str, folder: Traversable) -> dict[str, str]:
    """The sources of `folder`'s modules as `package/NAME.py`, and a `__main__.py` that runs them.

    In the order of their names, so that equal packages make equal archives.
    """
    sources = {
        f"{package}/{module.name}": shrunk(module.read_text(encoding="utf-8"))
        for module in folder.iterdir()
        if module.name.endswith(".py")
    }
    start = f"import sys\nfrom {package}.__main__ import main\nsys.exit(main(sys.argv[1:]))\n"
    return {"__main__.py": start, **dict(sorted(sources.items()))}


def shrunk(source: str) -> str:
    """The same program in fewer words."""
    tree = _Shrinker().visit(ast.parse(source))
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    tree.body = [
        statement
        for statement in tree.body
        if not (isinstance(statement, ast.ImportFrom) and statement.module == "typing")
        or any(name.name in used for name in statement.names)
    ]
    lines = ast.unparse(tree).splitlines()
    if any(
        isinstance(node, ast.Constant) and "\n    " in str(node.value) for node in ast.walk(tree)
    ):
        raise ValueError("A text of several lines is indented by four: shrinking would change it.")
    return (
        "\n".join(re.sub(r"    ", " ", _indent(line)) + line.lstrip(" ") for line in lines) + "\n"
    )


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip(" "))]


class _Shrinker(ast.NodeTransformer):
    """Takes out what does not run."""

    def visit_Module(self, node: ast.Module) -> ast.AST:
        self.generic_visit(node)
        node.body = _without_docstring(node)
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        self.generic_visit(node)
        node.body = _without_docstring(node) or [ast.Pass()]
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.generic_visit(node)
        node.body = _without_docstring(node) or [ast.Pass()]
        node.returns = None
        for argument in ast.walk(node.args):
            if isinstance(argument, ast.arg):
                argument.annotation = None
        return node

    def visit_If(self, node: ast.If) -> ast.AST | None:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return None
        return self.generic_visit(node)


def _without_docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef) -> list[ast.stmt]:
    return node.body[1:] if ast.get_docstring(node) is not None else node.body
