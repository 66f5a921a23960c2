// SPDX-License-Identifier: LGPL-2.1-or-later

// A task module that is written in C++.

#include "tasks.hh"

#include <gmodule.h>

POOL_DEFINE_TASK_MODULE (module)
{
  pool_task_module_add (module, "square", "of a number", tasks::square);
  pool_task_module_add (module, "add", "two numbers", tasks::add);
  pool_task_module_add (module, "even", "fails for odd numbers", tasks::even);
  pool_task_module_add_bytes (module, "reverse", "its argument", tasks::reverse);
  pool_task_module_add (module, "at", "a byte of a text; throws if it has none there", tasks::task<tasks::at>);
  pool_task_module_add (module, "careless", "the same, and lets the exception out", tasks::careless);
}
