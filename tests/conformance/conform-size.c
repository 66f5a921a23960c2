/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "conform.h"

void
conform_add_size (void)
{
}
