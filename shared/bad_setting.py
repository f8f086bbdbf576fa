"""What is wrong with a setting, for the one line that a process then ends with."""

import sys
from typing import NoReturn

EXIT_STATUS = 2


class BadSetting(ValueError):
    """`field` is the setting's name in the settings class; the text completes "LAUREL_…: "."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field = field
        self.text = text

    def __str__(self) -> str:
        return f"LAUREL_{self.field.upper()}: {self.text}"

    def exit(self) -> NoReturn:
        """Ends the process: one line on stderr and exit status 2."""
        sys.stderr.write(f"laurel: bad setting {self}\n")
        raise SystemExit(EXIT_STATUS)
