/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#define POOL_INSIDE
#include "pool-apply-result.h"
#include "pool-async-result.h"
#include "pool-block.h"
#include "pool-bytes.h"
#include "pool-call-options.h"
#include "pool-enum-types.h"
#include "pool-error.h"
#include "pool-init.h"
#include "pool-log.h"
#include "pool-macros.h"
#include "pool-manager.h"
#include "pool-map-result.h"
#include "pool-packed.h"
#include "pool-process.h"
#include "pool-result-iterator.h"
#include "pool-statistics.h"
#include "pool-stream.h"
#include "pool-task-module.h"
#include "pool-task.h"
#include "pool-types.h"
#include "pool-version.h"
#include "pool-worker-info.h"
#undef POOL_INSIDE
