"""Wordings of the conversations that are not about one fact: sums, pronouns, what the user said, greetings."""

from dataclasses import dataclass

from dataset.sample.wordings import lines


@dataclass(frozen=True)
class Recall:
    """The user tells something and asks for it a turn later; `told` and `asked` are (for fine-tuning, held out)."""

    told: tuple[tuple[str, ...], tuple[str, ...]]
    replies: tuple[str, ...]
    asked: tuple[tuple[str, ...], tuple[str, ...]]
    answer: str


SUM_ASKED = {
    "en": lines("""What is {a} + {b}?
        What is {a} plus {b}?
        How much is {a} + {b}?
        How much is {a} plus {b}?
        Add {a} and {b}.
        {a} + {b} = ?
        Tell me the sum of {a} and {b}.
        What is the sum of {a} and {b}?
        Please add {a} and {b}.
        Calculate {a} + {b}.
        Can you tell me {a} + {b}?
        Do you know what {a} and {b} make?
        Could you add {a} and {b}?
        I want to know {a} + {b}.
        What do {a} and {b} make together?"""),
    "zh": lines("""{a} + {b} 等于多少？
        {a}加{b}等于多少？
        {a}加{b}是多少？
        请问{a}加{b}等于几？
        {a}与{b}的和是多少？
        计算 {a} + {b}。
        把{a}和{b}加起来。
        {a} + {b} 是多少？
        请算一算{a}加{b}。
        请把{a}和{b}相加。
        {a}加上{b}得多少？
        你知道{a}加{b}等于几吗？
        能说说{a}和{b}一共是多少吗？
        请告诉我 {a} + {b} 等于多少。
        请问 {a} + {b} 等于几？
        能不能告诉我{a}加{b}得多少？
        请你计算一下{a}加{b}。
        我想知道{a}和{b}相加是多少。"""),
}
SUM_HELD = {
    "en": lines("""Please calculate {a} + {b}.
        Can you add {a} and {b}?
        How much do {a} and {b} make?"""),
    "zh": lines("""请计算{a}加{b}。
        {a}和{b}相加得多少？
        能告诉我 {a} + {b} 等于几吗？"""),
}

# After a question that names a person: (for fine-tuning, held out).
PRONOUNS = {
    "en": {
        "home": (
            lines("""And where does {she} live?
            Where does {she} live?
            Where is {her} home?
            And in which town does {she} live?"""),
            lines("And what town does {she} live in?"),
        ),
        "job": (
            lines("""And what is {her} job?
            What does {she} work as?
            What job does {she} have?
            And what does {she} do for work?"""),
            lines("And which job does {she} have?"),
        ),
        "pet": (
            lines("""And what pet does {she} have?
            What is {her} pet?
            Which animal does {she} have?
            And does {she} have a pet?"""),
            lines("And which pet does {she} keep?"),
        ),
    },
    "zh": {
        "home": (
            lines("""{she}住在哪里？
            那{she}住在哪里？
            {her}的家在哪里？
            {she}住在什么地方？"""),
            lines("那么{her}的家在什么地方？"),
        ),
        "job": (
            lines("""{her}的工作是什么？
            那{she}做什么工作？
            {she}是做什么的？
            {her}的职业是什么？"""),
            lines("那么{she}是做什么工作的？"),
        ),
        "pet": (
            lines("""{her}的宠物是什么？
            那{she}养什么宠物？
            {she}养什么动物？
            {she}家里养着什么？"""),
            lines("那么{she}养的是什么宠物？"),
        ),
    },
}

