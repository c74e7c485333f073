"""`python -m dataset.sample`"""

from dataset.sample import main

main()
