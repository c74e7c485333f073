"""The chat page in a real browser. A network computes every token, but what it says is laid into its mouth."""

import re
import shutil
import time
from types import SimpleNamespace

import httpx
import pytest

from inference.server.writing import Writing
from tests.inference.server.conftest import running
from tests.stages.talker import tokenizer_that_shows_thinking

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium: apt-get install chromium")
ALONE = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
--disable-component-update --disable-sync""".split()

EVIL = "<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script><b>bold</b>"
SAID = {
    "Be evil.": EVIL,
    "Think evil.": f"<think>\n{EVIL}\n</think>\n\nI did.",
    "Write code.": f"So:\n\n```html\n{EVIL}\n```\n\nDone.",
    "Go on.": "na " * 150,
    "Think on.": f"<think>\n{'hm ' * 150}\n</think>\n\nYes.",
} | dict.fromkeys("123", "Yes.")


def answer(prompt: str) -> str:
    """What is said to a prompt of ChatML: as in `SAID`, or all that stands in the prompt."""
    turns = re.findall(r"<\|im_start\|>(\w+)\n(.*?)<\|im_end\|>", prompt, re.DOTALL)
    if turns[-1][1] in SAID:
        return SAID[turns[-1][1]]
    return " / ".join(f"{role}: {text}" for role, text in turns)


@pytest.fixture(scope="module")
def server(weights):
    tokenizer, honest, told = tokenizer_that_shows_thinking(), Writing.take, {}

    def take(self, late: bool = False):
        if self not in told:
            text = answer(tokenizer.decode(self.row.prompt, skip_special_tokens=False))
            told[self] = [*tokenizer.encode(text), tokenizer.eos_id]
        self.row.newest = self.row.newest._replace(id=told[self][self.count])
        if self.count > 100:
            time.sleep(0.05)  # so that it is still written when a button is pressed, even on a busy machine
        return honest(self, late)

    with pytest.MonkeyPatch.context() as patch, running(weights) as address:
        patch.setattr(Writing, "take", take)
        yield address


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ALONE)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser):
    """Opens a page in a profile of its own. At the end: it asked nobody but its server, and nothing failed in it."""
    contexts, requests, wrong = [], [], []

    def open_page(address: str, width: int = 1200, height: int = 800, locale: str = "en-US"):
        context = browser.new_context(viewport={"width": width, "height": height}, locale=locale)
        context.set_default_timeout(20_000)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: requests.append((request.url, address)))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("dialog", lambda dialog: dialog.accept())
        page.goto(address)
        return page

    yield SimpleNamespace(page=open_page, requests=requests, wrong=wrong)
    for context in contexts:
        context.close()
    assert not [url for url, address in requests if not url.startswith(address + "/")]
    assert not wrong


def ask(page, question: str) -> None:
    """Asks, and waits until all have answered."""
    page.fill("#question", question)
    page.press("#question", "Enter")
    wait(page)


def wait(page) -> None:
    """Until all have answered, and what they said is drawn."""
    page.wait_for_selector("#again", state="visible")
    page.evaluate("() => new Promise(requestAnimationFrame)")


def texts(page, selector: str = ".answer .text") -> list[str]:
    return page.locator(selector).all_text_contents()


def chats(page) -> list[str]:
    return texts(page, "#chats li button:first-child")


def test_a_conversation_of_two_turns_outlives_a_reload_beside_another(server, visit):
    page = visit.page(server)
    ask(page, "Hello")
    ask(page, "你好")
    first, second = texts(page)
    assert first == "user: Hello" and second == "user: Hello / assistant: user: Hello / user: 你好"
    page.click("#new")
    ask(page, "Other")
    assert len(texts(page)) == 1 and chats(page) == ["Other", "Hello"]
    page.reload()
    assert chats(page) == ["Other", "Hello"] and texts(page) == ["user: Other"]
    page.click("text=Hello")
    assert texts(page) == [first, second] and texts(page, ".user") == ["Hello", "你好"]
    page.click("#chats li.current button[title=Delete]")
    assert chats(page) == ["Other"] and texts(page) == []


def test_an_answer_streams_and_stop_stops_it(server, visit):
    page = visit.page(server)
    page.fill("#question", "Go on.")
    page.click("#send")
    page.wait_for_selector(".answer .text:has-text('na na na')")
    assert page.inner_text("#send") == "Stop" and not page.is_visible("#again")
    page.click("#send")
    page.wait_for_selector("footer:has-text('stopped')")
    (stopped,) = texts(page)
    assert "na na na" in stopped and len(stopped) < len(SAID["Go on."]) and page.inner_text("#send") == "Send"
    until = time.monotonic() + 20
    while httpx.get(f"{server}/health").json()["running"]:  # the server has noticed, too
        assert time.monotonic() < until
    page.reload()
    assert texts(page) == [stopped]


@pytest.mark.parametrize("question", ["Be evil.", "Think evil.", "Write code.", EVIL])
def test_what_is_written_is_text_and_runs_nothing(server, visit, question):
    page = visit.page(server)
    ask(page, question)
    page.reload()  # what was kept is text, too
    page.wait_for_selector("#models input")
    assert EVIL in page.text_content("#log") and page.locator("#log :is(img, script, b)").count() == 0
    assert page.title() == "Sprout 新芽"
    if question == "Think evil.":
        assert texts(page) == ["I did."] and page.get_attribute("details", "open") is None
        page.click("summary")
        assert page.get_attribute("details", "open") is not None
    if question == "Write code.":
        assert texts(page, ".answer pre") == [EVIL]


def test_models_are_asked_side_by_side_and_again_with_a_system_prompt(server, visit):
    page = visit.page(server)
    page.click("label:has-text('pretrain_32')")
    ask(page, "Who?")
    assert texts(page, ".answer h2") == ["full_sft_32", "pretrain_32"]
    left, right = (page.locator(".answer").nth(place).bounding_box() for place in (0, 1))
    assert left["y"] == right["y"] and left["x"] + left["width"] <= right["x"]
    page.click("label:has-text('full_sft_32')")
    page.click("#open-settings")
    page.fill("#s-system", "Be curt.")
    page.fill("#s-temperature", "0.5")
    page.press("#s-temperature", "Enter")
    with page.expect_request("**/v1/chat/completions") as asked:
        page.click("#again")
    body = asked.value.post_data_json
    assert (body["model"], body["temperature"]) == ("pretrain_32", 0.5)
    wait(page)
    assert texts(page, ".answer h2") == ["pretrain_32"] and texts(page, ".user") == ["Who?"]
    assert texts(page) == ["system: Be curt. / user: Who?"]
    page.reload()
    page.wait_for_selector("#models input")
    assert page.input_value("#s-system") == "" and page.is_checked("label:has-text('pretrain_32') input")
    page.click("#open-settings")
    assert page.input_value("#s-system") == "Be curt."


def test_it_speaks_two_languages(server, visit):
    page = visit.page(server, locale="zh-CN")
    assert page.inner_text("#send") == "发送" and page.get_attribute("html", "lang") == "zh-CN"
    page.click("#language")
    page.reload()
    assert page.inner_text("#send") == "Send" and page.get_attribute("html", "lang") == "en"
    english, chinese = page.evaluate("() => [WORDS.en, WORDS.zh]")
    assert english.keys() == chinese.keys() and all([*english.values(), *chinese.values()])
    assert set(page.evaluate("() => [...document.querySelectorAll('[data-word]')].map((one) => one.dataset.word)")) <= (
        english.keys()
    )


def test_a_phone_shows_all_of_it(server, visit):
    page = visit.page(server, width=360, height=640)
    for _ in range(2):
        ask(page, "Write code.")
    size = page.evaluate("() => [document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
    assert size == [360, 640] and page.locator("#log").bounding_box()["height"] > 250  # only the conversation scrolls
    page.reload()
    page.wait_for_selector("#models input")
    assert (
        page.evaluate("() => { const log = $('log'); return log.scrollHeight - log.scrollTop - log.clientHeight; }") < 2
    )
    page.click("#open-settings")
    dialog = page.locator("#settings").bounding_box()
    for place in range(page.locator("#settings :is(input, textarea)").count()):
        box = page.locator("#settings :is(input, textarea)").nth(place).bounding_box()
        assert dialog["x"] <= box["x"] and box["x"] + box["width"] <= dialog["x"] + dialog["width"]


def test_a_key_is_asked_for(weights, visit):
    with running(weights, api_key="secret") as address:
        page = visit.page(address)
        page.wait_for_selector("#models .failed:has-text('the key is missing')")
        page.fill("#question", "Hello")
        with page.expect_response("**/v1/models"):
            page.press("#question", "Enter")
        page.wait_for_function("() => $('question').value")  # what could not be asked stays there
        give_key(page, "secret")
        page.wait_for_selector("#models input")
        ask(page, page.input_value("#question"))
        give_key(page, "wrong")
        page.reload()
        page.wait_for_selector("#models .failed")
        with page.expect_response("**/v1/models"):
            page.click("#again")
        give_key(page, "secret")
        page.wait_for_selector("#models input")
        ask(page, "你好")
        assert texts(page, ".user") == ["Hello", "你好"]
        assert all("401" in each for each in visit.wrong), visit.wrong
        visit.wrong.clear()


def give_key(page, key: str) -> None:
    page.click("#open-settings")
    page.fill("#s-key", key)
    with page.expect_response("**/v1/models"):
        page.click("#close-settings")


def test_two_tabs_with_one_conversation_lose_no_turn(server, visit):
    page = visit.page(server)
    ask(page, "1")
    other = page.context.new_page()
    other.on("dialog", lambda dialog: dialog.accept())
    other.goto(server)
    ask(other, "2")
    page.wait_for_selector(".user:has-text('2')")
    page.fill("#question", "Go on.")
    page.click("#send")
    other.wait_for_selector(".user:has-text('Go on.')")
    ask(other, "3")
    page.click("#send")
    wait(page)
    for tab, last in ((page, ["Go on."]), (other, ["Go on.", "3"])):  # two conversations from here on
        assert texts(tab, ".user") == ["1", "2", *last] and chats(tab) == ["1", "1"]
    other.click("#chats li.current button[title=Delete]")
    page.wait_for_selector("#chats li:only-child")
    page.reload()
    assert texts(page, ".user") == ["1", "2", "Go on."]


def test_a_thought_opens_by_a_click_while_it_is_written(server, visit):
    page = visit.page(server)
    page.fill("#question", "Think on.")
    page.click("#send")
    page.wait_for_selector("details:has-text('hm hm')")
    left, top = page.evaluate("() => { const box = $('log').querySelector('summary').getBoundingClientRect();"
                              " return [box.left + 9, box.top + 9]; }")  # fmt: skip
    page.mouse.move(left, top)
    page.mouse.down()
    said = page.text_content("details")
    page.wait_for_function("(said) => $('log').querySelector('details').textContent !== said", arg=said)
    page.mouse.up()
    assert page.get_attribute("details", "open") is not None and page.inner_text("#send") == "Stop"
    page.click("#send")
    page.wait_for_selector("footer:has-text('stopped')")
