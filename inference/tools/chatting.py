"""An answer in a chat at a terminal, with calls of tools on the way to it."""

from inference.chat import Chat
from inference.dialogue import ask, keep, show_turn
from inference.terminal import aside, say
from inference.tools.calls import before_calls, parse_calls
from inference.tools.toolbox import Toolbox
from inference.tools.turns import MAX_TURNS, ResultTurns, said
from inference.writer import Writer
from model.errors import on_one_line


def answer_with_tools(
    toolbox: Toolbox,
    chat: Chat,
    writer: Writer,
    question: str,
    can_stop: bool = False,
    show_thought: bool = True,
) -> None:
    """As `inference.dialogue.answer`; each call and its result is shown on lines of their own.

    The conversation keeps the calls and results of an answer with it. A call that is not answered any more, for want of
    turns or of room, is left out.
    """
    renderer = chat.renderer
    calls = []
    results = ResultTurns(renderer)
    ids = ask(chat, question)
    for turns in range(1, MAX_TURNS + 1):
        turn = show_turn(writer, ids, can_stop, show_thought, before_calls)
        ended = turn.ids[-1:] == [renderer.end_id] and not turn.stopped
        found = parse_calls(said(renderer, turn.ids)) if ended else []
        if not found:
            break
        if turns == MAX_TURNS:
            say(f"[it still calls after {MAX_TURNS} turns; these calls are not answered]")
            break
        answers = [toolbox.run(call) for call in found]
        for result in answers:
            aside(f"call: {on_one_line(' '.join(result.call.written.split()))}")
            aside(f"result: {on_one_line(result.text)}")
        following = results.ids([result.text for result in answers])
        if len(ids) + len(turn.ids) + len(following) >= chat.positions:
            say(f"[the results do not fit into the {chat.positions} positions of the network: the answer ends here]")
            break
        ids = [*ids, *turn.ids, *following]
        thought = {"reasoning_content": turn.thought} if turn.thought else {}
        calls.append({"role": "assistant", "content": turn.said, **thought})
        calls += [{"role": "tool", "content": result.text} for result in answers]
    turn.said = before_calls(turn.said)
    keep(chat, question, turn, calls)
