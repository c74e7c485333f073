import pytest

from dataset.prepare.cleaning.personal import is_identity_number, replace_personal


def test_the_check_digit_of_the_standards_example():
    assert is_identity_number("11010519491231002X")  # the example of GB 11643-1999
    assert is_identity_number("440524188001010014")  # and its other one
    assert not is_identity_number("110105194912310021")


@pytest.mark.parametrize(
    "text, replaced",
    [
        ("信箱zhang.san+1@mail.example.com.cn，谢谢", "信箱[mail]，谢谢"),
        ("a@b.c and @name and x@localhost", "a@b.c and @name and x@localhost"),
        ("手机13812345678。", "手机[phone]。"),
        ("+86 138-1234-5678 or 138 1234 5678", "[phone] or [phone]"),
        (
            "12812345678, 138123456789, 0.13812345678, a13812345678",
            "12812345678, 138123456789, 0.13812345678, a13812345678",
        ),
        ("身份证11010519491231002X", "身份证[id]"),
        ("110105194912310021", "110105194912310021"),  # a wrong check digit
        ("8.8.8.8, 192.168.1.1, 127.0.0.1, 1.2.3.4.5, 999.8.8.8", "[ip], 192.168.1.1, 127.0.0.1, 1.2.3.4.5, 999.8.8.8"),
        ("2001:4860:4860::8888 std::vector 12:30:45", "[ip] std::vector 12:30:45"),
    ],
)
def test_personal_data_becomes_placeholders(text, replaced):
    assert replace_personal(text)[0] == replaced


def test_each_kind_is_counted():
    assert replace_personal("a@b.cn a@b.cn 13812345678")[1] == {"mail addresses": 2, "phone numbers": 1}
