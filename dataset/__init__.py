"""From one line of a file to one batch: reading, record formats, the token cache, packed rows."""
