"""Evaluates the formulas of the documentation, to compare what is printed with what is computed.

It reads the LaTeX that they are written in and no more: sums, fractions, logs, subscripts. A symbol
is looked up in a mapping: as it is written with its subscript (`V_ij`), argument (`q(z_k|x)`) or
power, where the mapping has that, then by its name with the values of its subscripts. What is
looked up may be a function of the indices of the sums around it.
"""

import math
import re

import numpy as np

TOKEN = re.compile(r"\\[a-zA-Z]+|\\.|\d+(?:\.\d+)?|\S")
SKIPPED = {r"\,", r"\;", r"\left", r"\right", r"\!"}
ACCENTS = {r"\hat", r"\tilde", r"\bar", r"\widehat", r"\mathcal", r"\mathrm", r"\text"}
FUNCTIONS = {r"\log": np.log, r"\exp": np.exp, r"\Gamma": math.gamma}
CLOSING = {"(": ")", "[": "]", "{": "}", "|": "|"}


def from_1(array):
    """Values by indices that begin at 1, as in formulas."""
    return {tuple(i + 1 for i in at): float(v) for at, v in np.ndenumerate(np.asarray(array))}


def right_side(formula, part=0):
    """What a part of a formula, between \\qquad, says its left side is."""
    text = re.split(r"\\qquad", formula)[part].strip().rstrip(",;")
    return text.partition("=")[2]


def evaluate(text, values):
    """The number that an expression has, with these values of its symbols."""
    tokens = [token for token in TOKEN.findall(text) if token not in SKIPPED]
    parser = Parser(tokens, dict(values))
    value = parser.sum_of_terms()
    assert parser.at == len(tokens), f"unread: {tokens[parser.at :]}"
    return float(value)


class Parser:
    """Evaluates while it reads; the body of a sum is read once for each of its indices."""

    def __init__(self, tokens, values):
        self.tokens, self.values, self.at = tokens, values, 0

    @property
    def next(self):
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, expected=None):
        token = self.next
        assert expected is None or token == expected, (token, expected)
        self.at += 1
        return token

    def sum_of_terms(self):
        total = 0.0
        while True:
            sign = -1.0 if self.next == "-" else 1.0
            if self.next in ("+", "-"):
                self.take()
            total = total + sign * self.term()
            if self.next not in ("+", "-"):
                return total

    def term(self):
        product = 1.0
        while self.next not in ("", "+", "-", ")", "]", "}", ",", ";", "=", r"\|", "|_"):
            if self.next == "|" and self.closing_bar:
                break
            product = product * self.power()
        return product

    closing_bar = False

    def power(self):
        value = self.primary()
        while self.next in ("^", "!"):
            factorial = self.take() == "!"
            value = math.factorial(round(value)) if factorial else value ** self.argument()
        return value

    def argument(self):
        """The group in braces, or the one token, that follows."""
        if self.next != "{":
            return self.primary()
        return self.enclosed()

    def enclosed(self):
        opening = self.take()
        before, self.closing_bar = self.closing_bar, opening == "|"
        value = self.sum_of_terms()
        if self.next == "=":  # [x = 0] is 1 where it holds
            self.take()
            value = float(value == self.sum_of_terms())
        self.take(CLOSING[opening])
        self.closing_bar = before
        return np.linalg.norm(value) if opening == "|" else value

    def primary(self):
        token = self.next
        if token in CLOSING:
            return self.enclosed()
        if token[0].isdigit():
            return float(self.take())
        if token == r"\frac":
            self.take()
            return self.argument() / self.argument()
        if token == r"\sqrt":
            self.take()
            return math.sqrt(self.argument())
        if token in (r"\sum", r"\prod"):
            return self.over_indices(np.sum if token == r"\sum" else np.prod)
        if token == r"\max":
            return self.maximum()
        if token in FUNCTIONS:
            self.take()
            return FUNCTIONS[token](self.enclosed() if self.next == "(" else self.term())
        return self.symbol()

    def raw(self):
        """The text of what follows, a group without its braces or one token."""
        if self.next != "{":
            return self.take()
        start, depth = self.at, 0
        while True:
            depth += {"{": 1, "}": -1}.get(self.take(), 0)
            if depth == 0:
                return "".join(self.tokens[start + 1 : self.at - 1])

    def over_indices(self, reduce):
        self.take()
        self.take("_")
        below, above = self.raw(), None
        if self.next == "^":
            self.take()
            above = self.raw()
        return reduce(self.bodies(below, above))

    def bodies(self, below, above):
        """The body that follows, for each value of the indices of a sum."""
        start, before, parts = self.at, dict(self.values), []
        for indices in self.ranges(below, above):
            self.at = start
            self.values.update(indices)
            parts.append(self.term())
        self.values = before
        return parts

    def ranges(self, below, above):
        name, _, first = below.partition("=")
        if first:
            last = round(evaluate(above, self.values))
            return [{name: i} for i in range(int(first), last + 1)]
        return self.values[f"over {below}"](self.values)

    def maximum(self):
        self.take()
        if self.next == "_":
            self.take()
            return max(self.bodies(self.raw(), None))
        self.take("(")
        values = [self.sum_of_terms()]
        while self.next == ",":
            self.take()
            values.append(self.sum_of_terms())
        self.take(")")
        return max(values)

    def symbol(self):
        name = self.take()
        if name in ACCENTS:
            name = f"{name}{{{self.raw()}}}"
        below = ""
        if self.next == "_":
            self.take()
            below = self.raw()
        written = f"{name}_{below}" if below else name
        if self.next in ("(", "[") and (called := written + self.ahead()) in self.values:
            self.at += len(TOKEN.findall(self.ahead()))
            written = called
        if self.next == "(" and callable(self.values.get(f"{written}(")):
            return self.values[f"{written}("](self.enclosed())
        power = "".join(self.tokens[self.at : self.at + 2])
        if self.next == "^" and written + power in self.values:
            self.at += 2
            written += power
        value = self.values[written] if written in self.values else self.indexed(name, below)
        return value(self.values) if callable(value) else value

    def ahead(self):
        """The text in brackets that comes next, with them."""
        depth, text = 0, []
        for token in self.tokens[self.at :]:
            depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(token, 0)
            text.append(token)
            if depth == 0:
                return "".join(text)
        return ""

    def indexed(self, name, below):
        value = self.values[name]
        if not below:
            return value
        parts = below.split(",")
        if len(parts) == 1 and below.isalpha():
            parts = list(below)
        return value[tuple(round(evaluate(part, self.values)) for part in parts)]
