"""`python -m dataset.sample`: makes the files and says what is in them."""

import os
import sys

from dataset.sample import main
from model.errors import SproutError

try:
    main()
    sys.stdout.flush()
except SproutError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(error.exit_code)
except BrokenPipeError:  # the reader (`| head`) has gone: nothing is left to say
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
except KeyboardInterrupt:
    sys.exit(130)
