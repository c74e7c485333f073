"""The loop: rounds of new instructions, checked and answered, until there are enough records.

A round sends `in_flight` requests for instructions, keeps of the replies what passes the checks and is new, in the
order of the requests, and asks for an answer to each. So what a request shows of earlier rounds is a function of the
replies alone, not of when they came. A run that was killed goes through its journal to the same requests, and the same
file.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from inference.instruct.checks import answer_fault, instruction_fault
from inference.instruct.prompts import asking_for_new, choose_examples, instructions_in, number_from, without_thought
from inference.instruct.requests import Journal, Model, Reply, Request
from inference.instruct.rouge import Similar
from model.errors import SproutError

MOST_BARREN = 20  # rounds without a record after which a run ends


@dataclass(frozen=True)
class Settings:
    """way: "self_instruct" or "magpie". languages: those wanted (`checks.language_of`); empty: any."""

    way: str
    languages: frozenset[str]
    in_flight: int  # requests of a round for instructions
    seed: int
    temperature: float
    top_p: float
    max_new_tokens: int
    novelty: float  # the ROUGE-L from which an instruction is not new


@dataclass
class Counts:
    requests: int = 0  # sent in this run
    known: int = 0  # replies that the journal had
    tokens_in: int = 0
    tokens_out: int = 0
    rejected: Counter = field(default_factory=Counter)  # "instruction: too short" -> how many

    def took(self, reply: Reply, known: bool) -> None:
        self.known += known
        if not known:
            self.requests += 1
            self.tokens_in += reply.tokens_in
            self.tokens_out += reply.tokens_out


@dataclass(frozen=True)
class _Kept:
    instruction: str
    source: dict  # its provenance: the request, and the examples that it showed


class Growing:
    """seeds: the instructions that examples are drawn from. note: called after each reply."""

    def __init__(
        self, model: Model, journal: Journal, seeds: Sequence[str], settings: Settings, note: Callable[[], None]
    ):
        self._model = model
        self._journal = journal
        self._seeds = seeds
        self._set = settings
        self._note = note
        self._language = "zh" if settings.languages == {"zh"} else "en"
        self._kept: list[_Kept] = []
        self._similar = Similar(settings.novelty)
        for seed in seeds:
            self._similar.add(seed)
        self.counts = Counts()
        self.barren = False

    def records(self) -> Iterator[dict]:
        """Records without end; or until `MOST_BARREN` rounds in a row gave none, which sets `barren`."""
        empty = number = 0
        while empty < MOST_BARREN:
            found = list(self._round(range(number, number + self._set.in_flight)))
            number += self._set.in_flight
            empty = 0 if found else empty + 1
            yield from found
        self.barren = True

    def _round(self, numbers: range) -> Iterator[dict]:
        asked = [self._ask_for_new(number) for number in numbers]
        new: list[_Kept] = []
        for (_, source), reply in zip(asked, self._replies([request for request, _ in asked]), strict=True):
            new += [_Kept(text, source) for text in self._instructions(reply)]
        answers = [self._request("answer", len(self._kept) + place, one.instruction) for place, one in enumerate(new)]
        for place, (one, reply) in enumerate(zip(new, self._replies(answers), strict=True), len(self._kept)):
            answer = without_thought(reply.text)
            if fault := answer_fault(one.instruction, answer, reply.finish, self._set.languages):
                self.counts.rejected[f"answer: {_why(reply, fault)}"] += 1
                continue
            turns = [{"role": "user", "content": one.instruction}, {"role": "assistant", "content": answer}]
            yield {"conversations": turns, "id": place, **one.source}
        self._kept += new

    def _ask_for_new(self, number: int) -> tuple[Request, dict]:
        source = {"way": self._set.way, "request": number}
        if self._set.way == "magpie":
            return self._request("new", number, None), source
        seeds, kept = choose_examples(len(self._seeds), len(self._kept), self._set.seed, number)
        examples = [*(self._seeds[i] for i in seeds), *(self._kept[i].instruction for i in kept)]
        message = asking_for_new(examples, self._language, self._set.seed, number)
        return self._request("new", number, message), source | {"seeds": [i + 1 for i in seeds], "examples": kept}

    def _request(self, kind: str, number: int, message: str | None) -> Request:
        seed = number_from(self._set.seed, kind, number)
        return Request(message, self._set.temperature, self._set.top_p, self._set.max_new_tokens, seed)

    def _instructions(self, reply: Reply) -> Iterator[str]:
        """What of a reply is kept as new instructions."""
        if self._set.way == "magpie":
            found = [reply.text.strip()] if reply.finish == "stop" else []
        else:
            found = instructions_in(reply.text, reply.finish == "stop") if reply.finish in ("stop", "length") else []
        if not found:
            self.counts.rejected[f"instruction: {_why(reply, 'no numbered task')}"] += 1
        for text in found:
            fault = instruction_fault(text, self._set.languages)
            if not fault and self._similar.like(text) is not None:
                fault = "not new"
            if fault:
                self.counts.rejected[f"instruction: {fault}"] += 1
                continue
            self._similar.add(text)
            yield text

    def _replies(self, requests: Sequence[Request]) -> list[Reply]:
        """The reply to each request, of the journal if it has one."""
        replies = {place: known for place, one in enumerate(requests) if (known := self._journal.get(one))}
        for known in replies.values():
            self.counts.took(known, known=True)
        missing = [place for place in range(len(requests)) if place not in replies]
        for place, reply in self._model.replies([requests[place] for place in missing]):
            reply = replace(reply, text=reply.text.replace("\r\n", "\n"))  # as some servers end lines
            if reply.finish != "refused":
                self._journal.add(requests[missing[place]], reply)
            replies[missing[place]] = reply
            self.counts.took(reply, known=False)
            self._note()
        if replies and not len(self._journal):  # later, a filter of the server may refuse a whole round
            raise SproutError(
                "the model accepts none of these requests: give shorter seeds, or a smaller --max_new_tokens"
            )
        return [replies[place] for place in range(len(requests))]


def _why(reply: Reply, fault: str) -> str:
    """Why a reply is of no use: what the server did comes before what its text lacks."""
    server = {"refused": "request not accepted", "garbage": "reply not readable"}
    return server.get(reply.finish, "not ended" if reply.finish != "stop" else fault)


class Progress:
    """Says every few seconds how many records there are, what was asked, and the time left."""

    def __init__(self, say: Callable[[str], None], wanted: int, every: float = 10.0):
        self._say = say
        self._wanted = wanted
        self._every = every
        self._begun = self._said = time.monotonic()
        self._known: int | None = None  # records that the journal gave

    def show(self, records: int, counts: Counts) -> None:
        now = time.monotonic()
        if self._known is None and counts.requests:
            self._known, self._begun = records, now
        if now - self._said < self._every:
            return
        self._said = now
        made = records - (self._known or 0)
        left = f", about {(self._wanted - records) * (now - self._begun) / made / 60:.0f} min left" if made > 0 else ""
        self._say(
            f"{records:,} of {self._wanted:,} records, {counts.requests:,} requests, {counts.tokens_in:,} tokens in,"
            f" {counts.tokens_out:,} out{left}"
        )
