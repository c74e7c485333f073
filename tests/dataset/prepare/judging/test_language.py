import sys

import pytest

from dataset.prepare.judging.language import is_english, language, script


@pytest.mark.parametrize(
    "text, code",
    [
        ("今天天气很好，我们去公园玩。", "zh"),
        ("今天天氣很好，我們去公園玩，後來還與朋友吃飯。", "zh"),
        ("在 Linux 下运行 systemctl restart nginx 命令，然后查看日志。", "zh"),
        ("小丸子说“ありがとう”，大家都笑了，然后一起去学校上课，老师在教室里等着他们回来，准备开始上新的一课。", "zh"),
        ("今日は天気がいいので公園に行きました。", "ja"),
        ("오늘은 날씨가 좋아서 공원에 갔습니다.", "ko"),
        ("Сегодня хорошая погода.", "ru"),
        ("The weather is fine today and we went to the park.", "en"),
        ("Σήμερα είναι καλός καιρός", "el"),
        ("12345 !!! 😀", "other"),
        ("", "other"),
    ],
)
def test_the_script_tells_the_language(text, code):
    assert language(text) == code


def test_latin_languages_are_told_apart_by_the_library_or_not_at_all(monkeypatch):
    german = "Das Wetter ist heute schön, und wir gehen in den Park."
    assert script(german) == "latin" and not is_english(german)
    monkeypatch.setitem(sys.modules, "py3langid", None)
    assert language(german) == "latin"
    monkeypatch.undo()
    pytest.importorskip("py3langid", reason="needs the extra data")
    assert language(german) == "de"
    assert language("zzz abc def") == "latin"  # nothing is sure here
    program = "\n".join(f"int pin_{number} = gpio_read({number}); // GPIO" for number in range(40))
    assert language("编写一个程序，用硬件控制引脚。" + program) == "zh"
