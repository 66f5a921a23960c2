/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* For those who write a backend; programs that use pools need only <libpool.h>. */
#include "libpool.h"
#include "pool-backend.h"
#include "pool-backend-runner.h"
