#!/usr/bin/env bash
# OpenCC 1.4.2, Python 3.11 (seen 2026-11-30).
# s2twp and tw2sp of OpenCC convert between mainland and Taiwan with "idioms", and so look like the best for a corpus of
# both. The idioms are a list of terms, most of them of computing, that is put in wherever the characters stand. Many
# are everyday words: who calls an ambulance invokes it like a function, life is full of variables of a program, a
# verdict is run, somebody looks for an object to marry, and the menu of a restaurant is one of a program. Others are no
# words there at all: the last character of one and the first of the next are taken for a term, so the soldiers of a
# castle are taxis. Sentences stay fluent and nothing is reported; a network learns them as they are. s2tw and tw2s
# convert characters only: terms stay those of the other side, and all of these are right. Issues 664, 1313 and 1497 of
# OpenCC are open.
# Output seen (by characters; with idioms):
#   s2tw, s2twp: 城堡的士兵: 城堡的士兵; 城堡計程車兵
#   s2tw, s2twp: 改变量子的状态: 改變量子的狀態; 改變數子的狀態
#   s2tw, s2twp: 少数组织: 少數組織; 少陣列織
#   s2tw, s2twp: 她还在找对象: 她還在找對象; 她還在找物件
#   s2tw, s2twp: 历史的进程: 歷史的進程; 歷史的程序
#   s2tw, s2twp: 点菜的菜单: 點菜的菜單; 點菜的選單
#   tw2s, tw2sp: 他呼叫救護車: 他呼叫救护车; 他调用救护车
#   tw2s, tw2sp: 人生充滿變數: 人生充满变数; 人生充满变量
#   tw2s, tw2sp: 執行判決: 执行判决; 运行判决
#   tw2s, tw2sp: 法律程序: 法律程序; 法律进程
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet OpenCC==1.4.2
cat > idioms.py <<'PYTHON'
import sys

from opencc import OpenCC

EXPECTED = {  # what is written, by characters, with idioms
    ("s2tw", "s2twp"): (
        ("城堡的士兵", "城堡的士兵", "城堡計程車兵"),
        ("改变量子的状态", "改變量子的狀態", "改變數子的狀態"),
        ("少数组织", "少數組織", "少陣列織"),
        ("她还在找对象", "她還在找對象", "她還在找物件"),
        ("历史的进程", "歷史的進程", "歷史的程序"),
        ("点菜的菜单", "點菜的菜單", "點菜的選單"),
    ),
    ("tw2s", "tw2sp"): (
        ("他呼叫救護車", "他呼叫救护车", "他调用救护车"),
        ("人生充滿變數", "人生充满变数", "人生充满变量"),
        ("執行判決", "执行判决", "运行判决"),
        ("法律程序", "法律程序", "法律进程"),
    ),
}
for names, texts in EXPECTED.items():
    plain, idioms = map(OpenCC, names)
    for text, *expected in texts:
        seen = [plain.convert(text), idioms.convert(text)]
        print(f"{', '.join(names)}: {text}: {'; '.join(seen)}")
        if seen != expected:
            sys.exit("no longer so: it is converted otherwise")
PYTHON
env/bin/python idioms.py 2> errors || { cat errors; exit 1; }
