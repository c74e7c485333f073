"""Personal data replaced by what it is: [mail], [id], [phone], [ip].

FineWeb replaces mail addresses and public IP addresses; Chinese mobile numbers and identity numbers are added here.
Names and addresses are not found.
"""

import ipaddress
import re
from collections import Counter

_MAIL = re.compile(
    r"(?<![A-Za-z0-9.+_%-])[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24}(?![A-Za-z0-9-])"
)
# 17 digits (region, date of birth, number) and a check digit: GB 11643-1999.
_IDENTITY = re.compile(
    r"(?<![0-9A-Za-z_])[1-9]\d{5}(?:18|19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}[\dXx](?![0-9A-Za-z_])",
    re.ASCII,
)
_PHONE = re.compile(
    r"(?<![0-9A-Za-z_+-])(?<!\d\.)(?:\+?86[- ]?)?1[3-9]\d(?:\d{8}|-\d{4}-\d{4}| \d{4} \d{4})(?![0-9A-Za-z_-])(?!\.\d)",
    re.ASCII,
)
_IPV4 = re.compile(r"(?<![0-9A-Za-z_.-])(?:\d{1,3}\.){3}\d{1,3}(?![0-9A-Za-z_-])(?!\.\d)", re.ASCII)
_IPV6 = re.compile(r"(?<![0-9A-Za-z_:.])[23][0-9A-Fa-f]{3}:[0-9A-Fa-f:]{2,34}(?![0-9A-Za-z_:])")  # 2000::/3 is public
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


def is_identity_number(number: str) -> bool:
    """Whether the check digit of a Chinese identity number of 18 places is right."""
    weighted = sum(weight * int(digit) for weight, digit in zip(_WEIGHTS, number))
    return "10X98765432"[weighted % 11] == number[17].upper()


def _is_public(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_global
    except ValueError:
        return False


_FOUND = (
    ("mail addresses", "[mail]", _MAIL, lambda found: True),
    ("identity numbers", "[id]", _IDENTITY, is_identity_number),
    ("phone numbers", "[phone]", _PHONE, lambda found: True),
    ("IP addresses", "[ip]", _IPV4, _is_public),
    ("IP addresses", "[ip]", _IPV6, _is_public),
)


def replace_personal(text: str) -> tuple[str, Counter[str]]:
    """The text with placeholders, and how many of each kind there were."""
    changes = Counter()
    for name, placeholder, pattern, is_meant in _FOUND:

        def replaced(found: re.Match, name=name, placeholder=placeholder, is_meant=is_meant) -> str:
            if not is_meant(found.group()):
                return found.group()
            changes[name] += 1
            return placeholder

        text = pattern.sub(replaced, text)
    return text, changes
