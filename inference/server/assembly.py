"""From the parts of texts, as they come, to one reply, or to the chunks of a stream."""

from collections.abc import AsyncIterator

from inference.server import replies
from inference.server.answers import ChatAnswer, message_of
from inference.server.exchange import Exchange
from inference.server.requests import Chat, Completion
from inference.server.writing import Part


def _chat_tokens(exchange: Exchange, part: Part) -> list:
    """The tokens of a chat answer, without the one that ends it, which has no text."""
    return [one for one in part.tokens if one[0].id not in exchange.served.end_ids]


def _answers(exchange: Exchange, asked: Chat) -> list[ChatAnswer]:
    return [ChatAnswer(bool(asked.tools), asked.beginning) for _ in exchange.writings]


def _why(answer: ChatAnswer, finish: str) -> str:
    return "tool_calls" if answer.called and finish == "stop" else finish


async def chat_reply(exchange: Exchange, asked: Chat) -> dict:
    """The reply to a chat. Raises `Failure` where a text failed, as the three below."""
    answers = _answers(exchange, asked)
    deltas: list[list[dict]] = [[] for _ in answers]
    tokens: list[list] = [[] for _ in answers]
    finishes = [""] * len(answers)
    async for part in exchange.parts():
        place = part.writing.choice
        deltas[place] += answers[place].push(part.text)
        tokens[place] += _chat_tokens(exchange, part)
        if part.finish:
            deltas[place] += answers[place].finish()
            finishes[place] = _why(answers[place], part.finish)
    choices = []
    for place, finish in enumerate(finishes):
        logprobs = None if asked.top is None else replies.chat_logprobs(tokens[place], exchange.served.spelling)
        choices.append(replies.chat_choice(place, message_of(deltas[place]), finish, logprobs))
    head = replies.head_of("chat.completion", "chatcmpl", exchange.served.name)
    return {**head, "choices": choices, "usage": replies.usage_of(*exchange.usage)}


async def chat_events(exchange: Exchange, asked: Chat) -> AsyncIterator[dict]:
    """The chunks of a chat's stream: the role of each answer, then what is new of it, then why it ended."""
    head = replies.head_of("chat.completion.chunk", "chatcmpl", exchange.served.name)

    def chunk(*choice) -> dict:
        return {**head, "choices": [replies.chunk_choice(*choice)]}

    answers = _answers(exchange, asked)
    for place in range(len(answers)):
        yield chunk(place, {"role": "assistant", "content": ""})
    async for part in exchange.parts():
        place = part.writing.choice
        answer = answers[place]
        deltas = answer.push(part.text) + (answer.finish() if part.finish else [])
        told = _chat_tokens(exchange, part) if asked.top is not None else []
        logprobs = replies.chat_logprobs(told, exchange.served.spelling) if told else None
        if told and not deltas:
            deltas = [{"content": ""}]  # a token that shows no text yet has its log-probability all the same
        for number, delta in enumerate(deltas):
            yield chunk(place, delta, None, None if number else logprobs)
        if part.finish:
            yield chunk(place, {}, _why(answer, part.finish))


def _completion_choice(exchange: Exchange, asked: Completion, part: Part, begins: bool) -> dict:
    """What a part adds to a completion; the first brings an echo of the prompt."""
    place = part.writing.choice
    text = part.text
    told = list(part.tokens)
    if asked.echo:
        prompt = exchange.prompts[place // asked.n]
        told = [(token, offset + len(prompt.text)) for token, offset in told]
        if begins:
            text = prompt.text + text
            told = [*zip(part.writing.row.prompt_scores, prompt.offsets), *told]
    logprobs = None if asked.top is None else replies.completion_logprobs(told, exchange.served.spelling)
    return replies.text_choice(place, text, part.finish, logprobs)


async def completion_reply(exchange: Exchange, asked: Completion) -> dict:
    """The reply to a request for completions."""
    choices: list[dict | None] = [None] * len(exchange.writings)
    async for part in exchange.parts():
        place = part.writing.choice
        new = _completion_choice(exchange, asked, part, begins=choices[place] is None)
        if old := choices[place]:
            new["text"] = old["text"] + new["text"]
            if new["logprobs"]:
                new["logprobs"] = {key: old["logprobs"][key] + values for key, values in new["logprobs"].items()}
        choices[place] = new
    head = replies.head_of("text_completion", "cmpl", exchange.served.name)
    return {**head, "choices": choices, "usage": replies.usage_of(*exchange.usage)}


async def completion_events(exchange: Exchange, asked: Completion) -> AsyncIterator[dict]:
    """The chunks of a stream of completions; a part that adds nothing makes none."""
    head = replies.head_of("text_completion", "cmpl", exchange.served.name)
    begun: set[int] = set()
    async for part in exchange.parts():
        choice = _completion_choice(exchange, asked, part, begins=part.writing.choice not in begun)
        begun.add(part.writing.choice)
        if choice["text"] or part.finish or (choice["logprobs"] and choice["logprobs"]["tokens"]):
            yield {**head, "choices": [choice]}
