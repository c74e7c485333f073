"""Wordings of the conversations that are not about one fact: sums, pronouns, greetings."""

from dataset.sample.wordings import lines

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
            And where is {her} home?
            What town is {her} home?
            Which town does {she} live in?
            And in which town does {she} live?"""),
            lines("And what town does {she} live in?"),
        ),
        "job": (
            lines("""And what is {her} job?
            What does {she} work as?
            And what job does {she} have?
            What work does {she} do?
            As what does {she} work?
            What job does {she} have?
            And what does {she} do for work?"""),
            lines("And which job does {she} have?"),
        ),
        "pet": (
            lines("""And what pet does {she} have?
            What is {her} pet?
            Which animal does {she} have?
            And what animal does {she} keep?
            What pet does {she} keep?
            Which animal is {her} pet?
            And does {she} have a pet?"""),
            lines("And which pet does {she} keep?"),
        ),
    },
    "zh": {
        "home": (
            lines("""{she}住在哪里？
            那{she}住在哪里？
            那么{she}住在哪里？
            那{her}的家在哪里？
            {her}的家在哪里？
            {she}住在什么地方？
            那{her}家在哪里？
            那么{her}家住哪里？"""),
            lines("那么{her}的家在什么地方？"),
        ),
        "job": (
            lines("""{her}的工作是什么？
            那{she}做什么工作？
            那么{she}做什么工作？
            {she}做的是什么工作？
            {she}是做什么的？
            {her}的职业是什么？
            那么{her}的职业是什么？
            那{her}平时做什么工作？"""),
            lines("那么{she}是做什么工作的？"),
        ),
        "pet": (
            lines("""{her}的宠物是什么？
            那{she}养什么宠物？
            那么{she}养什么宠物？
            {she}养的是什么动物？
            {she}养什么动物？
            {she}家里养着什么？
            那么{her}的宠物是什么？
            那{she}养的宠物是什么？"""),
            lines("那么{she}养的是什么宠物？"),
        ),
    },
}

SMALL_TALK = {
    "en": (
        (("Hello!", "Hi!", "Good morning!", "Hey there!", "Hello"), "Hello! How can I help you?"),
        (
            ("Who are you?", "What are you?", "What is your name?", "Hello! Who are you?", "Hello, who are you?"),
            "I am Sprout, a small language model.",
        ),
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
        (
            ("你是谁？", "你是什么？", "你叫什么名字？", "你好！你是谁？", "你好，你是谁？"),
            "我是新芽，一个小小的语言模型。",
        ),
        (("谢谢！", "多谢！", "谢谢你。"), "不客气。"),
        (("再见！", "拜拜！", "下次见！"), "再见！祝你愉快。"),
        (("你好吗？", "你怎么样？"), "我很好，谢谢。你想知道什么？"),
        (
            ("你会做什么？", "你知道什么？", "我可以问你什么？"),
            "我知道各国首都、动物、颜色、反义词、英语单词、一些人和故事，还会做加法。",
        ),
    ),
}
