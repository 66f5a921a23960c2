# SPDX-License-Identifier: LGPL-2.1-or-later
# So that type checkers find the stub of Pool below. What else there is in gi has no types here.
from typing import Any

def __getattr__(name: str) -> Any: ...
