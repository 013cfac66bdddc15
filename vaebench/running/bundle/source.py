"""Modules as Python source: layers of torch.nn by their constructors, others traced by torch.fx."""

from __future__ import annotations

import ast
import builtins
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn

from vaebench.core.errors import InputError, first_line

NAMES = {"nn": nn, "torch": torch, "inf": float("inf"), "nan": float("nan")}
"""What the source may name."""
FREED = re.compile(r";  (?:\w+ = )+None\b")
"""What a trace adds to each line to free memory."""
INDENT = " " * 4


@dataclass
class Source:
    """A module's source, as it is being written: an expression, the classes it names, and tensors.

    The tensors have the names that the written module's state_dict has.
    """

    classes: dict[str, str] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)

    def expression(self, module: nn.Module, prefix: str) -> str:
        """The expression that makes the module, whose tensors' names begin with `prefix`.

        Raises InputError for one that cannot be written.
        """
        if type(module) in (nn.Sequential, nn.ModuleList):
            lines = [
                f"{self.expression(part, f'{prefix}{name}.')},\n"
                for name, part in module.named_children()
            ]
            inside = indented("".join(lines))
            kind = type(module).__name__
            return f"nn.{kind}([\n{inside}])" if kind == "ModuleList" else f"nn.{kind}(\n{inside})"
        if type(module).__module__.startswith("torch.nn.modules."):
            self._keep(module, prefix)
            return constructor(module)
        return self._traced(module, prefix)

    def _keep(self, module: nn.Module, prefix: str) -> None:
        self.tensors |= {f"{prefix}{name}": t for name, t in module.state_dict().items()}

    def _traced(self, module: nn.Module, prefix: str) -> str:
        """The call of a class with the operations that a trace of the module takes."""
        graph = _graph(module)
        lines = ["super().__init__()\n"]
        for target, flat in dict(_flattened(graph)).items():
            part = _at(module, target)
            if isinstance(part, nn.Module):
                lines.append(f"self.{flat} = {self.expression(part, f'{prefix}{flat}.')}\n")
                continue
            self.tensors[f"{prefix}{flat}"] = part.detach()
            lines.append(held(flat, part))
        init = f"def __init__(self) -> None:\n{indented(''.join(lines))}\n"
        forward = _forward(graph, type(module).__name__)
        body = forward if len(lines) == 1 else init + forward
        return f"{self._class(getattr(module, 'class_name', type(module).__name__), body)}()"

    def _class(self, wanted: str, body: str) -> str:
        """The name of a class with this body, a new one where none of the name has it."""
        for number in range(len(self.classes) + 1):
            name = f"{wanted}{number or ''}"
            text = f"class {name}(nn.Module):\n{indented(body)}"
            if self.classes.setdefault(name, text) == text:
                return name
        raise AssertionError("one of so many names is free")


def held(name: str, tensor: Tensor) -> str:
    """The line that gives a module a tensor of this shape."""
    empty = f"torch.empty({tuple(tensor.shape)})"
    if isinstance(tensor, nn.Parameter):
        return f"self.{name} = nn.Parameter({empty})\n"
    return f'self.register_buffer("{name}", {empty})\n'


def constructor(layer: nn.Module) -> str:
    """The call that makes such a layer of torch.nn, as nn.Linear(64, 8).

    A layer keeps the arguments that it was made with under their names. Raises InputError where
    the layer that is made from them is another one.
    """
    kind = type(layer).__name__
    first, others = _arguments(layer)
    try:
        is_alike = _is_alike(_call(kind, first + others), layer)
    except Exception as error:  # an argument may be anything
        raise _refused(kind, first_line(error)) from error
    if not is_alike:
        raise _refused(kind, "it does not keep the arguments that it was made with")
    for argument in others:
        fewer = [other for other in others if other != argument]
        if _is_alike(_call(kind, first + fewer), layer):
            others = fewer
    return _call(kind, first + others)


def _call(kind: str, arguments: list[str]) -> str:
    return f"nn.{kind}({', '.join(arguments)})"


def _is_alike(call: str, layer: nn.Module) -> bool:
    """Whether a call makes such a layer."""
    again = eval(call, dict(NAMES))
    return type(again) is type(layer) and _facts(again) == _facts(layer)


def _facts(layer: nn.Module) -> tuple[object, ...]:
    """All that tells two layers apart, but for the values of their tensors."""
    settings = {
        name: value
        for name, value in vars(layer).items()
        if not name.startswith("_") and name != "training"
    }
    return settings, {name: tensor.shape for name, tensor in layer.state_dict().items()}


def _arguments(layer: nn.Module) -> tuple[list[str], list[str]]:
    """The arguments without a default, and those with one that differ from it."""
    first, others = [], []
    for name, parameter in inspect.signature(type(layer).__init__).parameters.items():
        value = getattr(layer, name, parameter.default)
        if name in ("self", "device", "dtype") or value is parameter.empty:
            continue
        if parameter.default is parameter.empty:
            first.append(repr(value))
            continue
        if isinstance(parameter.default, bool) and not isinstance(value, bool):
            value = value is not None  # a bias, or none
        if value != parameter.default:
            others.append(f"{name}={value!r}")
    return first, others


def _graph(module: nn.Module) -> fx.Graph:
    try:
        return fx.Tracer().trace(module)
    except Exception as error:  # whatever code of the user's may raise on a stand-in for numbers
        raise _refused(
            type(module).__name__,
            f"its operations depend on numbers that are not there yet ({first_line(error)})",
        ) from error


def _flattened(graph: fx.Graph) -> Iterator[tuple[str, str]]:
    """Give the parts that a graph calls names without dots: (target, name) of each."""
    for node in graph.nodes:
        if node.op in ("call_module", "get_attr"):
            target, node.target = node.target, node.target.replace(".", "_")
            if node.target[0].isdigit():
                node.target = f"layer_{node.target}"
            yield target, node.target


def _at(module: nn.Module, target: str) -> Any:
    """A part of a module, or a tensor, by its dotted name."""
    for name in target.split("."):
        module = getattr(module, name)
    return module


def _forward(graph: fx.Graph, name: str) -> str:
    """The source of a traced `forward`. Raises InputError where it calls what is not PyTorch's."""
    for node in graph.nodes:
        node.type = None
    body = FREED.sub("", graph.python_code("self").src).strip() + "\n"
    if foreign := sorted(_free_names(body) - {*NAMES, *dir(builtins)}):
        raise _refused(name, f"it calls {foreign[0]}, which is not PyTorch's")
    return body


def _free_names(function: str) -> set[str]:
    """The names that a function reads and does not bind."""
    names = [node for node in ast.walk(ast.parse(function)) if isinstance(node, ast.Name)]
    bound = {node.id for node in names if isinstance(node.ctx, ast.Store)}
    arguments = {node.arg for node in ast.walk(ast.parse(function)) if isinstance(node, ast.arg)}
    return {node.id for node in names} - bound - arguments


def indented(text: str) -> str:
    return "".join(INDENT + line if line.strip() else line for line in text.splitlines(True))


def _refused(name: str, reason: str) -> InputError:
    return InputError(
        f"{name} cannot be written as plain PyTorch: {reason}; vb.load_model has it in Python"
    )
