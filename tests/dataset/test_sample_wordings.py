"""The data files that the sample data is made from: all are read, and a mistake in one is a sentence that finds it."""

import shutil
import tomllib
from pathlib import Path

import pytest

from dataset.sample import files, grammar, loader, people, recall
from dataset.sample.fact_wordings import fact_wordings
from dataset.sample.files import version, write_sample
from dataset.sample.loader import FOLDER, LANGUAGES, read_table, read_wordings
from dataset.sample.world import World
from model.errors import SproutError

DATA_FILES = sorted([*FOLDER.glob("tables/*"), *FOLDER.glob("wordings/*/*")])


def forget() -> None:
    for cached in (read_wordings, read_table, fact_wordings):
        cached.cache_clear()


@pytest.fixture
def copy(tmp_path, monkeypatch) -> Path:
    """A copy of the folder that the sample data is made from instead."""
    shutil.copytree(FOLDER, tmp_path / "copy", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(loader, "FOLDER", tmp_path / "copy")
    monkeypatch.setattr(files, "__file__", str(tmp_path / "copy" / "files.py"))
    forget()
    yield tmp_path / "copy"
    forget()


def test_every_data_file_is_read_and_says_first_what_it_holds(copy, tmp_path, monkeypatch):
    read, real = set(), loader._text_of

    def noted(path):
        read.add(path.relative_to(copy))
        return real(path)

    monkeypatch.setattr(loader, "_text_of", noted)
    write_sample(tmp_path / "out")
    assert sorted(FOLDER / path for path in read) == DATA_FILES and len(read) >= 30
    for path in DATA_FILES:
        assert path.read_text(encoding="utf-8").startswith("# ")


def test_both_languages_have_the_same_files_but_for_letters_articles_and_the_tool():
    english, chinese = ({path.name for path in (FOLDER / "wordings" / each).iterdir()} for each in LANGUAGES)
    assert english - chinese == {"articles.yaml", "calculator.yaml", "spelling.yaml"} and not chinese - english


# file, what is there (None: everything), what is put there, what the sentence says of it
MISTAKES = [
    ("en/names.yaml", "speakers:", "speaker:", "speakers is missing"),
    ("zh/names.yaml", "towns:", "cities: [Rom]\ntowns:", "cities is unknown: the entries here are women, men"),
    ("en/names.yaml", "[Anna,", "[No,", "women must hold text, not False: put it in quotes"),
    ("en/names.yaml", "]", "", "is no YAML: while parsing"),
    ("en/names.yaml", "towns:", "men:", "a key stands here twice"),
    ("en/names.yaml", None, "- Anna\n", "the file must hold entries of the form `key: value`"),
    ("en/names.yaml", None, "# nothing\n", "the file must hold entries of the form `key: value`"),
    ("en/articles.yaml", "[sky, sea]", "[]", "with_the must hold wordings, one a line"),
    ("en/tales.yaml", "a {young|little}", "a {young}", "squirrel_and_snow.sentences uses {young}, which nothing fills"),
    ("zh/tales.yaml", "two_buckets:", "three_buckets:", "two_buckets is missing, which"),
    ("en/facts.yaml", "capital:", "kapital:", "capital is missing"),
    ("en/facts.yaml", "\nsound:", "\nsmell: {}\nsound:", "smell is unknown: the entries here are capital, sound"),
    ("en/facts.yaml", "  heading: ", "  # ", "capital.heading is missing"),
    ("en/facts.yaml", '"{entity}"', "{entity}", "capital.name must hold text, not {'entity': None}: put it in quotes"),
    (
        "en/facts.yaml",
        "{entity} has",
        "{enity} has",
        "capital.texts uses {enity}, which nothing fills, in '{enity} has",
    ),
    ("en/facts.yaml", "{entity} has", "{entity has", "capital.texts uses {entity has"),
    (
        "en/facts.yaml",
        "What is",
        "Is {attribute}",
        "capital.questions.fine_tuning uses {attribute}, which nothing fills",
    ),
    ("zh/facts.yaml", '"各国首都"', '"{entity}"', "capital.heading uses {entity}, which nothing fills"),
    ("zh/facts.yaml", '"各国首都"', '""', "capital.heading must hold text, not ''"),
    ("zh/frames.yaml", None, "questions: x\nfurther: y\n", "questions must hold entries of the form `key: value`"),
    (
        "capitals.txt",
        "Germany | Berlin | 德国",
        "Germany | Berlin",
        "line 6: a row has 4 cells divided by |, not 'Germany",
    ),
    ("jobs.txt", "nurse |", "|", "line 5: a row has 2 cells divided by |, not '| 护士'"),
]


@pytest.mark.parametrize(("name", "there", "instead", "expected"), MISTAKES)
def test_a_mistake_is_one_sentence_that_names_the_file_and_the_key(copy, tmp_path, name, there, instead, expected):
    path = copy / ("wordings" if "/" in name else "tables") / name
    text = path.read_text(encoding="utf-8")
    assert there is None or there in text
    path.write_text(instead if there is None else text.replace(there, instead, 1), encoding="utf-8")
    with pytest.raises(SproutError) as refused:
        write_sample(tmp_path / "out")
    said = str(refused.value)
    assert said.startswith(str(path)) and expected in said and "\n" not in said


def test_a_file_that_cannot_be_read_is_named(copy):
    (copy / "tables" / "pets.txt").unlink()
    with pytest.raises(SproutError, match=r"pets\.txt cannot be read \(No such file"):
        World()
    (copy / "wordings" / "en" / "tales.yaml").write_bytes("Märchen".encode("latin-1"))
    forget()
    with pytest.raises(SproutError, match=r"tales\.yaml is not written in UTF-8: .* at byte 1"):
        World()


def test_every_placeholder_that_a_wording_may_use_is_filled():
    def wording(*names: str) -> str:
        return " ".join(f"{{{name}}}" for name in names)

    facts = wording("entity", "an entity", "An entity", "attribute", "an attribute")
    assert grammar.fill(facts, "owl", "milk") == "owl an owl An owl milk milk"
    assert grammar.fill(facts, "sea", "dog") == "sea the sea The sea dog a dog"
    person = next(person for person in World().people if person.language == "en" and person.woman)
    said = people.portrait(person, wording("they", "They", "their", "Their", "them", "name"))
    assert said == f"she She her Her her {person.name}"
    said = people.portrait(person, wording("home", "job", "pet", "a job", "a pet"))
    assert said.startswith(f"{person.home} {person.job} {person.pet} a") and said.endswith(person.pet)
    assert "{" not in "".join(people.question_about(person, "home", held, World().rng("any")) for held in (True, False))
    for record in recall.recalled(World(), World().rng("any"), held=True):
        assert not any("{" in turn["content"] for turn in record["conversations"])


@pytest.mark.parametrize("name", ["tables/pets.txt", "wordings/zh/tales.yaml", "world.py"])
def test_the_version_covers_code_and_data(copy, name):
    before = version()
    with (copy / name).open("a", encoding="utf-8") as file:
        file.write("\n# another\n")
    assert version() != before


def test_the_data_files_are_installed_with_the_package():
    settings = tomllib.loads((FOLDER.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = settings["tool"]["setuptools"]["package-data"]["dataset.sample"]
    assert sorted(path for pattern in patterns for path in FOLDER.glob(pattern)) == DATA_FILES