RECALL = {
    "en": (
        Recall(
            (
                lines("""My name is {n}.
                I am {n}.
                Hello, I am {n}.
                You can call me {n}.
                I am called {n}.
                I am {n} and I live in {t}."
                Hi, I am {n}.
                Please remember my name: {n}.
                Call me {n}, please."""),
                lines("""Hi, my name is {n}.
                Please call me {n}."""),
            ),
            ("Nice to meet you.", "Hello! How can I help you?", "Nice to meet you, {n}."),
            (
                lines("""What is my name?
                Do you know my name?
                Tell me my name.
                Who am I?
                Do you remember my name?"
                Can you say my name?
                Please tell me my name again.
                What is my name, please?"""),
                lines("""Can you tell me my name?
                What is my name again?"""),
            ),
            "Your name is {n}.",
        ),
        Recall(
            (
                lines("""I like {f} best.
                I like {f} more than anything.
                What I like to eat is {f}.
                My favourite food is {f}.
                I am {n} and I like {f} best."
                I think I like {f} best.
                Of all things I like to eat {f}.
                To me the best food is {f}."""),
                lines("""Of all food I like {f} best.
                I think {f} is my favourite food."""),
            ),
            ("That sounds good.", "Good choice.", "Thank you for telling me."),
            (
                lines("""What do I like best?
                What do I like to eat?
                What is my favourite food?
                Tell me what I like best.
                Do you know what I like to eat?"
                Which food is my favourite?
                Can you say what I like best?
                What food do I like?"""),
                lines("""Which food do I like best?
                Can you tell me what I like to eat?"""),
            ),
            "You like {f} best.",
        ),
        Recall(
            (
                lines("""I live in {t}.
                My home is in {t}.
                I am from {t}.
                I am {n} and I live in {t}.
                I have a house in {t}."
                My house stands in {t}.
                Now my home is in {t}.
                I am {n}, now I live in {t}."""),
                lines("""Now I live in {t}.
                My house is in {t}."""),
            ),
            ("That sounds good.", "Nice town.", "Thank you for telling me."),
            (
                lines("""Where do I live?
                In which town do I live?
                Where is my home?
                Tell me where I live.
                Do you know where I live?"
                Can you say where I live?
                Which town do I live in?
                What town is my home?"""),
                lines("""Can you tell me where I live?
                What town do I live in?"""),
            ),
            "You live in {t}.",
        ),
    ),
    "zh": (
        Recall(
            (
                lines("""我叫{n}。
                我的名字是{n}。
                你好，我叫{n}。
                我是{n}。
                叫我{n}吧。
                我叫{n}，住在{t}。"
                你好，我是{n}。
                大家叫我{n}。
                请你叫我{n}。"""),
                lines("""你好，我的名字叫{n}。
                请叫我{n}。"""),
            ),
            ("很高兴认识你。", "你好！有什么可以帮你？", "很高兴认识你，{n}。"),
            (
                lines("""我叫什么名字？
                我叫什么？
                你知道我的名字吗？
                我是谁？
                你记得我的名字吗？"
                我的名字叫什么？
                能说说我叫什么吗？
                请告诉我我的名字是什么。"""),
                lines("""我的名字是什么？
                能告诉我我叫什么吗？"""),
            ),
            "你叫{n}。",
        ),
        Recall(
            (
                lines("""我最喜欢吃{f}。
                我最喜欢{f}。
                我最爱吃的是{f}。
                我喜欢的食物是{f}。
                我叫{n}，最喜欢吃{f}。"
                我觉得最好吃的是{f}。
                所有食物里最好吃的是{f}。
                我觉得{f}很好吃。"""),
                lines("""所有食物里我最喜欢{f}。
                我觉得{f}最好吃。"""),
            ),
            ("听起来不错。", "好选择。", "谢谢你告诉我。"),
            (
                lines("""我最喜欢吃什么？
                我喜欢什么食物？
                我爱吃什么？
                你知道我最喜欢吃什么吗？
                告诉我我最喜欢吃什么。"
                我觉得什么最好吃？
                能告诉我我最喜欢吃什么吗？
                能说说我喜欢什么食物吗？"""),
                lines("""我最喜欢的食物是什么？
                能说说我最爱吃什么吗？"""),
            ),
            "你最喜欢吃{f}。",
        ),
        Recall(
            (
                lines("""我住在{t}。
                我的家在{t}。
                我是{t}人。
                我叫{n}，住在{t}。
                我在{t}有房子。"
                我家就在{t}。
                现在我的家在{t}。
                我现在住在{t}。"""),
                lines("""现在我住在{t}。
                我家在{t}。"""),
            ),
            ("听起来不错。", "好地方。", "谢谢你告诉我。"),
            (
                lines("""我住在哪里？
                我的家在哪里？
                我住在什么地方？
                你知道我住在哪里吗？
                告诉我我住在哪里。"
                能告诉我我住在哪里吗？
                我家在哪里？
                能说说我的家在什么地方吗？"""),
                lines("""能说说我住在哪里吗？
                我家在什么地方？"""),
            ),
            "你住在{t}。",
        ),
    ),
}

SMALL_TALK = {
    "en": (
        (("Hello!", "Hi!", "Good morning!", "Hey there!", "Hello"), "Hello! How can I help you?"),
        (("Who are you?", "What are you?", "What is your name?"), "I am Sprout, a small language model."),
        (("Thank you!", "Thanks a lot!", "Thanks."), "You are welcome."),
        (("Goodbye!", "Bye!", "See you!"), "Goodbye! Have a nice day."),
        (("How are you?", "How do you do?"), "I am fine, thank you. What would you like to know?"),
        (
            ("What can you do?", "What do you know?", "What can I ask you?"),
            "I know capitals, animals, colours, opposites, Chinese words, some people, some stories, and I can add.",
        ),
    ),
    "zh": (
        (("你好！", "您好！", "早上好！", "嗨！", "你好"), "你好！有什么可以帮你？"),
        (("你是谁？", "你是什么？", "你叫什么名字？"), "我是新芽，一个小小的语言模型。"),
        (("谢谢！", "多谢！", "谢谢你。"), "不客气。"),
        (("再见！", "拜拜！", "下次见！"), "再见！祝你愉快。"),
        (("你好吗？", "你怎么样？"), "我很好，谢谢。你想知道什么？"),
        (
            ("你会做什么？", "你知道什么？", "我可以问你什么？"),
            "我知道各国首都、动物、颜色、反义词、英语单词、一些人和故事，还会做加法。",
        ),
    ),
}
