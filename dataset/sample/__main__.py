"""`python -m dataset.sample` makes the files and says what is in them."""

from dataset.command_line import run_main
from dataset.sample.files import main

run_main(main)
