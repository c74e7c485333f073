"""Wordings of the conversations in which the user tells something and asks for it a turn later."""

from dataclasses import dataclass

from dataset.sample.wordings import lines


@dataclass(frozen=True)
class Recall:
    """The user tells something and asks for it a turn later; `told` and `asked` are (for fine-tuning, held out)."""

    told: tuple[tuple[str, ...], tuple[str, ...]]
    replies: tuple[str, ...]
    asked: tuple[tuple[str, ...], tuple[str, ...]]
    answer: str


RECALL = {
    "en": (
        Recall(
            (
                lines("""My name is {n}.
                I am {n}.
                Hello, I am {n}.
                You can call me {n}.
                You may call me {n}.
                Hi, {n} is my name.
                I am called {n}.
                I am {n} and I live in {t}.
                Hi, I am {n}.
                Please remember my name: {n}.
                Call me {n}, please.
                People know me as {n}.
                They gave me the name {n}."""),
                lines("""Hi, my name is {n}.
                Please call me {n}."""),
            ),
            ("Nice to meet you.", "Hello! How can I help you?", "Nice to meet you, {n}."),
            (
                lines("""What is my name?
                Do you know my name?
                Tell me my name.
                Who am I?
                Do you remember my name?
                Can you say my name?
                Please tell me my name again.
                Can you tell me who I am?
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
                Surely {f} is what I like best.
                They know {f} is my favourite food.
                For me {f} is the best food.
                I am {n} and I like {f} best.
                I think I like {f} best.
                Of all things I like to eat {f}.
                I think {f} is the best food.
                I say {f} is my favourite food.
                To me the best food is {f}.
                I know {f} is the food for me.
                What I want to eat every day is {f}."""),
                lines("""Of all food I like {f} best.
                I think {f} is my favourite food."""),
            ),
            ("That sounds good.", "Good choice.", "Thank you for telling me."),
            (
                lines("""What do I like best?
                What do I like to eat?
                What is my favourite food?
                Tell me what I like best.
                Do you know what I like to eat?
                Which food is my favourite?
                Can you say what I like best?
                Can you tell me what I like best?
                Which food do I like?
                Please tell me what I like to eat.
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
                I have a house in {t}.
                My house stands in {t}.
                In {t} is my house.
                You find my house in {t}.
                Now my home is in {t}.
                I am {n}, now I live in {t}.
                My family and I live in {t}.
                They built my house in {t}."""),
                lines("""Now I live in {t}.
                My house is in {t}."""),
            ),
            ("That sounds good.", "Nice town.", "Thank you for telling me."),
            (
                lines("""Where do I live?
                In which town do I live?
                Where is my home?
                Tell me where I live.
                Do you know where I live?
                Can you say where I live?
                Can you tell me where my home is?
                Please tell me where I live.
                Which town do I live in?
                What town is my home?"""),
                lines("""Can you tell me where I live?
                What town do I live in?"""),
            ),
            "You live in {t}.",
        ),
        Recall(
            (
                lines("""Remember the word {w}.
                My word is {w}.
                The word of today is {w}.
                I am thinking of {w}.
                I write down the word {w}.
                Keep the word {w} in mind.
                Let us take the word {w}.
                I choose the word {w}.
                My favourite word is {w}.
                I say {w}.
                Do not forget the word {w}.
                Write down {w}, please."""),
                lines("""Please remember the word {w}.
                I take the word {w}."""),
            ),
            ("I will.", "Very well.", "Thank you for telling me."),
            (
                lines("""What is the word?
                Which word is it?
                Tell me the word.
                Do you remember the word?
                Can you say the word?
                What was my word?
                Can you tell me which word it was?
                Which word was it?
                Please tell me the word again.
                What word did I say?"""),
                lines("""Which word did I say?
                Can you tell me the word?"""),
            ),
            "The word is {w}.",
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
                我叫{n}，住在{t}。
                你好，我是{n}。
                大家叫我{n}。
                你好，我的名字是{n}。
                我的名字叫{n}。
                你可以叫我{n}。
                请你叫我{n}。
                朋友们都叫我{n}。
                {n}就是我。"""),
                lines("""你好，我的名字叫{n}。
                请叫我{n}。"""),
            ),
            ("很高兴认识你。", "你好！有什么可以帮你？", "很高兴认识你，{n}。"),
            (
                lines("""我叫什么名字？
                我叫什么？
                你知道我的名字吗？
                我是谁？
                你记得我的名字吗？
                能告诉我我的名字吗？
                请说说我叫什么。
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
                我最喜欢的食物是{f}。
                大家知道{f}是我最爱吃的。
                对我来说{f}最好吃。
                我叫{n}，最喜欢吃{f}。
                我觉得最好吃的是{f}。
                所有食物里最好吃的是{f}。
                所有食物里我最爱吃{f}。
                我觉得{f}很好吃。
                没有什么比{f}更好吃。
                我每天都想吃{f}。"""),
                lines("""所有食物里我最喜欢{f}。
                我觉得{f}最好吃。"""),
            ),
            ("听起来不错。", "好选择。", "谢谢你告诉我。"),
            (
                lines("""我最喜欢吃什么？
                我喜欢什么食物？
                我爱吃什么？
                你知道我最喜欢吃什么吗？
                告诉我我最喜欢吃什么。
                我觉得什么最好吃？
                我最爱吃的是什么？
                能说说我最喜欢吃什么吗？
                我最喜欢吃的食物是什么？
                请说说我最爱吃什么。
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
                我在{t}有房子。
                我家就在{t}。
                我家住在{t}。
                我们家在{t}。
                {t}是我的家。
                现在我的家在{t}。
                我现在住在{t}。
                我和家人住在{t}。
                我的房子在{t}。"""),
                lines("""现在我住在{t}。
                我家在{t}。"""),
            ),
            ("听起来不错。", "好地方。", "谢谢你告诉我。"),
            (
                lines("""我住在哪里？
                我的家在哪里？
                我住在什么地方？
                你知道我住在哪里吗？
                告诉我我住在哪里。
                我的家在什么地方？
                能说说我家在哪里吗？
                请告诉我我住在哪里。
                能告诉我我住在哪里吗？
                我家在哪里？
                能说说我的家在什么地方吗？"""),
                lines("""能说说我住在哪里吗？
                我家在什么地方？"""),
            ),
            "你住在{t}。",
        ),
        Recall(
            (
                lines("""记住{w}这个词。
                我的词是{w}。
                今天的词是{w}。
                我在想{w}这个词。
                我写下了{w}。
                我选了{w}这个词。
                我想到的词是{w}。
                {w}是我的词。
                请你记住{w}。
                我们就用{w}这个词。
                我说的是{w}。
                别忘了{w}这个词。
                我心里想的是{w}。"""),
                lines("""请记住{w}这个词。
                我想的词是{w}。"""),
            ),
            ("好的。", "记住了。", "谢谢你告诉我。"),
            (
                lines("""是哪个词？
                那个词是什么？
                我说的是什么词？
                能告诉我那是哪个词吗？
                告诉我那个词。
                你记得那个词吗？
                能说说那个词吗？
                我说的是哪个词？
                能告诉我那个词是什么吗？
                我的词是什么？
                请告诉我那个词是什么。
                我说了什么词？"""),
                lines("""我说了哪个词？
                能告诉我那个词吗？"""),
            ),
            "那个词是{w}。",
        ),
    ),
}
