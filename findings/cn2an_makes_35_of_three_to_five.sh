#!/usr/bin/env bash
# cn2an 0.5.24, Python 3.11 (seen 2026-12-01).
# cn2an.transform writes the numbers of a Chinese sentence in digits (or, with "an2cn", in characters), as is done to
# texts before answers or transcripts are compared. Two digits beside each other say in Chinese that a number lies
# between them, and transform reads them as one number: 三五天, three to five days, becomes 35天, 一两句话, a sentence or two,
# 12 sentences. Beside 十 or 百 such words stay, with a warning. The other way, a comma within a number parts it:
# 1,000,000 becomes "one, zero, zero". A hyphen is minus, in a name and between two bounds; only before some measure
# words, such as 天, it is "to". The README calls the function an experiment that may convert otherwise than expected.
# cn2an.cn2an and cn2an.an2cn, which take a number alone, gave the same number back for 20,000 of 20,000.
# Output seen:
#   三五天后再来 -> 35天后再来
#   来了七八个人 -> 来了78个人
#   一两句话 -> 12句话
#   三四十岁 -> 三四十岁
#   一共1,000,000元 -> 一共一,零,零元
#   GPT-4 -> GPT负四
#   10-20岁 -> 十负二十岁
#   3-5天 -> 三到五天
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet cn2an==0.5.24 proces==0.1.7
cat > digits.py <<'PYTHON'
import random
import sys
import warnings

import cn2an

warnings.simplefilter("ignore")
for text, method, expected in (
    ("三五天后再来", "cn2an", "35天后再来"),
    ("来了七八个人", "cn2an", "来了78个人"),
    ("一两句话", "cn2an", "12句话"),
    ("三四十岁", "cn2an", "三四十岁"),
    ("一共1,000,000元", "an2cn", "一共一,零,零元"),
    ("GPT-4", "an2cn", "GPT负四"),
    ("10-20岁", "an2cn", "十负二十岁"),
    ("3-5天", "an2cn", "三到五天"),
):
    print(f"{text} -> {cn2an.transform(text, method)}")
    if cn2an.transform(text, method) != expected:
        sys.exit("no longer so: another text is written")
numbers = random.Random(0)
for _ in range(20000):
    number = numbers.randrange(10 ** numbers.randrange(1, 13))
    if cn2an.cn2an(cn2an.an2cn(number), "strict") != number:
        sys.exit("no longer so: a number alone changes")
PYTHON
env/bin/python digits.py
