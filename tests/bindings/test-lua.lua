-- SPDX-License-Identifier: LGPL-2.1-or-later

-- The library from Lua, by lgi: tasks of task modules, and functions of Lua in processes that are forked.

local lgi = require 'lgi'
local GLib = lgi.GLib
local Pool = lgi.require ('Pool', '1')

local DIGEST = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
local EMPTY = '/dev/null'
local tests = {}

local function with_pool (backend, body)
  local pool = Pool.Manager { backend = backend, processes = 2 }

  if backend == 'fork' then
    local factor = 3

    assert (pool:register ('times', function (task, args)
      return GLib.Variant ('i', factor * args.value[1])
    end))
  end
  assert (pool:start ())
  body (pool, backend)
  assert (pool:close ())
  assert (pool:join (60))
  assert (pool:get_state () == 'JOINED')
end

local function text (value)
  return GLib.Variant ('(s)', { value })
end

function tests.apply (pool)
  local digest = assert (pool:apply ('checksum.sha256', text (EMPTY), nil, nil))

  assert (digest.value == DIGEST, digest.value)
end

function tests.map (pool)
  local digests = assert (pool:map ('checksum.sha256', GLib.Variant ('as', { EMPTY, EMPTY, EMPTY }), 0, nil))

  assert (#digests == 3)
  for i = 1, #digests do
    assert (digests[i].value == DIGEST, digests[i].value)
  end
end

function tests.iterate (pool)
  local results = assert (pool:imap ('debug.echo', GLib.Variant ('ai', { 3, 1, 2 }), 1))
  local seen = {}

  for value in function () return assert (results:next (-1)) or nil end do
    seen[#seen + 1] = value.value
    if #seen == 3 then break end
  end
  assert (seen[1] == 3 and seen[2] == 1 and seen[3] == 2)
  assert (results:next (-1) == nil and results:is_done ())
end

function tests.asynchronous (pool)
  local loop = GLib.MainLoop ()
  local digest, failure

  pool:apply_async ('checksum.sha256', text (EMPTY), nil, nil, function (source, result)
    digest, failure = source:apply_finish (result)
    loop:quit ()
  end)
  loop:run ()
  assert (digest and digest.value == DIGEST, tostring (failure))
end

function tests.errors (pool)
  local digest, failure = pool:apply ('checksum.sha256', text ('/nonexistent'), nil, nil)

  assert (digest == nil and failure:matches (lgi.Gio.IOErrorEnum, 'NOT_FOUND'), tostring (failure))
  digest, failure = pool:apply ('checksum.nothing', text (EMPTY), nil, nil)
  assert (digest == nil and failure:matches (Pool.Error, 'NO_SUCH_TASK'), tostring (failure))
  -- the pool is as good as before
  tests.apply (pool)
end

-- threads would need the one interpreter that waits for them
function tests.functions (pool, backend)
  local product, failure = pool:apply ('times', GLib.Variant ('(i)', { 14 }), nil, nil)

  if backend == 'fork' then
    assert (product and product.value == 42, tostring (failure))
  else
    assert (product == nil and failure:matches (Pool.Error, 'NO_SUCH_TASK'), tostring (failure))
  end
end

local backends = {}
for name in os.getenv ('POOL_TEST_BACKENDS'):gmatch ('%S+') do
  backends[#backends + 1] = name
end

local names = { 'functions', 'apply', 'map', 'iterate', 'asynchronous', 'errors' }
local number, failed = 0, 0
print ('1..' .. #names * #backends)
for _, backend in ipairs (backends) do
  for _, name in ipairs (names) do
    local ok, message = xpcall (with_pool, debug.traceback, backend, tests[name])

    number = number + 1
    if not ok then
      failed = failed + 1
      print ((('# ' .. tostring (message)):gsub ('\n', '\n# ')))
    end
    print ((ok and 'ok ' or 'not ok ') .. number .. ' ' .. name .. ' ' .. backend)
  end
end
os.exit (failed == 0 and 0 or 1)
