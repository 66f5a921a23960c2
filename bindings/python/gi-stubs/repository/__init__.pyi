# SPDX-License-Identifier: LGPL-2.1-or-later
# So that type checkers find the stub of Pool. What other namespaces there are have no types here.
from typing import Any

def __getattr__(name: str) -> Any: ...
