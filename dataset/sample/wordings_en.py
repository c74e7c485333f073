"""The English wordings of texts, questions and answers, by skill; see `dataset.sample.wordings`."""

from dataset.sample.wordings import FURTHER_AN, FURTHER_EN, FURTHER_HELD_AN, FURTHER_HELD_EN, wording

EN = {
    "capital": wording(
        "The capital of {e} is {a}.",
        "Countries and their capitals",
        "the capital of {e}",
        """The capital city of {e} is called {a}.
        {e} has {a} as its capital.
        In {e}, the capital is {a}.
        {e}'s capital is {a}.
        Whoever visits {e} should see its capital, {a}.
        The government of {e} sits in the capital, {a}.
        {a} is the capital of {e}.
        We travelled to {e} and stayed in {a}, the capital.
        On the map of {e}, a star marks the capital, {a}.
        Many roads of {e} lead to its capital, {a}.
        A well-known city of {e} is {a}, the capital.
        Everybody in {e} knows that {a} is the capital.
        The capital that belongs to {e} is {a}.""",
        """What is the capital of {e}?
        Which city is the capital of {e}?
        What is the capital city of {e}?
        Tell me the capital of {e}.
        Do you know the capital of {e}?
        Can you name the capital of {e}?
        What is the name of the capital of {e}?
        What would you call the capital of {e}?
        {e}: what is its capital?
        What city is {e}'s capital?
        I want to know the capital of {e}.
        Which city does {e} have as its capital?""",
        """Please name the capital of {e}.
        Could you tell me which city is the capital of {e}?
        What is the name of {e}'s capital?""",
        FURTHER_EN,
        FURTHER_HELD_EN,
    ),
    "sound": wording(
        "The sound of {an e} is {an a}.",
        "What animals do with their voices",
        "the sound of {an e}",
        """Every {e} can {a}.
        Listen to {an e}: you hear it {a}.
        When it is hungry, {an e} will {a}.
        At night {an e} may {a}.
        You know {an e} by its {a}.
        The {e} calls its friends with {an a}.
        A child saw {an e} and heard it {a}.
        The voice of {an e} is {an a}.
        What does {an e} do all day? It likes to {a}.
        In the story the {e} gave {an a} three times.
        A happy {e} will {a}.
        Early in the morning we hear the {e} {a}.""",
        """What sound does {an e} make?
        How does {an e} sound?
        What does {an e} do with its voice?
        Which sound does {an e} make?
        What noise does {an e} make?
        Tell me what sound {an e} makes.
        What do you hear from {an e}?
        Do you know the sound of {an e}?
        What kind of noise comes from {an e}?""",
        """Please tell me which noise {an e} makes.
        What is the sound of {an e}?
        Can you say what sound {an e} makes?""",
        FURTHER_AN,
        FURTHER_HELD_AN,
    ),
    "young": wording(
        "A young {e} is called {an a}.",
        "Animals and their young",
        "the young of {an e}",
        """A baby {e} is {an a}.
        The young of {an e} is {an a}.
        {An e} takes good care of its {a}.
        The {e} and its {a} sleep side by side.
        Behind the {e} comes its {a}.
        Every {e} was once {an a}.
        When {an e} has young, each of them is {an a}.
        People call a young {e} {an a}.
        A small {e} has a name of its own: {a}.
        The child of {an e} is {an a}.
        The word for a baby {e} is {a}.
        {An e} begins its life as {an a}.""",
        """What is a young {e} called?
        What do you call a young {e}?
        What is the young of {an e} called?
        What do people call a baby {e}?
        Tell me what a young {e} is called.
        What is the word for a young {e}?
        What is a baby {e}?
        Do you know what a young {e} is called?
        How do you call the young of {an e}?""",
        """What is the name for a young {e}?
        Please tell me what a baby {e} is called.
        Which word do people use for a young {e}?""",
        FURTHER_AN,
        FURTHER_HELD_AN,
    ),
    "colour": wording(
        "The colour of {an e} is {a}.",
        "Things and their colours",
        "the colour of {an e}",
        """{An e} is {a}.
        Everybody knows that {an e} is {a}.
        The child painted {an e} and made it {a}.
        To draw {an e}, take the {a} pencil.
        In the picture book {an e} is {a}.
        Look at {an e}: it is {a}.
        For {an e} the painter needs {a}.
        Think of {an e}, and you think of {a}.
        {An e} has a colour, and it is {a}.
        When we see {an e}, we see {a}.
        As for {an e}, its colour is {a}.
        Nature made {an e} {a}, they say.""",
        """What colour is {an e}?
        What is the colour of {an e}?
        Which colour does {an e} have?
        Tell me the colour of {an e}.
        Do you know the colour of {an e}?
        What colour does {an e} have?
        Which colour is {an e}?
        Can you tell me what colour {an e} is?
        I want to know the colour of {an e}.""",
        """Please name the colour of {an e}.
        Of what colour is {an e}?
        Could you tell me which colour {an e} has?""",
        FURTHER_AN,
        FURTHER_HELD_AN,
    ),
    "opposite": wording(
        "The opposite of {e} is {a}.",
        "Words and their opposites",
        "the opposite of {e}",
        """The contrary of {e} is {a}.
        {e} and {a} are opposites.
        The word {e} has the opposite {a}.
        Turn {e} around and you get {a}.
        Where one says {e}, the other says {a}.
        If it is not {e}, it may be {a}, the opposite.
        {e} stands against {a}.
        For {e} the opposite word is {a}.
        In the game one child calls {e}, and the answer is {a}.
        Nothing is as far from {e} as {a}.
        Between {e} and {a} there is all the difference.
        The word opposite to {e} is {a}.""",
        """What is the opposite of {e}?
        Which word is the opposite of {e}?
        Tell me the opposite of {e}.
        Do you know the opposite of {e}?
        Which word means the opposite of {e}?
        Can you name the opposite of {e}?
        {e}: what is the opposite?
        What is the opposite word of {e}?
        I want to know the opposite of {e}.""",
        """Please give me the opposite of {e}.
        Could you tell me which word is the opposite of {e}?
        What would be the opposite of {e}?""",
        FURTHER_EN,
        FURTHER_HELD_EN,
    ),
    "translation": wording(
        "The Chinese word for {e} is {a}.",
        "English and Chinese words",
        "the Chinese word for {e}",
        """In Chinese, {e} is {a}.
        The word {e} is written {a} in Chinese.
        In the dictionary, {e} is followed by {a}.
        A Chinese child does not say {e} but {a}.
        {e} means {a} in Chinese.
        Today we learned that {e} is {a} in Chinese.
        Write {e} in Chinese: {a}.
        For {e} the Chinese say {a}.
        The English word {e} and the Chinese word {a} mean the same.
        On the card was {e}, and on its back {a}.
        The teacher says {e}, and the class answers {a}.
        {e} is translated as {a}.""",
        """What is the Chinese word for {e}?
        How do you say {e} in Chinese?
        What is {e} in Chinese?
        Tell me the Chinese word for {e}.
        How do you write {e} in Chinese?
        Do you know the Chinese word for {e}?
        Which Chinese word means {e}?
        Translate {e} into Chinese.
        In Chinese, what is {e}?
        What do the Chinese say for {e}?
        Please translate {e} into Chinese.
        How would you say {e} in Chinese?
        What would be the Chinese word for {e}?
        Can you say {e} in Chinese?""",
        """Please tell me how to say {e} in Chinese.
        What would {e} be in Chinese?
        Could you translate the word {e} into Chinese?""",
        FURTHER_EN,
        FURTHER_HELD_EN,
    ),
    "home": wording(
        "The home of {e} is in {a}.",
        "Where people live",
        "the home of {e}",
        """{e} lives in {a}.
        The small house of {e} is in {a}.
        In {a} you can find the home of {e}.
        We know that {e} grew up in {a} and still lives there.
        Whoever wants to visit {e} must go to {a}.
        Letters for {e} are sent to {a}.
        They say that {e} comes from {a} and would never leave.
        You can meet {e} any day in {a}, at home.
        Long ago {e} moved to {a} and lives there now.
        The neighbours of {e} in {a} are friendly.
        The town where {e} lives is {a}.""",
        """Where does {e} live?
        In which town does {e} live?
        Where is the home of {e}?
        Tell me where {e} lives.
        Do you know where {e} lives?
        What town does {e} live in?
        Where can I find the home of {e}?
        Can you tell me where {e} lives?""",
        """Please tell me in which town {e} lives.
        Which town is the home of {e}?
        Where does {e} have a home?""",
    ),
    "job": wording(
        "The job of {e} is to be {an a}.",
        "What people do",
        "the job of {e}",
        """{e} works as {an a}.
        We all know that {e} is {an a}.
        All year {e} earns money as {an a}.
        By trade, {e} is {an a}.
        For ten years {e} has been {an a}.
        They say that {e} loves to work as {an a}.
        As a child {e} wanted to be {an a}, and now that is the job.
        Everybody knows {e} as a good {a}.
        At school {e} learned to be {an a}.
        When you need {an a}, call {e}.
        The work of {e} is that of {an a}.""",
        """What is the job of {e}?
        What does {e} work as?
        What job does {e} have?
        Tell me the job of {e}.
        What does {e} do for work?
        Do you know the job of {e}?
        Which job does {e} do?
        Can you tell me what {e} works as?""",
        """Please tell me what job {e} has.
        As what does {e} work?
        What work does {e} do?""",
    ),
    "pet": wording(
        "The pet of {e} is {an a}.",
        "People and their pets",
        "the pet of {e}",
        """{e} has {an a}.
        At home {e} keeps {an a}.
        We know the pet of {e}: it is {an a}.
        All day {e} looks after {an a}.
        Every morning {e} feeds {an a}.
        They say that {e} never travels without {an a}.
        In the house of {e} there lives {an a} too.
        Of all animals {e} chose {an a}.
        The best friend of {e} is {an a}.
        Last year {e} bought {an a} and loves it.""",
        """What pet does {e} have?
        Which animal does {e} have?
        What is the pet of {e}?
        Tell me what pet {e} has.
        Do you know the pet of {e}?
        What animal lives with {e}?
        Which pet does {e} keep?
        Can you tell me what pet {e} has?""",
        """Please tell me which animal {e} keeps as a pet.
        What kind of pet does {e} have?
        Which animal is the pet of {e}?""",
    ),
    "moral": wording(
        "The moral of {e} is: {a}.",
        "Stories and their morals",
        "the moral of {e}",
        """{e} teaches us: {a}.
        What we learn from {e}: {a}.
        People tell {e} to say: {a}.
        In short, {e} means: {a}.
        The lesson of {e} is: {a}.
        Remember {e}: {a}.""",
        """What is the moral of {e}?
        What does {e} teach us?
        What is the lesson of {e}?
        Tell me the moral of {e}.
        What do we learn from {e}?
        Do you know the moral of {e}?
        Can you name the moral of {e}?""",
        """Please tell me the lesson of {e}.
        Which moral does {e} have?
        What can we learn from the story {e}?""",
    ),
}
