"""The built-in tool `calculator`: arithmetic in exact fractions, read by Python's parser and never evaluated by it.

Only numbers, + - * / // % ** and parentheses are known, and every number on the way is bounded, so that no expression
takes long.
"""

import ast
import math
import operator
import warnings
from decimal import Context, Decimal
from fractions import Fraction

MAX_CHARACTERS = 200
MAX_BITS = 4096  # of numerator and denominator: a number has at most 1,233 digits
DIGITS = 12  # of a result that is no whole number

_OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_SIGNS = {ast.UAdd: operator.pos, ast.USub: operator.neg}
_SPELLINGS = str.maketrans({"×": "*", "·": "*", "÷": "/", "−": "-"})
# Full-width digits and signs, and blanks that Python does not know. NFKC would also make 32 of 3².
_SPELLINGS |= {wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)}
_SPELLINGS |= dict.fromkeys((0xA0, *range(0x2000, 0x200B), 0x202F, 0x3000), " ")
_KNOWN = "an expression has numbers, + - * / // % ** and parentheses only"


def calculator(expression: str) -> str:
    """Works out an expression of numbers with + - * / // % ** and parentheses.

    Args:
        expression: such as 12 * (3 + 4)
    """
    if len(expression) > MAX_CHARACTERS:
        raise ValueError(f"the expression has more than {MAX_CHARACTERS} characters")
    text = expression.translate(_SPELLINGS).strip()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text, mode="eval")
        return _written(_value(tree.body))
    except (SyntaxError, MemoryError, RecursionError) as error:
        raise ValueError(_KNOWN) from error
    except ZeroDivisionError as error:
        raise ValueError("division by zero") from error


def _value(node: ast.expr) -> Fraction:
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        if node.value == math.inf:
            raise ValueError("a number is too large")
        # A float spells itself as it was written, so 0.1 is a tenth.
        return _bounded(Fraction(node.value if isinstance(node.value, int) else repr(node.value)))
    if isinstance(node, ast.UnaryOp) and type(node.op) in _SIGNS:
        return _SIGNS[type(node.op)](_value(node.operand))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        return _power(_value(node.left), _value(node.right))
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _bounded(Fraction(_OPERATORS[type(node.op)](_value(node.left), _value(node.right))))
    raise ValueError(_KNOWN)


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    too_large = ValueError("the power is too large a number")
    if exponent.denominator == 1:
        if abs(base) not in (0, 1) and _bits(base) * abs(exponent) > MAX_BITS:  # known before it is worked out
            raise too_large
        return Fraction(base ** int(exponent))
    try:
        root = float(base) ** float(exponent)
    except OverflowError as error:
        raise too_large from error
    if isinstance(root, complex):
        raise ValueError("a root of a negative number is no real number")
    return _bounded(Fraction(root))


def _bounded(number: Fraction) -> Fraction:
    if _bits(number) > MAX_BITS:
        raise ValueError("a number is too large")
    return number


def _bits(number: Fraction) -> int:
    return max(number.numerator.bit_length(), number.denominator.bit_length())


def _written(number: Fraction) -> str:
    """Whole numbers with all their digits; others as a decimal of at most `DIGITS` digits."""
    if number.denominator == 1:
        return str(number.numerator)
    decimal = Context(prec=DIGITS).divide(Decimal(number.numerator), Decimal(number.denominator)).normalize()
    return format(decimal, "f" if -6 <= decimal.adjusted() < DIGITS else "e")
